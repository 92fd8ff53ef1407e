"""A cell of a sweep as a person names it: by its id, as the best, or by what it was composed of."""

from collections.abc import Iterable, Sequence

from surgery.errors import InputError
from surgery.texts.words import as_word
from sweeps.records.record import Record
from sweeps.records.sweep import Sweep, one_id
from sweeps.records.told_keys import swept_keys
from sweeps.results.best_cell import choose
from sweeps.results.protocols import by_protocol, hash_of

BEST = "best"
# So many cells are listed where a name fits several, or none.
TOLD = 12


def named_cell(name: str, sweep: Sweep, among: Sequence[Record] | None = None) -> Record:
    """The one cell that a name means.

    Args:
        name: an id or the beginning of one; `best`, the cell that the sweep's rule chooses; KEY=VALUE, or several of
            these with commas between (`alpha=3,top_k=48`), also after `best`, where seeds are pooled say.
        sweep: whose cell it is.
        among: only these of its records; None for all that have ended.

    Raises:
        InputError: when it means no cell, or several; says which there are.
    """
    records = sweep.finished() if among is None else among
    found = named_id(name, sweep, [record.cell for record in records], among)
    return next(record for record in records if record.cell == found)


def named_id(name: str, sweep: Sweep, ids: Sequence[str], among: Sequence[Record] | None = None) -> str:
    """As `named_cell`, where the beginning of an id does not need its record to be readable.

    Args:
        name, sweep, among: as there.
        ids: of the cells that have ended.
    """
    first, *rest = name.split(",")
    if first != BEST and "=" not in first:
        return one_id(name, ids)
    records = sweep.finished() if among is None else among
    conditions = rest if first == BEST else [first, *rest]
    found = _best(sweep, records) if first == BEST else list(records)
    for condition in conditions:
        found = _with_value(condition, found, sweep)
    if len(found) != 1:
        there = _listed(found or records)
        raise InputError(f"'{name}' means {len(found)} cells of sweep '{sweep.name}': say which of {there}")
    return found[0].cell


def _best(sweep: Sweep, records: Sequence[Record]) -> list[Record]:
    """The chosen cells: one for each way they were measured in, and for each seed where seeds are pooled."""
    cells: list[str] = []
    why: list[str] = []
    for alike in by_protocol([record for record in records if record.status == "done"]).values():
        if (rule := sweep.rule(alike)) is None:
            why.append("its cells have no one rule to choose by; name a cell by its id or by KEY=VALUE")
            continue
        chosen = choose(alike, rule, sweep.folder)
        cells += chosen.best.cells if chosen.best else ()
        why += [] if chosen.best else [chosen.why]
    if not cells:
        raise InputError(f"sweep '{sweep.name}' has no best cell: {why[0] if why else 'none is done'}")
    return [record for record in records if record.cell in cells]


def _with_value(condition: str, records: Sequence[Record], sweep: Sweep) -> list[Record]:
    """Those that were composed with KEY=VALUE, however a number is written."""
    key, equals, value = (part.strip() for part in condition.partition("="))
    known = list(dict.fromkeys(name for record in records for name in record.keys))
    if not equals or (known and key not in known):
        there = ", ".join(swept_keys([record.keys for record in records]) or known)
        raise InputError(f"'{condition}' is no KEY=VALUE of sweep '{sweep.name}'; its cells differ in {there}")
    found = [record for record in records if as_word(record.keys.get(key)) == as_word(value)]
    if records and not found:
        values = ", ".join(dict.fromkeys(str(record.keys.get(key, "-")) for record in records))
        raise InputError(f"no cell of sweep '{sweep.name}' has {condition}; {key} is {values} there")
    return found


def _listed(records: Iterable[Record]) -> str:
    """Cells by id, with what tells them apart."""
    known = list(records)
    keys = swept_keys([record.keys for record in known])
    several = len({record.protocol for record in known if record.metrics}) > 1
    told = []
    for record in known[:TOLD]:
        values = [f"{key}={record.keys[key]}" for key in keys if key in record.keys]
        measured = [f"measured as {hash_of(record.protocol)}"] if several else []
        told.append(f"{record.cell} ({' '.join([*values, *measured])})")
    return ", ".join(told) + (f" and {len(known) - TOLD} more" if len(known) > TOLD else "")
