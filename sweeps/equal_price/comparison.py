"""Each method's best setting at a price, told on other prompts than it was picked on, and its difference from another.

Every method is given what it costs by the same rule: of its cells that cost at most so much on the selection half, the
one with the best behavior there is its setting at this price. All that is told of it is of the report half.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.comparison.compare import band, compare
from evaluation.comparison.significance import holm_adjusted
from evaluation.measurements.measurement import Half, Measurement
from surgery.errors import InputError
from sweeps.equal_price.prices import Price, measured_prices
from sweeps.equal_price.told import SIGNIFICANT, Against, AtPrice, MethodComparison, Told, Word
from sweeps.records.choice import Choice
from sweeps.records.metric import key_of
from sweeps.records.metric_names import nearest_metrics
from sweeps.records.record import Record
from sweeps.records.sweep import config_of
from sweeps.records.told_keys import differing_keys
from sweeps.results.best_cell import best_of
from sweeps.results.broken_text import sound
from sweeps.results.giving_up import TOO_DEAR
from sweeps.results.pooling import Pooled, averaged, pool

REFERENCE = "surgery"
# The cells of the reference, and those of another method.
_Pair = tuple[tuple[str, ...], tuple[str, ...]]


def compared_methods(
    records: Sequence[Record], folder: Path, choice: Choice | None, against: str = ""
) -> MethodComparison:
    """Compares the methods of a sweep at the prices of `sweeps.equal_price.prices`.

    Args:
        records: of cells that were measured alike, whatever became of them.
        folder: of the sweep.
        choice: whose metric is the behavior; its conditions are of no account, the price takes their place.
        against: the method that others are compared with; empty for surgery, or the first where it has no cell.

    Raises:
        InputError: for cells of one method or of several models, a method that is not there, a behavior without two
            halves, no price, and samples that are not there.
    """
    if choice is None:
        raise InputError(
            "this sweep has no one rule that names the behavior; say --minimize METRIC or --maximize METRIC"
        )
    given_up = [record for record in records if record.status == "pruned"]
    dear = methods_of((record for record in given_up if str(record.error).startswith(TOO_DEAR)), folder)
    by_method = _by_method([record for record in records if record.status == "done"], dear, folder)
    if against and against not in by_method:
        raise InputError(
            f"no cell of '{folder.name}' is of the method '{against}'; there are {', '.join(sorted(by_method))}"
        )
    reference = against or (REFERENCE if REFERENCE in by_method else min(by_method))
    # Whichever cell ended first: the reference, then the others by name.
    by_method = {method: by_method[method] for method in sorted(by_method, key=lambda one: (one != reference, one))}
    every = [row for rows in by_method.values() for row in rows]
    base = _require_halves(every, choice.metric)
    prices = measured_prices(every)
    if not any(price.levels for price in prices):
        raise InputError(
            f"the cells of '{folder.name}' measured no price that methods can be compared at; run them with a "
            "perplexity (evaluation.text=FILE) or a divergence (evaluation.harmless_prompts=FILE)"
        )
    counts = {method: sum(len(r.cells) for r in rows) + len(dear.get(method, [])) for method, rows in by_method.items()}
    notes = tuple(_notes(records, counts, every, prices, dear))
    return _Reading(folder, choice, base, prices, by_method, dear).compared(reference, counts, notes)


def methods_of(records: Iterable[Record], folder: Path) -> dict[str, list[Record]]:
    """Records by what stands for a method: the cell's `variant` where it is one, else its method."""
    found: dict[str, list[Record]] = {}
    for record in records:
        variant = config_of(folder / record.cell).get("variant")
        found.setdefault(str(variant or record.keys.get("method")), []).append(record)
    return found


def _by_method(done: Sequence[Record], dear: Mapping[str, Sequence[Record]], folder: Path) -> dict[str, list[Pooled]]:
    """Each method's cells that are done; none of one whose cells were all given up."""
    found = methods_of(done, folder)
    methods = [*found, *(method for method in dear if method not in found)]
    if len(methods) < 2:
        raise InputError(
            f"the cells of '{folder.name}' that are done are of one method, {next(iter(methods), 'none')}; "
            "`surgery experiment=methods` runs several"
        )
    if not done:
        raise InputError(
            f"every cell of '{folder.name}' was given up, since it cost more than any price; search lower alphas"
        )
    for key in ("model", "behavior"):
        if len(values := {str(record.keys.get(key)) for record in done}) > 1:
            raise InputError(
                f"the cells of '{folder.name}' are of {len(values)} different values of {key} "
                f"({', '.join(sorted(values))}); methods are compared on one: give each a sweep of its own"
            )
    return {method: pool(found.get(method, []), folder) for method in methods}


def _require_halves(rows: Sequence[Pooled], metric: str) -> float:
    """The base's value on the report half; raises InputError where a setting can't be picked and told apart."""
    uses: dict[Half, str] = {"selection": "picked", "report": "reported"}
    for half, use in uses.items():
        if any((found := row.metrics.get(key_of(metric, half))) is None or found.edited is None for row in rows):
            known = [m.name for m in rows[0].metrics.values() if m.half == "report"]
            raise InputError(
                f"not every cell measured {metric} on the {half} half of the prompts, where settings are {use}; "
                f"the first measured {nearest_metrics(metric, known)}"
            )
    base = rows[0].metrics[metric].base
    if base is None:
        raise InputError(f"{metric} has no base to compare with")
    return base


def _notes(
    records: Sequence[Record],
    counts: Mapping[str, int],
    every: Sequence[Pooled],
    prices: Sequence[Price],
    dear: Mapping[str, Sequence[Record]],
) -> Iterable[str]:
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{method} {count}" for method, count in counts.items())
        yield f"the methods do not have the same number of cells: {told}"
    if dear:
        told = ", ".join(f"{len(cells)} of {method}" for method, cells in sorted(dear.items()))
        yield f"given up before all of them was measured, since they cost more than any price: {told}"
    ended = {kind: sum(record.status == kind for record in records) for kind in ("failed", "pruned")}
    ended["pruned"] -= sum(map(len, dear.values()))
    if any(ended.values()):
        yield f"cells not compared: {', '.join(f'{kind} {count}' for kind, count in ended.items() if count)}"
    if broken := len(every) - len(sound(every)):
        yield f"cells never picked, since they broke the text: {broken}"
    for price in prices:
        if not all(price.has_selection_half(row.metrics) for row in every):
            yield f"{price.name} has no selection half: cells are held to this price on all of its samples"


@dataclass(frozen=True)
class _Reading:
    """A sweep being read."""

    folder: Path
    choice: Choice
    base: float
    prices: Sequence[Price]
    by_method: Mapping[str, Sequence[Pooled]]
    dear: Mapping[str, Sequence[Record]]

    def compared(self, reference: str, counts: Mapping[str, int], notes: tuple[str, ...]) -> MethodComparison:
        """All of it."""
        by_method = self.by_method
        places = [(price, level, method) for price in self.prices for level in price.levels for method in by_method]
        picked = {place: self._pick(by_method[place[2]], *place[:2]) for place in places}
        fronts = {(price.name, m): self._front(rows, price) for price in self.prices for m, rows in by_method.items()}
        shown = {row.cells: row for row in (*picked.values(), *(r for front in fronts.values() for r in front)) if row}
        measured = {cells: self._measured(cells) for cells in shown}
        told = {cells: self._told(row, measured[cells]) for cells, row in shown.items()}
        pairs: dict[tuple[str, float, str], _Pair] = {}
        for price, level, method in places:
            ours, theirs = picked[price, level, reference], picked[price, level, method]
            if method != reference and ours is not None and theirs is not None:
                pairs[price.name, level, method] = ours.cells, theirs.cells
        against = self._against(list(dict.fromkeys(pairs.values())), measured)
        return MethodComparison(
            behavior=self.choice.metric,
            lowest=self.choice.lowest,
            base=self.base,
            reference=reference,
            cells=counts,
            prices=tuple(self.prices),
            rows=tuple(
                AtPrice(
                    price,
                    level,
                    method,
                    told[row.cells] if (row := picked[price, level, method]) else None,
                    against[pair] if (pair := pairs.get((price.name, level, method))) else None,
                )
                for price, level, method in places
            ),
            fronts={key: tuple(told[row.cells] for row in front) for key, front in fronts.items()},
            comparisons=len(against),
            notes=notes,
        )

    def _pick(self, rows: Sequence[Pooled], price: Price, level: float) -> Pooled | None:
        within = [row for row in sound(rows) if (paid := price.paid(row.metrics)) is not None and paid <= level]
        return best_of(within, self.choice)[0] if within else None

    def _front(self, rows: Sequence[Pooled], price: Price) -> list[Pooled]:
        """What would be picked at any price, from the lowest on."""
        prices = sorted({paid for row in sound(rows) if (paid := price.paid(row.metrics)) is not None})
        found = (self._pick(rows, price, level) for level in prices)
        return list({row.cells: row for row in found if row is not None}.values())

    def _measured(self, cells: tuple[str, ...]) -> Measurement:
        _, edited = averaged(cells, self.folder, self.choice.metric)
        found = [one for one in edited if one.half == "report"]
        if not found:
            raise InputError(f"the samples of cell {cells[0]} hold no {self.choice.metric}; run the cell again")
        return found[0]

    def _told(self, row: Pooled, measured: Measurement) -> Told:
        chosen = self._chosen(row)
        try:
            low, high = band(measured)
        except ValueError as error:
            raise InputError(f"{error}; it is what an edit is paid with, so name another metric") from None
        return Told(
            cells=row.cells,
            keys={key: value for key, value in row.keys.items() if key in chosen},
            value=measured.summary,
            low=low,
            high=high,
            n=measured.n,
            paid={price.name: price.told(row.metrics) for price in self.prices},
            like_base=low <= self.base <= high,
        )

    def _chosen(self, row: Pooled) -> list[str]:
        """The keys that the cells of its method differ in, those that were given up among them."""
        method, rows = next((method, rows) for method, rows in self.by_method.items() if row in rows)
        given = [row.keys for row in rows] + [record.keys for record in self.dear.get(method, [])]
        return differing_keys(given)

    def _against(self, pairs: Sequence[_Pair], measured: Mapping[tuple[str, ...], Measurement]) -> dict[_Pair, Against]:
        """Each pair of cells compared once, however many prices it stands at."""
        found = [compare(measured[theirs], measured[ours]) for ours, theirs in pairs]
        adjusted = holm_adjusted([one.p for one in found])
        return {
            pair: Against(one.delta, *one.ci95, one.p, p, self._word(one.delta, p))
            for pair, one, p in zip(pairs, found, adjusted, strict=True)
        }

    def _word(self, difference: float, adjusted: float) -> Word:
        if adjusted > SIGNIFICANT or difference == 0:
            return "can't tell"
        return "better" if (difference < 0) == self.choice.lowest else "worse"
