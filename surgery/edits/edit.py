"""An edit: v ← v + α·W_n for every row v of a region (Equation 3), as data that can be applied and taken back."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from surgery.changes.alpha import ALPHA_UNITS, require_alpha
from surgery.changes.factors import Factors, module_of
from surgery.changes.receipt import Receipt
from surgery.changes.row_change import RowChange, add_to_rows
from surgery.errors import InputError
from surgery.export.adapter import save_adapter
from surgery.export.checkpoint import save_checkpoint
from surgery.files.tensor_file import read_tensors, save_tensors
from surgery.files.whole_files import sha256_of_parts, written_whole
from surgery.model.fingerprints import pop_edit, push_edit, require_base, tensor_bytes
from surgery.model.offload import Weights
from surgery.region.region import Region
from surgery.region.row_norms import row_norms
from surgery.rows.rows import Rows, read_rows, write_rows

FORMAT = "surgery.edit/1"


@dataclass(frozen=True, eq=False)
class Edit:
    """Direction, alpha and region.

    Attributes:
        direction: float32 [d]; kept as it was given.
        alpha: any finite number but 0; negative moves toward the behavior.
        region: the rows, and the model they were ranked in.
        alpha_unit: `raw` adds alpha·direction, as the paper does; `unit` adds alpha·direction/‖direction‖, so that
            alphas compare across models and probes.
    """

    direction: torch.Tensor
    alpha: float
    region: Region
    alpha_unit: str = "raw"

    def __post_init__(self) -> None:
        require_alpha(self.alpha)
        if self.alpha_unit not in ALPHA_UNITS:
            raise InputError(f"alpha_unit={self.alpha_unit} is unknown; it is one of {', '.join(ALPHA_UNITS)}")
        norm = self.direction.float().norm()
        if self.direction.dim() != 1 or not norm.isfinite() or norm == 0:
            raise InputError("the direction must be a vector [d] that is finite and not zero")

    def __repr__(self) -> str:
        """One line: what is added to which rows of which model."""
        said = " at norm 1" if self.alpha_unit == "unit" else ""
        what = f"{self.alpha:g} x direction[{len(self.direction)}]{said}"
        return f"<Edit {self.fingerprint}: {what}, {self.region.how}, model {self.base_fingerprint}>"

    @property
    def base_fingerprint(self) -> str:
        """Of the model the edit was made for."""
        return self.region.model_fingerprint

    @property
    def vector(self) -> torch.Tensor:
        """What is added to each row, float32 [d]."""
        direction = self.direction.float()
        if self.alpha_unit == "unit":
            direction = direction / direction.norm()
        return self.alpha * direction

    @property
    def fingerprint(self) -> str:
        """Of everything that decides what the edit does."""
        parts: list[str | bytes] = [self.region.fingerprint, tensor_bytes(self.direction.float())]
        parts += [float(self.alpha).hex(), self.alpha_unit]
        return sha256_of_parts(parts)

    @contextmanager
    def applied_to(self, model: PreTrainedModel) -> Iterator[Receipt]:
        """Edits the model in place for the body of a `with`, and puts back the very bits that were there.

        The rows are restored from a copy, also when the body raises. Edits stack: one may be applied inside another.
        Of a parameter that is offloaded to disk the edited copy is kept in memory, and the file stays as it is.

        Raises:
            InputError: when the model is not the one the edit was made for (nor that model with edits applied), or
                when a row would not change or would hold NaN; the model is then as it was.
        """
        base = require_base(model, self.base_fingerprint, "the edit")
        weights = Weights(model)
        saved: dict[str, torch.Tensor | None] = {}
        push_edit(model, self.fingerprint, base)
        try:
            yield self._write(weights, saved)
        finally:
            pop_edit(model, self.fingerprint)
            for home, rows in self.region.parts():
                if home.parameter in saved:
                    original = saved[home.parameter]
                    if original is None:
                        weights.release(home.parameter)
                    else:
                        view = home.view(weights.writable(home.parameter))
                        write_rows(view, rows.to(view.device), original)

    @torch.no_grad()
    def _write(self, weights: Weights, saved: dict[str, torch.Tensor | None]) -> Receipt:
        """Writes the edited rows, layer by layer; keeps the originals in `saved` before each is touched.

        None stands for a parameter whose original lies in a file.
        """
        changes, vector = [], self.vector
        for home, rows in self._parts():
            if weights.shape(home.parameter) != home.shape:
                raise InputError(f"the model has no {home.parameter} of shape {list(home.shape)}")
            on_disk = weights.on_disk(home.parameter)
            view = home.view(weights.writable(home.parameter))
            saved[home.parameter] = None if on_disk else read_rows(view, rows.to(view.device))
            changes.append((home.layer, add_to_rows(view, rows, vector, home.parameter)))
        return Receipt.of(changes)

    def relative_step(self, model: PreTrainedModel) -> float:
        """Median ‖what a row is given‖ over the median norm of the rows, as they are in the model now.

        It tells how large a step an alpha is, across models, layers, probes and units. Infinite where most of these
        rows are zero.
        """
        norms = torch.cat(list(row_norms(model, self.region).values()))
        return float(self.vector.norm() / norms.quantile(0.5))

    @property
    def rank(self) -> int:
        """Of the change of each parameter."""
        return 1

    def factors(self) -> Iterator[Factors]:
        """Of each parameter's change: one is the added vector, the other says which rows get it.

        Raises:
            InputError: for experts in one tensor, which is no module's matrix; for a vector of another length than the
                rows, or one that is infinite.
        """
        vector = self.vector.cpu()
        if not vector.isfinite().all():
            raise InputError(f"alpha={self.alpha} makes the added vector infinite in float32; take a smaller alpha")
        for home, rows in self._parts():
            module_of(home.parameter, home.layer, home.shape)
            mask = torch.zeros(home.shape[home.axis])
            mask[home.start + home.step * rows.cpu()] = 1
            a, b = (vector, mask) if home.axis == 0 else (mask, vector)
            yield Factors(home.parameter, home.layer, a.unsqueeze(0), b.unsqueeze(1))

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """{parameter it changes: its shape}; raises InputError for a direction of another length than the rows."""
        return {home.parameter: home.shape for home, _ in self._parts()}

    def change(self, parameter: str, weight: torch.Tensor) -> Mapping[int, RowChange]:
        """Changes one parameter's values in place; see `surgery.changes.factors.Factored`."""
        return {
            home.layer: add_to_rows(home.view(weight), rows, self.vector, parameter)
            for home, rows in self._parts()
            if home.parameter == parameter
        }

    def described(self) -> Mapping[str, object]:
        """Its settings, as JSON can hold them."""
        return {"alpha": self.alpha, "alpha_unit": self.alpha_unit, "component": self.region.component}

    def _parts(self) -> Iterator[tuple[Rows, torch.Tensor]]:
        for home, rows in self.region.parts():
            if len(self.direction) != home.width:
                raise InputError(
                    f"the direction has {len(self.direction)} entries, but {home.parameter} has shape "
                    f"{list(home.shape)}"
                )
            yield home, rows

    def save(self, path: str | Path) -> None:
        """Writes a safetensors file, whole or not at all."""
        description = {
            "alpha": self.alpha,
            "alpha_unit": self.alpha_unit,
            **self.region.described(),
            "fingerprint": self.fingerprint,
        }
        tensors = {**self.region.tensors(), "direction": self.direction.float().contiguous()}
        with written_whole(path) as temporary:
            save_tensors(tensors, temporary, {"format": FORMAT, "edit": json.dumps(description)})

    def save_adapter(self, path: str | Path, *, base: str | None = None, force: bool = False) -> None:
        """Writes a PEFT LoRA adapter of rank 1; `surgery.export.adapter.save_adapter` says what it holds and raises."""
        save_adapter([self], path, base=base, force=force)

    def save_checkpoint(
        self, base_path: str | Path, path: str | Path, *, force: bool = False, link: bool = False, verify: bool = False
    ) -> Receipt:
        """Writes the base's safetensors folder with the edit in it; see `surgery.export.checkpoint.save_checkpoint`."""
        return save_checkpoint([self], base_path, path, force=force, link=link, verify=verify)[0]

    @classmethod
    def load(cls, path: str | Path) -> "Edit":
        """Reads an edit and checks it against the fingerprint it was saved with.

        Raises:
            InputError: when the file is missing, can't be read, is no edit, or was changed after it was saved.
        """
        tensors, metadata = read_tensors(path, f"edit '{path}'")
        if metadata.get("format") != FORMAT:
            raise InputError(f"'{path}' is no edit; it holds {', '.join(tensors) or 'nothing'}")
        try:
            description = json.loads(metadata["edit"])
            region = Region.read(tensors, description)
            edit = cls(tensors["direction"], description["alpha"], region, description["alpha_unit"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"edit '{path}' was changed after it was saved: it is damaged ({error})") from None
        if edit.fingerprint != description["fingerprint"]:
            raise InputError(f"edit '{path}' was changed after it was saved: {edit.fingerprint} is not its fingerprint")
        return edit
