"""`alpha=suggest` of a search: alpha is chosen from where perplexity begins to rise to where it has risen a lot."""

import sys
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig

from surgery.errors import InputError
from sweeps.config.composition import compose_jobs
from sweeps.plan.materials import Materials
from sweeps.plan.planner import make_plan
from sweeps.search.search_space import Numbers, SearchSpace
from sweeps.suggest.suggestion_table import suggest
from sweeps.suggest.suggestions import alpha_range, not_found_yet, suggestions
from sweeps.terminal.cell_tables import console
from sweeps.terminal.library_output import quiet_libraries

ALPHA, SUGGEST = "alpha", "suggest"


def with_suggested_alpha(
    space: SearchSpace, loader: Any, master: DictConfig, materials: Materials, here: bool
) -> SearchSpace | None:
    """The space with a range in the place of `alpha=suggest`; as it is where it does not say that.

    The range is that of the brackets of all options in the middle of the space's ranges: alpha has to be smaller where
    more rows are edited, and a range for both ends of them would be mostly of cells that break the text or change
    nothing. The brackets are in the store afterwards, so that the same command goes on with the same range. A dry run
    whose brackets are not there gets the space without alpha; `suggest=true` prints them, and gets none.

    Args:
        space: as parsed.
        loader, master: of Hydra.
        materials: what the command's plans share.
        here: whether cells run on this machine, where the model may be loaded then.

    Raises:
        InputError: for what is wrong with the cells, a method without an alpha, and brackets that are neither there nor
            may be found here.
    """
    if space.fixed.get(ALPHA) != SUGGEST:
        return space
    open_space = replace(space, fixed={key: value for key, value in space.fixed.items() if key != ALPHA})
    plan = make_plan(compose_jobs(loader, master, open_space.middles()), materials)
    missing = not_found_yet(plan.experiments, plan.store_folder)
    if plan.dry_run and missing:
        console().print("alpha is chosen from where perplexity rises by 1 to 20 %, which is found out first")
        return open_space
    if missing and not here and not plan.suggest:
        raise InputError(
            "the range of alpha is not found out yet, and the cells run elsewhere: give the command with suggest=true "
            "once where the model can be loaded, or say 'alpha=tag(log,interval(LOWEST,HIGHEST))'"
        )
    if missing and here:
        plan.require_devices()
        quiet_libraries()
        materials.keep.move_to(plan.store_folder)
    if plan.suggest and not plan.dry_run:
        suggest(plan.experiments, plan.store_folder, here)
        return None
    low, high = alpha_range(suggestions(plan.experiments, plan.store_folder, sys.stderr.isatty()))
    return replace(open_space, domains={ALPHA: Numbers(low, high, log=low > 0), **open_space.domains})
