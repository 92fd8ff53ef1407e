"""Ranking: the order of all candidate rows by their cosine with the behavior probe's direction."""

from pathlib import Path

from surgery.probe.probe import Probe
from surgery.region.ranking import RowRanking, rank_rows
from sweeps.run.probe_stage import layer_probes
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import ranking_identity
from sweeps.run.workbench import CellWork

NAME, FILE = "ranking", "ranking.safetensors"


def row_ranking(work: CellWork, behavior: Probe) -> Stage[RowRanking]:
    """The last one stays in memory: every alpha and every top_k of a grid is a slice of it."""

    of_layers = layer_probes(work) if work.cell.settings.probe.per_layer else {}
    directions = {layer: one.direction(1) for layer, one in of_layers.items()}

    def rank(folder: Path) -> None:
        with work.subject():
            ranking = rank_rows(work.model, directions or behavior.direction(1), work.cell.settings.region.component)
        ranking.save(folder / FILE)

    fingerprints = [one.fingerprint for one in of_layers.values()]
    identity = ranking_identity(work.cell, fingerprints or behavior.fingerprint)
    return Stage(NAME, identity, rank, lambda folder: RowRanking.load(folder / FILE), stays=True)
