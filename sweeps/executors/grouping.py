"""Which cells share work, and so should run one after another in one process."""

from collections.abc import Sequence

from sweeps.plan.experiment import Experiment
from sweeps.plan.plan import Plan

# Model as loaded, texts, layer: the further two cells agree from the left, the more they share.
Shared = tuple[tuple[str, str, str], str, int]


def shared_work(experiment: Experiment) -> Shared:
    """What a process that ran this cell still holds or need not make again."""
    cell = experiment.cell
    model = (cell.model_fingerprint, cell.settings.model.dtype, str(cell.settings.model.device))
    return model, cell.texts_fingerprint, cell.layer


def by_shared_work(plan: Plan, cells: Sequence[str]) -> list[str]:
    """Cells of one model, then of one behavior, then of one layer together, each in the order it was asked for."""
    asked = set(cells)
    shared = {e.cell.id: shared_work(e) for e in plan.experiments if e.cell.id in asked}
    places: dict[object, int] = {}
    for model, texts, layer in shared.values():
        for prefix in (model, (model, texts), (model, texts, layer)):
            places.setdefault(prefix, len(places))
    return sorted(
        shared,
        key=lambda cell: (
            places[shared[cell][0]],
            places[shared[cell][:2]],
            places[shared[cell]],
        ),
    )


def in_groups(plan: Plan, cells: Sequence[str], size: int) -> list[list[str]]:
    """Groups of at most `size` cells that share a model, for executors that send groups away."""
    ordered = by_shared_work(plan, cells)
    model = {e.cell.id: shared_work(e)[0] for e in plan.experiments}
    groups: list[list[str]] = []
    for cell in ordered:
        if groups and len(groups[-1]) < size and model[groups[-1][0]] == model[cell]:
            groups[-1].append(cell)
        else:
            groups.append([cell])
    return groups
