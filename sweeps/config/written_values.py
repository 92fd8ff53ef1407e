"""Values of a command line that are texts, made such that Hydra takes them as they are written.

Hydra's grammar reads `run=3`, `a (1).csv`, `~/x` and every letter beyond ASCII as mistakes, `20261125` and `1e3` as
numbers and `a,b` as two values. Where a key is a text, none of that is meant.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from omegaconf.grammar_parser import parse

from surgery.files.local_paths import is_there
from sweeps.config.key_types import is_mapping, items, members, written_as_text
from sweeps.config.read_settings import COMMAND_KEYS

# (key, value) of an override; a value may be of several lines.
_OVERRIDE = re.compile(r"(?P<key>\+{0,2}[^=+~][^=]*)=(?P<value>.*)", re.DOTALL)
_BRACKETS = {"[": "]", "{": "}"}
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]*")


def as_written(argument: str, type_of: Callable[[str], Any], may_sweep: bool) -> str:
    """An override that means what was written.

    Taken as one text is what is there as a file or folder under that name, whatever is in it. Else quotation marks
    around the whole of it are Hydra's, and so is `${...}`; in a sweep, commas part values, each of them a text.

    Args:
        argument: KEY=VALUE, as typed or as a sweeper's `params` have it.
        type_of: the type of a key, None where it is not known.
        may_sweep: whether commas part values.
    """
    match = _OVERRIDE.fullmatch(argument)
    if match is None:
        return argument
    key, value = match["key"], match["value"]
    read = _read(value)
    if read is not None and _is_text(read, value):
        return argument
    # Hydra's own schema makes the same digits of it where a text is meant, so that nothing has to be composed to know.
    if key.lstrip("+").startswith("hydra.") and _WHOLE_NUMBER.fullmatch(value):
        return argument
    annotation = type_of(key.lstrip("+"))
    if str in members(annotation) or items(annotation) is not None:
        may_sweep = may_sweep and key.lstrip("+").split(".")[0] not in COMMAND_KEYS
        return f"{key}={_source(value, annotation, read, may_sweep)}"
    # No more is known of it than that Hydra can't read it; what is not begun in its grammar can only be a text.
    begun = re.search(r"^\s*[\[{'\"]|\(", value)
    return argument if read is not None or begun else f"{key}={quoted(value)}"


def quoted(text: str) -> str:
    """A text in Hydra's grammar, with nothing in it that Hydra or OmegaConf would act on."""
    # A backslash before `${` takes its meaning, so those that stand there already are doubled.
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    return QuotedString(literal, Quote.single).with_quotes()


def source(text: str) -> str:
    """A text in Hydra's grammar, unquoted where it can stand so."""
    read = _read(text)
    return text if read is not None and _is_text(read, text) else quoted(text)


def _read(value: str) -> Override | None:
    """What Hydra makes of a value; None where it can't read it."""
    try:
        return OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return None


def _is_text(read: Override, written: str) -> bool:
    """Whether Hydra takes a value for the text that it is, also before a comma, which a backslash would take along."""
    plain = "${" not in written and not written.endswith("\\")
    return plain and not read.is_sweep_override() and read._value == written


def _source(value: str, annotation: Any, read: Override | None, may_sweep: bool) -> str:
    """What Hydra has to be given for a value of a type that is known."""
    takes_text = str in members(annotation)
    if takes_text and is_there(value):
        return _there(value)
    if may_sweep:
        swept = read._value if read is not None else None
        if read is not None and read.is_sweep_override() and not (isinstance(swept, ChoiceSweep) and swept.simple_form):
            return value  # choice(...), range(...) and their like
        parts = list(_parts(value, brackets=items(annotation) is not None or is_mapping(annotation)))
        if len(parts) > 1 and any(part.strip() for part in parts):
            return ",".join(
                _there(part) if takes_text and is_there(part) else _one(part.strip(), annotation) for part in parts
            )
    return _one(value, annotation)


def _there(path: str) -> str:
    """What Hydra has to be given for a file or folder that is there."""
    # One that is itself named with a ~ is not one of anybody's home.
    return quoted(str(Path(path).absolute()) if path.startswith("~") and Path(path).exists() else path)


def _one(value: str, annotation: Any) -> str:
    """What Hydra has to be given for one value, not a sweep."""
    item = items(annotation)
    if item is not None and value[:1] == "[" and value[-1:] == "]":
        inside = list(_parts(value[1:-1], brackets=True)) if value[1:-1].strip() else []
        return f"[{','.join(_one(part.strip(), item) for part in inside)}]"
    if is_mapping(annotation) and value[:1] == "{":
        return value
    read = _read(value)
    if read is not None and isinstance(read._value, QuotedString):
        return value
    if _has_interpolation(value):
        return value if read is not None else QuotedString(value, Quote.single).with_quotes()
    if not written_as_text(value, annotation) or (read is not None and _is_text(read, value)):
        return value
    return quoted(value)


def _parts(value: str, brackets: bool) -> Iterator[str]:
    """What commas part, but for those within quotation marks and brackets, which count where an item begins.

    Args:
        value: the parts.
        brackets: whether a part may be a list or a mapping.
    """
    part, quote, closing = "", "", ""
    for character in value:
        begins = not part.strip() or (part.rstrip()[-1] in "[{,:" and bool(closing))
        if quote:
            # An odd number of backslashes keeps a quotation mark from ending anything.
            escaped = (len(part) - len(part.rstrip("\\"))) % 2 == 1
            quote = "" if character == quote and not escaped else quote
        elif begins and character in "'\"":
            quote = character
        elif brackets and begins and character in _BRACKETS:
            closing += _BRACKETS[character]
        elif closing.endswith(character):
            closing = closing[:-1]
        elif character == "," and not closing:
            yield part
            part = ""
            continue
        part += character
    yield part


def _has_interpolation(value: str) -> bool:
    """Whether there is a `${...}` in it that can be read as one, and that no backslash makes plain text."""
    if not re.search(r"(?<!\\)(\\\\)*\$\{", value):
        return False
    try:
        parse(value)
    except OmegaConfBaseException:
        return False
    return True
