import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from evaluation.inputs.prompts import Prompt, halves, read_prompts
from surgery.errors import InputError


def texts(*arguments, **options) -> list[str]:
    return [prompt.text for prompt in read_prompts(*arguments, **options)]


def test_every_format_gives_the_same_prompts(tmp_path: Path) -> None:
    prompts = ["one, two", 'three "four"', "ä b"]
    rows = [{"id": str(i), "prompt": prompt} for i, prompt in enumerate(prompts)]
    (tmp_path / "p.txt").write_text("\r\n".join([*prompts, "", "  "]), encoding="utf-8-sig")
    (tmp_path / "p.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    (tmp_path / "p.csv").write_text('id,prompt\n0,"one, two"\n1,"three ""four"""\n2,ä b\n', encoding="utf-8")
    (tmp_path / "p.tsv").write_text('id\tprompt\n0\tone, two\n1\tthree "four"\n2\tä b\n', encoding="utf-8")
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    for ending in ("txt", "jsonl", "csv", "tsv", "parquet"):
        assert texts(tmp_path / f"p.{ending}") == prompts, ending
        assert texts(tmp_path / f"p.{ending}", limit=2) == prompts[:2], ending


def test_real_toxicity_prompts_are_read_as_published(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"challenging": True, "prompt": {"text": "He said", "toxicity": 0.9}}))
    assert texts(path) == ["He said"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.txt", None, "is not there"),
        ("empty.txt", b"", "is empty"),
        ("blank.jsonl", b" \n\n", "is empty"),
        ("latin.txt", b"fine\nfine\ncaf\xe9\n", "line 3 can't be decoded"),
        ("latin.csv", b"prompt\ncaf\xe9\n", "line 2 can't be decoded"),
        ("other.csv", b"text,label\na,b\n", "no column 'prompt'; its columns are text, label"),
        ("other.jsonl", b'{"text": "a", "n": 1}\n', "no column 'prompt'; its columns are text, n"),
        ("broken.jsonl", b'{"prompt": "a"}\n{"prompt": \n', "not JSON in line 2"),
        ("list.jsonl", b'["a"]\n', "a list in line 1"),
        ("number.jsonl", b'{"prompt": "a"}\n{"prompt": 3}\n', "no text in line 2"),
        ("header.csv", b"prompt,label\n", "holds no rows"),
        ("x.parquet", b"no parquet", "can't be read as parquet"),
        ("x.xlsx", b"zip", "no known format; it can be .txt, .csv, .tsv, .json, .jsonl, .parquet, .yaml, .yml"),
    ],
)
def test_files_that_can_not_be_used_say_why_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, says: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as raised:
        read_prompts(path)
    assert "\n" not in str(raised.value)


def test_a_missing_parquet_column_names_the_columns(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"a": ["x"], "b": ["y"]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="its columns are a, b"):
        read_prompts(tmp_path / "p.parquet")


def test_a_limit_has_to_be_positive(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="limit is 0"):
        read_prompts(tmp_path / "p.txt", limit=0)


def test_halves_are_equal_fixed_by_the_seed_and_blind_to_order() -> None:
    prompts = [f"prompt {i}" for i in range(101)]
    split = dict(zip(prompts, halves(prompts, seed=0), strict=True))
    assert sorted([list(split.values()).count("report"), list(split.values()).count("selection")]) == [50, 51]
    assert halves(prompts[::-1], seed=0) == [split[prompt] for prompt in prompts[::-1]]
    assert halves(prompts, seed=1) != list(split.values())


def test_identical_prompts_share_a_half() -> None:
    prompts = ["a", "b", "a", "c", "a", "d", "b"]
    for seed in range(10):
        where = halves(prompts, seed)
        assert where[0] == where[2] == where[4]
        assert where[1] == where[6]
        assert {"report", "selection"} == set(where)


def test_rows_are_chosen_by_what_a_column_says_and_grouped_by_another(tmp_path) -> None:
    rows = [("a", True, "x"), ("b", False, "x"), ("c", True, "y")]
    (tmp_path / "p.jsonl").write_text(
        "\n".join(json.dumps({"prompt": {"text": t}, "challenging": c, "kind": k}) for t, c, k in rows)
    )
    (tmp_path / "p.csv").write_text("prompt,challenging,kind\n" + "\n".join(f"{t},{c},{k}" for t, c, k in rows))
    for ending in ("jsonl", "csv"):
        found = read_prompts(tmp_path / f"p.{ending}", where={"challenging": True}, category="kind")
        assert found == [Prompt("a", "x"), Prompt("c", "y")]
    with pytest.raises(InputError, match="no prompts where challenging is 3"):
        read_prompts(tmp_path / "p.csv", where={"challenging": 3})
    with pytest.raises(InputError, match="no column 'hard'; its columns are prompt, challenging, kind"):
        read_prompts(tmp_path / "p.csv", where={"hard": True})


def test_a_tree_of_headings_is_read_in_order(tmp_path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("A:\n  Fraud:\n    high: [one, two]\n  Drugs:\n    low: [three]\nB:\n  Fraud:\n    low: [four]\n")
    found = read_prompts(path, category=2)
    assert found == [Prompt("one", "Fraud"), Prompt("two", "Fraud"), Prompt("three", "Drugs"), Prompt("four", "Fraud")]
    with pytest.raises(InputError, match="3 levels of headings, so category=4"):
        read_prompts(path, category=4)


def test_several_files_follow_each_other_and_written_new_lines_are_made_real(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("- one\\n- two\\n-\n")
    (tmp_path / "b.txt").write_text("- three\\n-\n")
    both = [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert texts(both) == ["- one\\n- two\\n-", "- three\\n-"]
    assert texts(both, unescape=True) == ["- one\n- two\n-", "- three\n-"]
