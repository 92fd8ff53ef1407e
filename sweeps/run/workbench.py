"""A process's model and store, and one cell's work there: each stage of a cell is made once, and loaded once."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from evaluation.engines.completions_server import CompletionsServer
from evaluation.engines.engine import answered_by
from evaluation.engines.in_memory_continuous import InMemoryContinuous
from evaluation.engines.served import Served
from evaluation.evaluator import asks_engine
from surgery.edits.intervention import Intervention
from surgery.errors import InputError
from surgery.model.fingerprints import fingerprint, model_identity
from surgery.model.loading import load_model
from surgery.model.model_identity import chain_fingerprint
from surgery.tokens.framing import Framing, set_framing
from sweeps.cell.canonical_json import canonical_json
from sweeps.cell.cell import Cell
from sweeps.cell.settings import ModelSettings
from sweeps.plan.experiment import Experiment
from sweeps.records.chain import applied
from sweeps.records.machine import machine
from sweeps.run.batch_limits import BatchLimits
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import states_identity
from sweeps.serving.served_base import ServedBases
from sweeps.store.kept_digests import KeptDigests
from sweeps.store.store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Loaded = tuple["PreTrainedModel", "PreTrainedTokenizerBase"]
T = TypeVar("T")


class Workbench:
    """What the cells of a process share: the store, the last model, and the stages that stay in memory.

    Args:
        store: where hidden states, probes, rankings and measurements are kept.
        experiments: all cells that will be asked for, so that texts are read once for all their layers.
        progress: show bars with the time that is left.
        say: told what a person should know.
    """

    def __init__(
        self,
        store: Store,
        experiments: Iterable[Experiment],
        progress: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.store = store
        self.progress = progress
        self.served = ServedBases(say)
        self._loaded: tuple[str, Loaded] | None = None
        self._framing: Framing | None = None
        self._staying: dict[str, tuple[str, Any]] = {}
        self._limits = BatchLimits(store)
        self._layers: dict[str, set[int]] = {}
        self.expect(experiments)

    def expect(self, experiments: Iterable[Experiment]) -> None:
        """Says which further cells will be asked for, so that texts are read once for all their layers."""
        for experiment in experiments:
            key = canonical_json(states_identity(experiment.cell))
            self._layers.setdefault(key, set()).update(experiment.cell.read_layers)

    def layers(self, cell: Cell) -> list[int]:
        """The layers that are read of a cell's texts by it or any cell that is expected, in order."""
        return sorted(self._layers.get(canonical_json(states_identity(cell)), cell.read_layers))

    def model(self, settings: ModelSettings) -> Loaded:
        """The model and tokenizer, loaded unless it is the last one that was asked for; framed as the settings say."""
        arguments = settings.loading()
        key = canonical_json(arguments)
        framing = settings.framing()
        if self._loaded is None or self._loaded[0] != key:
            # The old one goes before the new one comes: two may not fit.
            self._loaded = None
            self._staying.clear()
            self._loaded = (key, load_model(**arguments, keep=KeptDigests(self.store.root)))
            self._limits.recall(self._loaded[1][0])
            self._framing = None
        # Not each time that it is asked for: a method may have given the tokenizer another, a system prompt say.
        if self._framing != framing:
            set_framing(self._loaded[1][1], framing)
            self._framing = framing
        return self._loaded[1]

    def drop_model(self) -> None:
        """Lets go of the model, for processes that have no use for it most of the time."""
        self._loaded = None
        gc.collect()

    def take(self, stage: Stage[T]) -> T:
        """What a stage made, from memory where it stays there, else from the store, where it is made if need be."""
        key, staying = self.store.name(stage.name, stage.identity), self._staying.get(stage.name)
        if staying is not None and staying[0] == key:
            return cast(T, staying[1])
        if stage.prepare is not None and self.store.find(stage.name, stage.identity) is None:
            stage.prepare()
        taken = self.store.use(stage.name, stage.identity, stage.make, stage.load)
        if self._loaded is not None:
            self._limits.keep(self._loaded[1][0])
        if stage.stays:
            self._staying[stage.name] = (key, taken)
        return taken


class CellWork:
    """One cell at the workbench, with its model loaded; what it has taken is kept until it is let go.

    Attributes:
        bench: of the process.
        experiment: the cell and what it is run with.
        folder: where its files go.
        served: the base, where a server computes the model's answers; else None.
    """

    def __init__(self, bench: Workbench, experiment: Experiment, folder: Path = Path()) -> None:
        self.bench = bench
        self.experiment = experiment
        self.folder = folder
        self._taken: dict[str, Any] = {}
        self._used: set[str] = set()
        self.served = bench.served.of(experiment.cell)
        self._served_edit: tuple[tuple[Intervention, ...], Served] | None = None
        if self.served is None:
            bench.model(experiment.cell.settings.model)  # what can't be loaded is told first

    @property
    def loaded(self) -> Loaded:
        """The model and its tokenizer, in memory; where a server computes its answers, in its `turn` alone."""
        return self.bench.model(self.cell.settings.model)

    @property
    def cell(self) -> Cell:
        """The cell."""
        return self.experiment.cell

    @property
    def model(self) -> "PreTrainedModel":
        """The model in memory, as it is now."""
        return self.loaded[0]

    @property
    def shapes(self) -> "PreTrainedModel":
        """The model, or where a server computes its answers the model without its weights."""
        return self.model if self.served is None else self.served.shapes[0]

    def take(self, stage: Stage[T]) -> T:
        """What a stage made; loaded when it is asked for first."""
        name = self.note(stage)
        if name not in self._taken:
            self._taken[name] = self.bench.take(stage)
        return cast(T, self._taken[name])

    def let_go(self, stage: Stage[Any]) -> None:
        """Frees the memory of what the rest of the cell has no use for."""
        self._taken.pop(self.note(stage), None)

    def note(self, stage: Stage[Any]) -> str:
        """Notes that the cell's result rests on a stage, whether or not its entry had to be read."""
        name = self.bench.store.name(stage.name, stage.identity)
        self._used.add(name)
        return name

    def entry(self, stage: Stage[Any]) -> Path | None:
        """The folder of a stage in the store, where it is there."""
        return self.bench.store.find(stage.name, stage.identity)

    @property
    def used(self) -> list[str]:
        """The entries of the store that the cell's result rests on, as `stage/key`, sorted."""
        return sorted(self._used)

    @contextmanager
    def subject(self) -> Iterator[None]:
        """The model that is probed and edited: with what the cell's composition names, for the body of a `with`."""
        # Applied already where the whole cell's chain is being measured.
        missing = self.experiment.earlier if fingerprint(self.model) == self.cell.model_fingerprint else ()
        with applied(missing, self.model):
            yield

    @contextmanager
    def turn(self) -> Iterator[None]:
        """For the body of a `with` the model may be in memory.

        Where a server computes its answers, one process of a machine has its turn at a time, and lets go of the model.
        """
        if self.served is None:
            yield
            return
        with self.served.turn():
            try:
                yield
            finally:
                self.bench.drop_model()

    @contextmanager
    def asked(self, evaluator: object = None) -> Iterator[Loaded]:
        """The model that an evaluator is given, for the body of a `with`: base or edited, as the cell is now.

        Without its weights where it asks a server alone; else the model in memory, under the edit that is served.
        """
        if self.served is None:
            model, tokenizer = self.loaded
            continuous = self.cell.settings.engine.batching == "continuous"
            with answered_by(model, InMemoryContinuous(model, tokenizer)) if continuous else nullcontext():
                yield model, tokenizer
        elif asks_engine(evaluator):
            model, tokenizer = self.served.shapes
            engine = self._served_edit[1] if self._served_edit else self.served.served(self.server)
            with answered_by(model, engine):
                yield model, tokenizer
        else:
            with self.turn(), applied(self._served_edit[0] if self._served_edit else (), self.model):
                yield self.loaded

    @contextmanager
    def serving(self, chain: Sequence[Intervention], edited: Served) -> Iterator[None]:
        """A chain of edits is what a server answers with, for the body of a `with`."""
        self._served_edit = tuple(chain), edited
        try:
            yield
        finally:
            self._served_edit = None

    @property
    def server(self) -> CompletionsServer:
        """That of the base; raises as `ServedBase.server` does."""
        assert self.served is not None
        return self.served.server(self.folder.parent)

    @property
    def machine(self) -> dict[str, str | int]:
        """What the cell is measured on."""
        if self.served is None:
            return machine(str(self.model.device))
        return machine("cpu") | {"device": str(self.cell.engine_told)}

    @property
    def fingerprint(self) -> str:
        """Of the model as it is measured now."""
        if self.served is None:
            # Taken from the model itself, so that nothing measured without the edit can pass for it.
            return fingerprint(self.model)
        chain = self._served_edit[0] if self._served_edit else ()
        return chain_fingerprint(self.cell.model_fingerprint, [one.fingerprint for one in chain])

    def require_same_model(self) -> None:
        """Raises InputError when the model is no longer the one the cell was planned with."""
        model, planned = self.cell.settings.model, self.cell.model_fingerprint
        if self.served is None:
            now = fingerprint(self.model)
        else:
            keep = KeptDigests(self.bench.store.root)
            now = model_identity(self.served.folder, model.trust_remote_code, self.shapes, keep).fingerprint
        if now != planned:
            raise InputError(f"model.path '{model.path}' changed while this ran: it was {planned}, now it is {now}")
