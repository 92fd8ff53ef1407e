"""Behavior against price, a line a method."""

from operator import itemgetter

from sweeps.charts.chart import Axis, Chart, Dash, Level, Mark, Points
from sweeps.charts.palette import BASE, SERIES, SOFT, SYMBOLS
from sweeps.equal_price.prices import Price
from sweeps.equal_price.told import MethodComparison

LINES: tuple[Dash, ...] = ("solid", "dash", "dot")


def frontier_charts(found: MethodComparison) -> dict[str, Chart]:
    """One for each price that was measured, by the name of its file."""
    return {f"methods-{price.name}": frontier_chart(found, price) for price in found.prices}


def frontier_chart(found: MethodComparison, price: Price) -> Chart:
    """The settings that each method would be given at any price, on the report half with their intervals.

    Of settings that cost more than the axis has room for none is drawn.
    """
    fronts = {
        method: [
            (cost, told) for told in found.fronts[price.name, method] if (cost := told.paid[price.name]) is not None
        ]
        for method in found.cells
    }
    costs = [0.0, *price.levels, *(cost for front in fronts.values() for cost, _ in front if cost <= price.most)]
    margin = 0.05 * (max(costs) - min(costs)) or 0.05
    marks: list[Mark] = [Level("", "x", price.axis(level), SOFT, dash="dot") for level in price.levels]
    for place, (method, front) in enumerate(fronts.items()):
        # In the order of what they cost here; they were ranked by what they cost on the other half.
        drawn = sorted(((cost, told) for cost, told in front if cost <= price.most), key=itemgetter(0))
        beyond = len(front) - len(drawn)
        dearer = f" ({beyond} dearer setting{'s' * (beyond > 1)} not drawn)" if beyond else ""
        marks.append(
            Points(
                method + dearer,
                tuple(price.axis(cost) for cost, _ in drawn),
                tuple(told.value for _, told in drawn),
                SERIES[place % len(SERIES)],
                # Colours come round again; symbols and lines are then others.
                symbol=SYMBOLS[(place + place // len(SERIES)) % len(SYMBOLS)],
                joined=LINES[place // len(SERIES) % len(LINES)],
                y_intervals=tuple((told.low, told.high) for _, told in drawn),
                cells=tuple(told.cells[0] for _, told in drawn),
            )
        )
    marks.append(Points("base", (0.0,), (found.base,), BASE, symbol="star", size=11))
    better = "lower" if found.lowest else "higher"
    return Chart(
        Axis(price.words, limits=(price.axis(min(costs) - margin), price.axis(max(costs) + margin))),
        Axis(f"{found.behavior} ({better} is better)"),
        tuple(marks),
        metrics=(found.behavior,),
    )
