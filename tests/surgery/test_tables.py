"""The one reader of tables: what is whole reads the same in every format, what is damaged is refused with its line."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evaluation.inputs.prompts import read_prompts
from evaluation.scores_from_file import ImportedScores
from surgery import InputError
from surgery.texts.tables import FORMATS, read_table
from surgery.texts.texts import read_texts

SAME_FOLDER = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
# What text files can hold between tabs: no tab, line end or NUL, and no half of a pair.
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1).filter(str.strip)

# Each reads the same file: columns text, label, prompt, continuation, score.
NAMES = ("text", "label", "prompt", "continuation", "score")
READERS: dict[str, Callable[[Path], object]] = {
    "texts": lambda path: read_texts(path, "text", "label"),
    "prompts": read_prompts,
    "scores": lambda path: ImportedScores(path, "x").check(),
}


def whole(n: int = 24) -> list[list[str]]:
    return [[f"text {i}", str(i % 2), f"prompt {i}", f"goes on {i}", f"0.{i % 10}"] for i in range(n)]


def write(path: Path, rows: list[list[str]], names: tuple[str, ...] = NAMES) -> Path:
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    match path.suffix.lower():
        case ".csv" | ".tsv":
            tabs = path.suffix.lower() == ".tsv"
            with path.open("w", encoding="utf-8", newline="") as file:
                if tabs:
                    file.writelines("\t".join(row) + "\n" for row in [list(names), *rows])
                else:
                    csv.writer(file).writerows([list(names), *rows])
        case ".jsonl":
            path.write_text("".join(json.dumps(one) + "\n" for one in objects))
        case ".json":
            path.write_text(json.dumps(objects, indent=1))
        case ".parquet":
            pyarrow.parquet.write_table(pa.Table.from_pylist(objects), path)
    return path


@SAME_FOLDER
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=8))
def test_what_is_whole_reads_the_same_in_every_format(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    values = [list(row) for row in rows]
    for ending in FORMATS:
        table = read_table(write(tmp_path / f"t{ending}", values, ("a", "b")), "x")
        assert [table.column("a"), table.column("b")] == [list(one) for one in zip(*rows, strict=True)], ending


@pytest.mark.parametrize("ending", [*FORMATS, *(ending.upper() for ending in FORMATS), ".Parquet"])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reads_every_format_however_its_ending_is_written(
    tmp_path: Path, reader: str, ending: str
) -> None:
    READERS[reader](write(tmp_path / f"t{ending}", whole()))


def refused(reader: str, path: Path) -> str:
    with pytest.raises(InputError) as error:
        READERS[reader](path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    return str(error.value)


@SAME_FOLDER
@given(st.data())
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_row_is_refused_with_its_line(tmp_path: Path, reader: str, data: st.DataObject) -> None:
    rows = whole()
    row, column = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 4))
    kind = data.draw(st.sampled_from(["short", "long", "open", "nul", "latin", "json"]))
    lines = [",".join(NAMES), *(",".join(one) for one in rows)]
    values = rows[row]
    lines[row + 1] = {
        "short": ",".join(values[:-1]),
        "long": ",".join([*values, "more"]),
        "open": ",".join([*values[:column], '"' + values[column], *values[column + 1 :]]),
        "nul": lines[row + 1] + "\0",
        "latin": lines[row + 1] + "ä",
        "json": json.dumps(dict(zip(NAMES, values, strict=True))),
    }[kind]
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(lines).encode("latin-1" if kind == "latin" else "utf-8"))
    assert f"line {row + 2}" in refused(reader, path)


@SAME_FOLDER
@given(st.integers(0, 23), st.sampled_from(NAMES[:4]), st.integers(0xD800, 0xDFFF), st.booleans())
@pytest.mark.parametrize("reader", READERS)
def test_half_of_a_pair_is_refused_with_its_line_by_every_reader(
    tmp_path: Path, reader: str, row: int, column: str, half: int, a_line_each: bool
) -> None:
    objects = [dict(zip(NAMES, one, strict=True)) for one in whole()]
    objects[row][column] += f" {chr(half)} "
    path = tmp_path / ("t.jsonl" if a_line_each else "t.json")
    written = [json.dumps(one) for one in objects]
    path.write_text("\n".join(written) if a_line_each else "[" + ",\n".join(written) + "]")
    message = refused(reader, path)
    assert f"line {row + 1}" in message
    assert "surrogate" in message


def test_both_halves_of_a_pair_are_a_character(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"prompt": "\\ud83d\\ude00"}')
    assert read_table(tmp_path / "t.jsonl", "x").column("prompt") == ["😀"]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("said", FORMATS)
@pytest.mark.parametrize("held", FORMATS)
def test_another_format_than_the_ending_says_is_never_taken_for_it(
    tmp_path: Path, reader: str, said: str, held: str
) -> None:
    content = write(tmp_path / f"right{held}", whole()).read_bytes()
    (tmp_path / f"t{said}").write_bytes(content)
    if said == held or (said, held) == (".csv", ".tsv"):  # tabs are recognised
        READERS[reader](tmp_path / f"t{said}")
    else:
        refused(reader, tmp_path / f"t{said}")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".parquet"])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, reader: str, ending: str) -> None:
    content = write(tmp_path / f"whole{ending}", whole()).read_bytes()
    for length in (len(content) // 3, len(content) // 2 + 7, len(content) - 3):
        (tmp_path / f"t{ending}").write_bytes(content[:length])
        message = refused(reader, tmp_path / f"t{ending}")
        assert "line" in message or ending == ".parquet"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.csv", "id,prompt\n1,a\n2\n", "damaged in line 3: it has 1 values, but line 1 has 2"),
        ("t.csv", 'id,prompt\n1,"a\nb"\n2,"c\nd\n', "damaged in line 4: a quotation mark is opened there and never"),
        ("t.csv", 'id,prompt\n1,"a\n2,"b"\n', "damaged in line 2: a quotation mark is opened .* read to line 3"),
        ("t.csv", "prompt,prompt\na,b\n", "names two columns 'prompt' in line 1"),
        ("t.csv", '[\n {"prompt": "a"}\n]\n', "list of JSON objects from line 1 on; name it .json"),
        ("t.csv", "prompt\na\n".encode("utf-16"), "UTF-16 or UTF-32, not UTF-8; save it as UTF-8"),
        ("t.csv", "prompt\na\n".encode("utf-16-le"), "line 1 holds a NUL character"),
        ("t.tsv", "id,prompt\n1,a\n", "no tab in its first line, but commas or semicolons; name it .csv"),
        ("t.tsv", "id\tprompt\n1\n", "damaged in line 2: it has 1 values"),
        ("t.jsonl", '[{"prompt": "a"}]', "list in line 1.* named .json"),
        ("t.jsonl", '{"prompt": "a", "prompt": "b"}', "not JSON in line 1: an object gives 'prompt' twice"),
        ("t.jsonl", '{"prompt": ' + "1" * 5000 + "}", "not JSON in line 1"),
        ("t.jsonl", "[" * 100_000, "nested too deeply"),
        ("t.json", '[{"prompt": "a"},\n{"prompt": "b"}', "not JSON in line 2: the list is cut off"),
        ("t.json", '[{"prompt": "a"}\n{"prompt": "b"}]', "not JSON in line 2: a comma is missing"),
        ("t.json", '[{"prompt": "a"},\n{"prompt":', "not JSON in line 2"),
        ("t.json", '{"prompt": "a"}\n{"prompt": "b"}', "goes on in line 2.*named .jsonl"),
        ("t.json", '{"prompt": "a"}', "one object, not a list"),
        ("t.json", '[{"prompt": "a"}, 3]', "no object in line 1"),
        ("t.json", "[]", "no rows"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_what_to_do(
    tmp_path: Path, name: str, content: str | bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        read_table(tmp_path / name, "the file")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", "id,prompt\r\n1,a\r\n\r\n2,b\r\n"),
        ("t.csv", "id,prompt\r1,a\r2,b\r"),
        ("t.csv", '\ufeff"prompt",id\na,1\nb,2\n'),
        ("t.csv", "id;prompt\n1;a\n2;b\n"),
        ("t.csv", 'id\tprompt\n1\t"a"\n2\tb\n'),
        ("t.tsv", "\ufeffprompt\tid\na\t1\nb\t2\n"),
        ("t.jsonl", "\ufeff" + '{"prompt": "a"}\n\n{"prompt": "b"}'),
        ("t.json", '\ufeff\n [{"prompt": "a"},\n {"prompt": "b"} ]\n'),
        ("t.json", '{"prompt": {"0": "a", "1": "b"}, "id": {"0": 1, "1": 2}}'),
        ("t.json", '{"prompt": ["a", "b"]}'),
    ],
)
def test_ways_to_write_the_same_table(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_table(tmp_path / name, "the file").column("prompt") == ["a", "b"]


def test_between_tabs_quotes_are_characters_unless_rows_are_whole_only_without_them(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text('a\tb\n"x\t1\n"y"\t2\n')
    assert read_table(tmp_path / "t.tsv", "x").column("a") == ['"x', '"y"']
    (tmp_path / "t.tsv").write_text('a\tb\nx\t"one\ntwo"\n')
    assert read_table(tmp_path / "t.tsv", "x").column("b") == ["one\ntwo"]


def test_a_long_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('a\n"' + "long, " * 60_000 + '"\n')
    assert len(read_table(tmp_path / "t.csv", "x").column("a")[0]) == 360_000


def test_what_is_no_text_in_a_parquet_file_is_refused_with_its_row(tmp_path: Path) -> None:
    values = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\4\0\0\0\7\0\0\0"), pa.py_buffer(b"fineca\xe9"))
    pyarrow.parquet.write_table(pa.table({"prompt": values}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="damaged in row 2: column 'prompt' is not UTF-8"):
        read_table(tmp_path / "t.parquet", "x").column("prompt")


def test_a_folder_called_like_a_column_adds_none(tmp_path: Path) -> None:
    folder = tmp_path / "label=1"
    folder.mkdir()
    pyarrow.parquet.write_table(pa.table({"prompt": ["a"]}), folder / "t.parquet")
    assert list(read_table(folder / "t.parquet", "x").columns) == ["prompt"]
