"""What an edit touched: how the cosines of its rows lie, and its layers; and how long the stages took."""

from collections.abc import Sequence

from sweeps.charts.chart import Axis, Bars, Chart, Line, Mark
from sweeps.charts.palette import MAIN, PALE, SOFT
from sweeps.report.drawn_sweep import Row, rounded

# Fewer rows than this are expected in a bin: not drawn.
LEAST_EXPECTED = 0.1


def cosines_chart(row: Row) -> Chart | None:
    """How the cosines of all candidate rows lie, where the region is in them, and what random vectors would give.

    Logarithmic, the paper's Figure 3. None for a record of before cosines were kept.
    """
    told = row["cosines"]
    if told is None:
        return None
    width = 2 * told["reach"] / len(told["rows"])
    middles = tuple(rounded(-told["reach"] + (index + 0.5) * width) for index in range(len(told["rows"])))

    def bars(name: str, counts: Sequence[int], colour: str) -> Bars:
        return Bars(name, middles, tuple(count or None for count in counts), rounded(width), colour)

    marks: list[Mark] = [bars("all rows", told["rows"], PALE), bars("region", told["region"], MAIN)]
    if "random" in told:
        expected = tuple(count if count >= LEAST_EXPECTED else None for count in told["random"])
        marks.append(Line("as many random vectors", middles, expected, SOFT, dash="dash"))
    most = max([*told["rows"], *told["region"], *told.get("random", ())])
    powers = [10**power for power in range(len(str(int(most))))]
    rows = Axis("rows", log=True, limits=(0.5, 2.0 * most), ticks=tuple((power, f"{power:,}") for power in powers))
    return Chart(Axis("cosine with the probe"), rows, tuple(marks), title=row["region"])


def layers_chart(row: Row) -> Chart | None:
    """How many of the region's rows each layer has; None where the record does not tell."""
    if not row["layers"]:
        return None
    layers = tuple(int(layer) for layer in row["layers"])
    bars = Bars("", layers, tuple(row["layers"].values()), 0.8, MAIN)
    last = max(layers)
    step = -(-last // 20)
    ticks = tuple((layer, str(layer)) for layer in range(1, last + 1) if layer % step == 0)
    return Chart(Axis("layer", limits=(0.4, last + 0.6), ticks=ticks), Axis("rows of the region"), (bars,))


def time_chart(rows: Sequence[Row]) -> Chart | None:
    """The seconds of each stage, of all cells together; None where no cell tells them."""
    stages = list(dict.fromkeys(stage for row in rows for stage in row["seconds"]))
    if not stages:
        return None
    sums = tuple(rounded(sum(row["seconds"].get(stage, 0.0) for row in rows)) for stage in stages)
    places = tuple(float(place) for place in range(len(stages)))
    bars = Bars("", places, sums, 0.8, MAIN, sideways=True, texts=tuple(f"{one:.1f} s" for one in sums))
    ticks = tuple(zip(places, stages, strict=True))
    # Room for the words at the ends of the bars.
    seconds = Axis("seconds, all cells", limits=(0, 1.2 * max(*sums, 0.1)))
    return Chart(seconds, Axis("", ticks=ticks, downward=True, limits=(-0.6, len(stages) - 0.4)), (bars,))
