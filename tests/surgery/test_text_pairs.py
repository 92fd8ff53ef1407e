"""Pairs of texts, read from anyone's table."""

import pytest

from surgery import InputError
from surgery.texts.text_pairs import TextPairs, matched, read_pairs


def test_columns_may_be_called_as_trl_or_paradetox_have_them(tmp_path) -> None:
    own, paradetox, prompted = (tmp_path / name for name in ("own.csv", "paradetox.tsv", "prompted.jsonl"))
    own.write_text("chosen,rejected\nkind,rude\nglad,sad\n")
    paradetox.write_text("toxic\tneutral1\tneutral2\nrude\tkind\t\nsad\tglad\tmerry\n")
    prompted.write_text('{"prompt": "say", "chosen": "kind", "rejected": "rude"}\n')
    expected = TextPairs(("kind", "glad"), ("rude", "sad"))
    assert read_pairs(own, "method.pairs") == read_pairs(paradetox, "method.pairs") == expected
    assert read_pairs(own, "method.pairs").fingerprint == expected.fingerprint
    assert read_pairs(prompted, "method.pairs") == TextPairs(("kind",), ("rude",), ("say",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("good,rejected\na,b\n", r"none of its columns \(good, rejected\) is called chosen or neutral or neutral1"),
        ("chosen,bad\na,b\n", "is called rejected or toxic"),
        ("chosen,rejected\na,b\nc,\n", r"has no text in column rejected of line 3; leave that row out"),
        ("chosen,rejected\n", "holds no rows"),
    ],
)
def test_what_holds_no_pairs_is_refused_in_one_sentence(tmp_path, content: str, said: str) -> None:
    (tmp_path / "pairs.csv").write_text(content)
    with pytest.raises(InputError, match=said):
        read_pairs(tmp_path / "pairs.csv", "method.pairs")


def test_fingerprints_tell_the_sides_and_the_order_of_pairs() -> None:
    pairs = [
        TextPairs(("a", "b"), ("c", "d")),
        TextPairs(("b", "a"), ("d", "c")),
        TextPairs(("c", "d"), ("a", "b")),
        TextPairs(("a", "b"), ("c", "d"), ("", "")),
    ]
    assert len({one.fingerprint for one in pairs}) == len(pairs)


def test_classes_are_matched_in_order_as_far_as_the_smaller_goes() -> None:
    assert matched(["a", "b", "c"], ["x", "y"]) == TextPairs(("a", "b"), ("x", "y"))
