"""An edit on a server: put there as an adapter, and made sure that it, on this very base, is what answers."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.engines.completions_server import CompletionsServer, ServerLost
from evaluation.engines.served import Served
from surgery.changes.factors import Factored
from surgery.changes.receipt import Receipt
from surgery.errors import InputError
from surgery.export.adapter import save_adapter
from sweeps.serving.served_base import ServedBase

# How much a token's log-likelihood may differ between a server and the model in memory on average, in nats: kernels
# and the order of sums. Two models that were trained apart differ by tenths and more.
SAME_BASE = {"float32": 0.001, "bfloat16": 0.1, "float16": 0.1}
# The share of an edit's move of the probe texts' likelihoods by which the server's may be off. A server that answers
# with the base moves nothing, and is off by 1.
SAME_MOVE = 0.5


@dataclass(frozen=True)
class ProbeTexts:
    """Texts that a server is tried on, and what the model in memory makes of them.

    Attributes:
        rows: token ids, two or more each.
        base, edited: negative log-likelihood of each after its first token, in nats.
    """

    rows: Sequence[list[int]]
    base: NDArray[np.float64]
    edited: NDArray[np.float64]


@contextmanager
def served_edit(
    base: ServedBase, server: CompletionsServer, chain: Sequence[Factored], probe: ProbeTexts, folder: Path
) -> Iterator[tuple[Served, dict[str, float]]]:
    """(the base under a chain of edits as an engine, how the server was tried) for the body of a `with`.

    Args:
        base: what it is put on.
        server: of the base.
        chain: oldest first.
        probe: what the server is tried on.
        folder: the adapter is written there, and taken away afterwards; the server has to see it under the same path.

    Raises:
        InputError: when the adapter can't be written or loaded, or something else answers.
        ServerLost: when the server does not answer.
    """
    name = f"edit-{uuid4().hex}"
    save_adapter(chain, folder, base=str(base.folder), force=True)
    try:
        server.load(name, str(folder.absolute()))
        try:
            edited = base.served(server, name)
            yield edited, _tried(base, base.served(server), edited, probe)
        finally:
            # It may be the server that has gone.
            with suppress(ServerLost, InputError):
                server.unload(name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def receipt_of(edit: Factored) -> Receipt:
    """What an edit adds as an adapter: the very numbers of its factors, rounded nowhere."""
    return Receipt.of((one.layer, one.add_to(torch.zeros(one.shape))) for one in edit.factors())


def _tried(base: ServedBase, plain: Served, edited: Served, probe: ProbeTexts) -> dict[str, float]:
    """Holds what the server says of the probe texts against the model in memory; see `served_edit`."""
    scored = [len(row) - 1 for row in probe.rows]
    served_base, served_edited = plain.losses(probe.rows, scored)[0], edited.losses(probe.rows, scored)[0]
    apart = float(np.abs(served_base - probe.base).sum() / sum(scored))
    url = plain.server.url
    if not apart <= SAME_BASE[base.dtype]:
        raise InputError(
            f"the server at {url} does not serve this base in {base.dtype}: a token of the behavior's texts differs by "
            f"{apart:.3g} nats from the model in memory; start it with {base.folder}"
        )
    expected, found = probe.edited - probe.base, served_edited - served_base
    size, moved = float(np.linalg.norm(expected)), float(np.linalg.norm(found))
    off = float(np.linalg.norm(found - expected)) / size if size else float("inf")
    if not off <= SAME_MOVE:
        instead = "the base" if moved <= SAME_MOVE * size else "another change"
        raise InputError(
            f"the server at {url} answers with {instead} in place of the edit: it moves the behavior's texts by "
            f"{moved:.3g} nats, the edit in memory by {size:.3g}, and they are {off:.0%} of that apart; "
            "engine=transformers measures this cell"
        )
    return {"base_apart": apart, "moved": size, "move_off": off}
