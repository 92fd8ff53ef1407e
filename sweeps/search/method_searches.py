"""One search a method, each with as many cells, over what that method has to choose."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig

from surgery.errors import InputError
from sweeps.equal_price.prices import KL, PERPLEXITY, ceilings
from sweeps.plan.materials import Materials
from sweeps.plan.plan import Plan
from sweeps.records.told_keys import swept_keys
from sweeps.search.search import Search, SearchSettings
from sweeps.search.search_space import SearchSpace

METHOD = "method"


def method_searches(
    overrides: Sequence[Override],
    spaces: Mapping[str, Sequence[Override]],
    settings: SearchSettings,
    loader: Any,
    master: DictConfig,
) -> list[Search]:
    """The searches of `hydra/sweeper=methods`, checked before a model is loaded.

    Each is after the behavior that the evaluation chooses by, and after a low price: the divergence on harmless
    prompts where it is measured, else the perplexity. Where nothing of a method is chosen it has one cell.

    Args:
        overrides: of the command; what they set holds for every method, whatever its space says.
        spaces: {method: overrides of its space}.
        settings: `n_trials` is of each method.
        loader, master: of Hydra.

    Raises:
        InputError: for a method without a space, methods that are measured in different ways, and whatever is wrong
            with a cell.
    """
    given = {override.get_key_element(): override for override in overrides}
    named = given.pop(METHOD, None)
    names = _values(named) if named is not None else []
    if len(names) < 2:
        raise InputError("experiment=methods compares methods; name several, method=surgery,directional_ablation say")
    materials = Materials()
    searches = [_search(name, given, spaces, settings, (loader, master, materials)) for name in names]
    if len({experiment.cell.protocol for search in searches for experiment in search.first.experiments}) > 1:
        raise InputError("the methods are measured in different ways; leave the keys of the evaluation out of spaces")
    return [replace(search, told=(METHOD, *_apart(search, searches), *search.told)) for search in searches]


def _apart(search: Search, searches: Sequence[Search]) -> list[str]:
    """The keys, of those that are not chosen, that tell a variant from others of the same method."""
    cells = [other.first.experiments[0].cell.keys() for other in searches]
    own = search.first.experiments[0].cell.keys()
    alike = [keys for keys in cells if keys[METHOD] == own[METHOD]]
    return [name for name in swept_keys(alike) if name not in (*search.space.domains, "top_k", "alpha")]


def _search(
    name: str,
    given: Mapping[str, Override],
    spaces: Mapping[str, Sequence[Override]],
    settings: SearchSettings,
    composing: tuple[Any, DictConfig, Materials],
) -> Search:
    if name not in spaces:
        raise InputError(
            f"nothing says what to choose for method={name}; there are spaces for {', '.join(spaces)}: add "
            f"'+hydra.sweeper.spaces.{name}={{alpha: \"interval(0.5,2)\"}}' say, or ={{}} for one cell"
        )
    own = {override.get_key_element(): override for override in spaces[name]}
    if not own.keys() & {METHOD, "variant"}:
        own[METHOD] = OverridesParser.create().parse_override(f"{METHOD}={name}")
    space = SearchSpace.parse(list({**own, **given}.values()), None)
    loader, master, materials = composing
    # The goals hang on what is measured, which a plan of the space tells.
    any_goal = replace(settings, directions=settings.directions or {"any": "minimize"})
    found = Search.of(any_goal if space.domains else replace(any_goal, n_trials=1), space, loader, master, materials)
    if not settings.directions:
        goals = replace(found.settings, directions=_goals(found.first))
        objectives, conditions = goals.goals(found.first.choice)
        dearest = ceilings(_prices(found.first, early=True))
        found = replace(found, settings=goals, objectives=objectives, conditions=conditions, ceilings=dearest)
    return replace(found, name=name)


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    return list(dict.fromkeys(map(str, override.sweep_string_iterator())))


def _goals(plan: Plan) -> dict[str, str]:
    """The behavior and the price, as `hydra.sweeper.directions` has them."""
    if plan.choice is None:
        raise InputError(
            "nothing says which behavior the methods are compared in; give "
            "'hydra.sweeper.directions={METRIC: minimize, PRICE: minimize}' or an evaluation with choose"
        )
    if not (prices := _prices(plan)):
        raise InputError(
            "nothing that is measured is a price; give evaluation.text=FILE (perplexity) or "
            "evaluation.harmless_prompts=FILE (divergence)"
        )
    return {plan.choice.metric: "minimize" if plan.choice.lowest else "maximize", prices[0]: "minimize"}


def _prices(plan: Plan, early: bool = False) -> list[str]:
    """What of a plan's measurements is a price that methods are compared at, the one that is searched by first.

    Args:
        plan: of one of the methods.
        early: those alone that can be looked at before all is measured, on the selection half.
    """
    first = plan.experiments[0]
    measured = [
        one
        for name, one in first.cell.evaluation.items()
        if isinstance(one, Mapping) and not (early and first.evaluators[name].first_look() is None)
    ]
    texts = [f"{PERPLEXITY}{text}" for one in measured if one.get("kind") == "perplexity" for text in one["texts"]]
    return [*(KL for one in measured if one.get("kind") == "divergence"), *dict.fromkeys(texts)]
