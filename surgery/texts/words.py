"""When two labels, or two texts, are the same, however they were written down."""

import re

# What stands in a table where nobody has judged: never a label, unless it is named as one.
NOT_JUDGED = frozenset({"", "-1", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "none", "null"})

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Truth values, and what is no number: as a CSV or NumPy has it, and as YAML does.
_SPELT = {"true": "1", "false": "0", "nan": "nan", ".nan": "nan"}
# Up to here a float64 tells every whole number from the next.
_EXACT = 2**53


def as_word(value: object) -> str:
    """A label as the word it is compared by: 1, 1.0, true, '1', '1.0', '1e0' and 'True' are all '1'.

    A CSV's cell is a text, pandas writes a column that once had a gap as 1.0, and parquet holds truth values: what
    reads as a number is that number, and true and false are 1 and 0. Nothing (None) is the empty word.
    """
    if value is None:
        return ""
    text = str(value).strip()
    lowered = text.lower()
    if lowered in _SPELT:
        return _SPELT[lowered]
    if _WHOLE.fullmatch(text):
        return str(int(text.partition(".")[0]))
    if _NUMBER.fullmatch(text) and abs(number := float(text)) < _EXACT:
        return str(int(number)) if number.is_integer() else repr(number)
    return text


def is_judged(word: str) -> bool:
    """Whether a word says something of a text, rather than that nobody has looked: see NOT_JUDGED."""
    return word.lower() not in NOT_JUDGED


def text_key(text: str) -> str:
    """Equal for texts that differ in case and white space alone: to a probe the one is a copy of the other."""
    return " ".join(text.casefold().split())
