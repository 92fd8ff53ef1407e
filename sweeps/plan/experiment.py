"""A cell and what it is run with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from surgery.errors import InputError
from surgery.probe.chance import ProbeAtChance
from surgery.texts.text_pairs import TextPairs
from surgery.texts.texts import LabelledTexts
from sweeps.cell.cell import VERSION, Cell
from sweeps.records.record import AT_CHANCE, Record

if TYPE_CHECKING:
    from evaluation.evaluator import Evaluator
    from surgery.edits.intervention import Intervention


@dataclass(frozen=True)
class Experiment:
    """A cell and what it is run with.

    Attributes:
        cell: the experiment.
        texts: of its behavior.
        evaluators: what is measured, by name.
        probe_loss: whether the probe's loss is measured too.
        config: the composed config, for the record.
        command: what makes the cell again, from the folder that its paths are relative to.
        earlier: what is applied before the probe is trained, oldest first.
        pairs: of texts that `method.pairs` names.
    """

    cell: Cell
    texts: LabelledTexts
    evaluators: Mapping[str, "Evaluator"]
    probe_loss: bool
    config: Mapping[str, Any]
    command: str
    earlier: "tuple[Intervention, ...]" = ()
    pairs: TextPairs | None = None

    def asked(self) -> dict[str, Any]:
        """What every record of the cell says, however it ended: the fields of `Record` that are known beforehand."""
        cell = self.cell
        return {
            "cell": cell.id,
            "command": self.command,
            "protocol": cell.protocol,
            "identity": VERSION,
            "model": cell.model_identity.parts(),
            "keys": cell.keys(),
        }

    def failed(self, error: BaseException | str) -> Record:
        """The record of the cell when it did not end well."""
        reason = str(error) if isinstance(error, str | InputError) else f"{type(error).__name__}: {error}"
        return Record(
            **self.asked(),
            status="failed",
            error=(reason.splitlines() or ["unknown"])[0],
            probe={AT_CHANCE: reason} if isinstance(error, ProbeAtChance) else {},
        )
