"""The histogram of cosines that a record keeps: the ranking itself may leave the store."""

from typing import Any

import torch

from surgery.region.ranking import RowRanking
from surgery.region.region import Region

BINS = 80


def cosine_histogram(ranking: RowRanking, region: Region) -> dict[str, Any]:
    """How many candidate rows, and how many of the region, have which cosine with the direction.

    Args:
        ranking: of all candidate rows of the model.
        region: rows of it.

    Returns:
        `reach`: the bins are equally wide from -reach to reach; `rows` and `region`: counts a bin; `width`: d.
    """
    reach = float(ranking.cosine.abs().max()) or 1.0
    inside = torch.zeros(len(ranking), dtype=torch.bool)
    for layer, rows in region.rows.items():
        inside |= (ranking.layer == layer) & torch.isin(ranking.row, rows)

    width = next(iter(region.homes.values()))[0].width

    def counts(cosines: torch.Tensor) -> list[int]:
        return [int(count) for count in torch.histc(cosines, BINS, -reach, reach)]

    return {"reach": reach, "rows": counts(ranking.cosine), "region": counts(ranking.cosine[inside]), "width": width}
