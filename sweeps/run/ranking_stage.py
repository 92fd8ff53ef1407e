"""Ranking: the order of all candidate rows by their cosine with the behavior probe's direction."""

from pathlib import Path

from surgery.probe.probe import Probe
from surgery.region.ranking import RowRanking, rank_rows
from sweeps.run.stage import Stage
from sweeps.run.stage_identities import ranking_identity
from sweeps.run.workbench import CellWork

NAME, FILE = "ranking", "ranking.safetensors"


def row_ranking(work: CellWork, behavior: Probe) -> Stage[RowRanking]:
    """The last one stays in memory: every alpha and every top_k of a grid is a slice of it."""

    def rank(folder: Path) -> None:
        with work.subject():
            ranking = rank_rows(work.model, behavior.direction(1), work.cell.settings.region.component)
        ranking.save(folder / FILE)

    identity = ranking_identity(work.cell, behavior.fingerprint)
    return Stage(NAME, identity, rank, lambda folder: RowRanking.load(folder / FILE), stays=True)
