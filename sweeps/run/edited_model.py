"""The model under a cell's edit: in memory, or as an adapter on a server that is tried first."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from evaluation.engines.engine import engine_of
from surgery.changes.factors import Factored
from surgery.changes.receipt import Receipt
from surgery.edits.intervention import Intervention
from surgery.model.model_identity import chain_fingerprint
from surgery.tokens.encoding import token_ids
from sweeps.records.chain import applied
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import probe_prompts_identity
from sweeps.run.workbench import CellWork
from sweeps.serving.served_edit import ProbeTexts, receipt_of, served_edit

NAME, FILE = "probe_prompts", "losses.json"
# Texts of each class that a server is tried on, and tokens of each.
TEXTS, TOKENS = 8, 48


def probe_texts(work: CellWork, intervention: Intervention) -> ProbeTexts | None:
    """What a server is tried on that the edit is put on, by the model in memory; None where it answers itself."""
    if work.served is None:
        return None
    rows = _rows(work)
    chain = [*work.experiment.earlier, intervention]
    edited = chain_fingerprint(work.cell.model_fingerprint, [one.fingerprint for one in chain])
    found = [work.take(_losses(work, rows, some, name)) for some, name in (((), None), (chain, edited))]
    return ProbeTexts(rows, *found)


@contextmanager
def edited_model(
    work: CellWork, intervention: Intervention, probe: ProbeTexts | None
) -> Iterator[tuple[Receipt, dict[str, float]]]:
    """(what the edit changed, how a server was tried) for the body of a `with`, in which the cell's model is edited.

    Args:
        probe: see `probe_texts`.

    Raises:
        InputError: see `Intervention.applied_to` and `served_edit`.
        ServerLost: when a server does not answer.
    """
    earlier = work.experiment.earlier
    if probe is None or work.served is None:
        with applied(earlier, work.model), intervention.applied_to(work.model) as receipt:
            yield receipt, {}
        return
    # The plan let none pass that is no product of thin matrices.
    chain = cast(Sequence[Factored], [*earlier, intervention])
    with (
        served_edit(work.served, work.server, chain, probe, work.folder / "adapter") as (edited, tried),
        work.serving([*earlier, intervention], edited),
    ):
        yield receipt_of(chain[-1]), tried


def _rows(work: CellWork) -> list[list[int]]:
    """The first texts of each class, cut, as token ids."""
    texts = work.experiment.texts
    of_class = [[i for i, label in enumerate(texts.labels) if label == each][:TEXTS] for each in (0, 1)]
    assert work.served is not None
    encoded = token_ids(work.served.shapes[1], [texts.texts[i] for some in of_class for i in some])
    return [ids[:TOKENS] for ids in encoded if len(ids) > 1]


def _losses(
    work: CellWork, rows: Sequence[list[int]], chain: Sequence[Intervention], edited: str | None
) -> Stage[NDArray[np.float64]]:
    """Of each text after its first token, in nats, under a chain of edits: [n]."""

    def make(folder: Path) -> None:
        with applied(chain, work.model):
            losses, _ = engine_of(*work.loaded).losses(rows, [len(row) - 1 for row in rows])
        (folder / FILE).write_text(json.dumps(losses.tolist()), encoding="utf-8")

    return Stage(
        NAME,
        probe_prompts_identity(work.cell, edited),
        make,
        lambda folder: np.array(json.loads((folder / FILE).read_text(encoding="utf-8"))),
    )
