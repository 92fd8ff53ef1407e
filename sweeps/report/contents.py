"""What a report shows, as plain data: the page, the figures and their tests all read this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from shlex import quote
from typing import Any

import yaml

from surgery.errors import InputError
from sweeps.equal_price.comparison import compared_methods, methods_of
from sweeps.equal_price.told import MethodComparison
from sweeps.findings.metric_words import explained
from sweeps.findings.one_sentence import in_one_sentence
from sweeps.findings.qualification import qualification
from sweeps.findings.trust import what_to_trust
from sweeps.records.choice import Choice
from sweeps.records.metric import Metric
from sweeps.records.record import AT_CHANCE, Record, in_order
from sweeps.records.told_keys import TellingKeys, swept_keys
from sweeps.report.fronts import front_of
from sweeps.report.page_samples import Samples, embedded_samples
from sweeps.results.best_cell import Chosen, choose
from sweeps.results.broken_text import degenerate
from sweeps.results.diagnosis import why_none
from sweeps.results.false_discoveries import significant
from sweeps.results.headlines import headline_metrics, reported_metrics
from sweeps.results.pooling import Pooled, pool
from sweeps.results.possible_values import possible
from sweeps.results.random_cosines import random_counts
from sweeps.results.trade_off import better, known_better, trade_off


@dataclass(frozen=True)
class Contents:
    """A sweep, ready to be drawn.

    Attributes:
        name: of the sweep.
        values: everything the page draws, of JSON's types.
        samples: texts, base beside edited, of some cells.
        methods: how its methods compare at an equal price; why they don't, in a sentence; None where it has one method.
    """

    name: str
    values: Mapping[str, Any]
    samples: Samples
    methods: MethodComparison | str | None = None


def contents(
    name: str, folder: Path, records: Sequence[Record], choice: Choice | None, picked: Sequence[str] = ()
) -> Contents:
    """Gathers what there is of a sweep.

    Values drawn are of the report half, of the selection half (and called so) where a sweep looked at that one alone;
    the cell that is called chosen was chosen on the selection half.

    Args:
        name: of the sweep.
        folder: its folder.
        records: of all its cells, whatever became of them; at least one is done.
        choice: the rule it is chosen by.
        picked: cells whose samples are wanted beside those of the chosen one and the front.
    """
    done = in_order(record for record in records if record.status == "done")
    outcome = choose(done, choice, folder) if choice else None
    rows = list(outcome.rows) if outcome else pool(done, folder)
    by_cell = {record.cell: record for record in done}
    names = reported_metrics(rows)
    headlines = headline_metrics(rows)
    behavior, ability = _drawn_over(rows, headlines, names, choice)
    best = outcome.best if outcome else None
    differs = significant(rows, headlines)
    swept, telling = swept_keys([row.keys for row in rows]), TellingKeys([record.keys for record in records])
    drawn = [
        _row(row, by_cell, names, swept, telling)
        | _said(row, choice)
        | {"chosen": best is not None and row.cell == best.cell}
        | {"significant": [metric for metric in headlines if differs.get((row.cell, metric))]}
        for row in rows
    ]
    front = front_of(drawn, (behavior, ability), _wanted(choice, names)["better"])
    drawn = [row | {"front": row["cell"] in front} for row in drawn]
    wanted = [*([best.cell] if best else []), *picked, *(cell for cell in front)]
    values = {
        "sweep": name,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "counts": {kind: sum(record.status == kind for record in records) for kind in ("done", "failed", "pruned")},
        "about": _about(done),
        **_wanted(choice, names),
        **_first_screen(outcome, choice, differs),
        "output": "" if str(folder.parent.parent) == "outputs" else f" -o {quote(str(folder.parent.parent))}",
        "metrics": [*headlines, *(metric for metric in names if metric not in headlines)],
        "headlines": headlines,
        "explained": {metric: about for metric in names if (about := explained(metric))},
        "bases": {metric: _one_base(rows, metric) for metric in headlines},
        "possible": {metric: _possible(rows, metric) for metric in names},
        "behavior": behavior,
        "ability": ability,
        "swept": swept,
        "grid": [key for key in swept if all(_is_number(row.keys.get(key)) for row in rows)],
        "comparisons": len(differs),
        "rows": drawn,
        "ended": _not_done(records, telling),
        "probes": _probes(done),
        "paper": _paper_points(behavior),
    }
    samples = embedded_samples(folder, list(dict.fromkeys(wanted)))
    return Contents(name, values, samples, _methods(records, folder, choice))


def _first_screen(
    outcome: Chosen | None, choice: Choice | None, differs: Mapping[tuple[str, str], bool]
) -> dict[str, Any]:
    """What the best edit did, or why there is none, and what to trust of it."""
    if outcome is None or choice is None:
        return {"half": "", "why": "", "sentence": "", "trust": []}
    best, why = outcome.best, outcome.why
    return {
        "half": outcome.half,
        "why": why if best else "; ".join(why_none(outcome, choice)),
        "sentence": in_one_sentence(best, choice) if best else why[:1].upper() + why[1:],
        "trust": what_to_trust(outcome, choice, differs),
    }


def _said(row: Pooled, choice: Choice | None) -> dict[str, Any]:
    """What a cell did in a sentence; whether it qualifies by the rule, or why not, with the values the rule saw."""
    by_rule = qualification(row, choice) if choice else None
    return {
        "sentence": in_one_sentence(row, choice),
        "qualifies": None if by_rule is None else {"why_not": by_rule.why_not, "values": by_rule.values},
    }


def _one_base(rows: Sequence[Pooled], metric: str) -> float | None:
    """What the unedited model measures; None where cells are of several models, or there is no base."""
    found = {_rounded([m.base])[0] for m in _of(rows, metric)}
    return found.pop() if len(found) == 1 else None


def _methods(records: Sequence[Record], folder: Path, choice: Choice | None) -> MethodComparison | str | None:
    if len(methods_of((record for record in records if record.status == "done"), folder)) < 2:
        return None
    try:
        return compared_methods(records, folder, choice)
    except InputError as error:
        return str(error)


def _wanted(choice: Choice | None, names: Sequence[str]) -> dict[str, Any]:
    """The rule with its limits, and which way of each metric is the better one: taken as such, and known to be."""
    limits = [
        {"metric": one.name, "of": one.of, "bound": one.bound, "words": str(one)}
        for one in (choice.where if choice else ())
    ]
    return {
        "rule": str(choice) if choice else None,
        "limits": limits,
        "better": {metric: better(metric, choice) for metric in names},
        "wanted": {metric: known_better(metric, choice) for metric in names},
    }


def _drawn_over(
    rows: Sequence[Pooled], headlines: Sequence[str], names: Sequence[str], choice: Choice | None
) -> tuple[str, str]:
    """The behavior and the ability of the trade-off: metrics with a base where there are such, else any."""
    compared = [metric for metric in names if any(m.base is not None for m in _of(rows, metric))]
    found = {
        name: [row.metrics[name].edited if name in row.metrics else None for row in rows]
        for name in [*headlines, *compared] or names
    }
    return trade_off(found, choice)


def _not_done(records: Sequence[Record], telling: TellingKeys) -> list[dict[str, Any]]:
    """The cells that failed or were given up, and why."""
    return [
        {"cell": record.cell, "status": record.status, "error": record.error, "told": telling.of(record.keys)}
        for record in in_order(record for record in records if record.status != "done")
    ]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(keys: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Numbers stay numbers; everything else is text."""
    return {key: keys[key] if _is_number(keys[key]) else str(keys[key]) for key in names if key in keys}


def _row(
    row: Pooled, by_cell: Mapping[str, Record], names: Sequence[str], swept: Sequence[str], telling: TellingKeys
) -> dict[str, Any]:
    record = by_cell[row.cell]
    found = {metric: row.metrics[metric] for metric in names if metric in row.metrics}
    return {
        "cell": row.cell,
        "cells": list(row.cells),
        "seeds": list(row.seeds),
        "keys": _plain(row.keys, swept),
        "told": telling.of(row.keys),
        # base, edited, change, interval, p, n, standard deviation over seeds
        "metrics": {
            metric: [
                *_rounded([m.base, m.edited, m.delta, m.low, m.high, m.p]),
                m.n,
                m.sd_over_seeds,
            ]
            for metric, m in found.items()
        },
        "broken": degenerate(row),
        "commands": [by_cell[cell].command for cell in row.cells],
        "seconds": {stage: round(seconds, 2) for stage, seconds in record.seconds.items()},
        "layers": dict(record.edit.get("rows_per_layer", {})),
        "region": record.edit.get("region", ""),
        "step": record.step,
        "cosines": _with_random(record.edit.get("cosines")),
    }


def _with_random(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A histogram of cosines beside what random vectors would give."""
    if told is None:
        return None
    random = random_counts(told)
    return dict(told) if random is None else {**told, "random": _rounded(random)}


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    """Six significant places are more than any interval here holds, and a third of the bytes."""
    return [None if value is None else float(f"{value:.6g}") for value in values]


def _possible(rows: Sequence[Pooled], metric: str) -> list[float | None]:
    return list(possible(metric, [value for m in _of(rows, metric) for value in (m.base, m.edited)]))


def _of(rows: Sequence[Pooled], metric: str) -> list[Metric]:
    return [row.metrics[metric] for row in rows if metric in row.metrics]


def _about(done: Sequence[Record]) -> dict[str, str]:
    """What was run and where: values that all cells share, or how many different ones there are."""

    def shared(values: Sequence[object]) -> str:
        different = list(dict.fromkeys(str(value) for value in values))
        return different[0] if len(different) == 1 else f"{len(different)} different: {', '.join(different[:4])}"

    keys = [key for key in ("model", "behavior", "layer", "method", "seed") if any(key in r.keys for r in done)]
    about = {key: shared([record.keys.get(key) for record in done]) for key in keys}
    about["model's fingerprint"] = shared([record.edit.get("base", "not recorded") for record in done])
    if older := sum(record.older_identity is not None for record in done):
        about["older identity"] = f"{older} of {len(done)} cells: their model was known by a sample of its weights"
    about["what was measured (hash)"] = shared([record.protocol or "not recorded" for record in done])
    places = [", ".join(f"{key} {value}" for key, value in record.machine.items()) for record in done]
    about["machine"] = shared([place or "not recorded" for place in places])
    about["versions"] = shared([", ".join(f"{key} {value}" for key, value in r.versions.items()) for r in done])
    return about


def _probes(done: Sequence[Record]) -> list[dict[str, Any]]:
    """Each probe once."""
    found: dict[str, dict[str, Any]] = {}
    for record in done:
        if (key := str(record.probe.get("fingerprint"))) not in found and record.probe:
            names = ("method", "layer", "texts", "train_accuracy", "test_accuracy", AT_CHANCE)
            found[key] = {name: record.probe.get(name) for name in names} | {"cells": 0, "cell": record.cell}
        if key in found:
            found[key]["cells"] += 1
    return list(found.values())


def _paper_points(behavior: str) -> list[dict[str, Any]]:
    """The paper's figures for the same behavior."""
    known = yaml.safe_load(files("sweeps.report").joinpath("paper.yaml").read_text(encoding="utf-8"))
    return [point for point in known if point["behavior"] == behavior]
