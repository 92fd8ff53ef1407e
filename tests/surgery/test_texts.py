import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgery import InputError
from surgery.texts.texts import read_texts


def rows(n: int = 12) -> list[tuple[str, str]]:
    return [(f"text {i}", "bad" if i % 2 else "good") for i in range(2 * n)]


def write(folder: Path, kind: str) -> Path:
    path = folder / f"texts.{kind}"
    table = pd.DataFrame(rows(), columns=["comment", "kind"])
    match kind:
        case "csv":
            table.to_csv(path, index=False)
        case "tsv":
            table.to_csv(path, index=False, sep="\t")
        case "jsonl":
            table.to_json(path, orient="records", lines=True)
        case "parquet":
            table.to_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_the_same_rows_are_the_same_texts_in_every_format(tmp_path: Path, kind: str) -> None:
    found = read_texts(write(tmp_path, kind), "comment", "kind", avoid=["bad"])
    assert list(zip(found.texts, found.labels, strict=True)) == [(text, int(label == "bad")) for text, label in rows()]
    assert found.classes == ("other", "bad")
    plain = read_texts(write(tmp_path, "csv"), "comment", "kind", avoid=["bad"])
    assert found.fingerprint == plain.fingerprint


def test_columns_by_number_read_files_without_a_header(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("".join(f"id{i}\t{label}\t{text}\n" for i, (text, label) in enumerate(rows())))
    found = read_texts(path, 2, 1, avoid=["bad"])
    assert len(found) == len(rows())
    assert found.texts[0] == "text 0"


def test_a_cell_may_hold_several_labels_and_rows_of_both_classes_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [f'joy {i},"1,7"' for i in range(10)] + [f"rage {i},2" for i in range(10)]
    lines += ['both,"1,2"', "neither,9", ",1"]
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    found = read_texts(path, "text", "label", avoid=[2], against=[1, 3], separator=",")
    assert found.labels == (0,) * 10 + (1,) * 10
    assert found.left_out == "1 without text, 2 of neither class or of both"


def test_labels_are_compared_as_words_and_lists_need_no_separator(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    labels = [1, 1.0, True, "1", [1, 5]] * 3 + [0, 0.0, False, "0", [0]] * 3
    path.write_text("".join(json.dumps({"text": f"t{i}", "label": label}) + "\n" for i, label in enumerate(labels)))
    assert read_texts(path, "text", "label", avoid=[1]).labels == (1,) * 15 + (0,) * 15


def test_in_tab_separated_files_quotation_marks_are_characters(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("text\tlabel\n" + "".join(f'"no {i}\t1\nyes" {i}\t0\n' for i in range(10)))
    found = read_texts(path, "text", "label")
    assert len(found) == 20
    assert found.texts[0] == '"no 0'


def test_a_limit_keeps_the_share_of_each_class_and_the_order(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"t{i:04},{int(i % 4 == 0)}\n" for i in range(400)))
    found = read_texts(path, "text", "label", limit=100, seed=3)
    assert (len(found), sum(found.labels)) == (100, 25)
    assert list(found.texts) == sorted(found.texts)
    assert found.fingerprint == read_texts(path, "text", "label", limit=100, seed=3).fingerprint
    assert found.fingerprint != read_texts(path, "text", "label", limit=100, seed=4).fingerprint
    with pytest.raises(InputError, match="below the 20 texts"):
        read_texts(path, "text", "label", limit=5)


def test_a_label_in_both_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'bad' is both in"):
        read_texts(write(tmp_path, "csv"), "comment", "kind", avoid=["bad"], against=["bad"])


FLAGS = ["toxic", "threat", "insult"]


def test_several_label_columns_name_the_labels_a_row_carries(tmp_path: Path) -> None:
    rows = [{"id": i, "said": f"t{i}", "toxic": i % 2, "threat": int(i == 0), "insult": 0} for i in range(40)]
    rows += [{"id": -1, "said": "not judged", "toxic": -1, "threat": -1, "insult": -1}]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    found = read_texts(tmp_path / "t.csv", "said", FLAGS, avoid=FLAGS)
    assert found.labels == tuple(int(i % 2 or i == 0) for i in range(40))
    assert found.left_out == "1 of neither class: no judgement (-1)"
    assert read_texts(tmp_path / "t.parquet", "said", FLAGS, avoid=FLAGS).fingerprint == found.fingerprint
    with pytest.raises(InputError, match="avoid=\\['threat'\\] gives 1 texts"):
        read_texts(tmp_path / "t.csv", "said", FLAGS, avoid=["threat"])


def test_several_text_columns_are_the_labels_of_the_last_answers_in_them(tmp_path: Path) -> None:
    def talk(i: int, ending: str) -> list[dict[str, str]]:
        said = ["hello", "hi", "and now?", f"{ending} {i}"]
        return [{"from": ("human", "gpt")[n % 2], "value": words} for n, words in enumerate(said)]

    rows = [
        {"question": f"q{i}", "safe": {"0": talk(i, "no"), "1": talk(i, "never")}, "harmful": {"0": talk(i, "yes")}}
        for i in range(10)
    ]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    found = read_texts(tmp_path / "t.json", ["safe", "harmful"], None, avoid=["harmful"], against=["safe"])
    assert (len(found), sum(found.labels)) == (30, 10)
    assert set(found.texts) == {f"{said} {i}" for said in ("no", "never", "yes") for i in range(10)}
    assert all(label == said.startswith("yes") for said, label in zip(found.texts, found.labels, strict=True))
    other = read_texts(tmp_path / "t.json", ["safe", "harmful"], None, avoid=["safe"], balance=True, limit=20)
    assert (len(other), sum(other.labels)) == (20, 10)
    with pytest.raises(InputError, match=r"say behavior\.label=null"):
        read_texts(tmp_path / "t.json", ["safe", "harmful"], "question")


def test_classes_are_named_by_their_label_values(tmp_path: Path) -> None:
    rows = [{"text": f"t{i}", "labels": [i % 4] if i % 8 else [1, 2]} for i in range(64)]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    found = read_texts(
        tmp_path / "t.parquet",
        "text",
        "labels",
        labels={"glad": [0, 1], "gloomy": [2]},
        avoid=["gloomy"],
        against=["glad"],
    )
    assert found.classes == ("glad", "gloomy")
    expected = [int(i % 4 == 2) for i in range(64) if i % 8 and i % 4 != 3]
    assert list(found.labels) == expected


def test_balanced_classes_are_of_one_size_and_drawn_by_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"t{i:04},{int(i % 4 == 0)}\n" for i in range(400)))
    found = read_texts(path, "text", "label", balance=True)
    assert (len(found), sum(found.labels)) == (200, 100)
    assert found.left_out == "200 to balance the classes"
    assert list(found.texts) == sorted(found.texts)
    assert found.fingerprint != read_texts(path, "text", "label", balance=True, seed=1).fingerprint


@pytest.mark.parametrize("header", [True, False])
def test_column_names_are_given_to_a_file_that_has_none(tmp_path: Path, header: bool) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("said\tkind\n" * header + "".join(f"t{i}\t{i % 2}\n" for i in range(30)))
    found = read_texts(path, "said", "kind", columns=["said", "kind"])
    assert found.texts == tuple(f"t{i}" for i in range(30))


def test_a_missing_file_says_where_it_can_be_had(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train.csv' is not there; give a .* file; get it at example.org"):
        read_texts(tmp_path / "train.csv", "text", "label", where_else="get it at example.org")


UNJUDGED = ["NA", "N/A", "NaN", "nan", "None", "null", "-1", "-1.0", "", "  "]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(UNJUDGED), min_size=1, max_size=20), st.sampled_from(["csv", "tsv", "jsonl", "parquet"])
)
def test_rows_without_a_judgement_are_of_neither_class_and_counted(
    tmp_path: Path, nothing: list[str], kind: str
) -> None:
    rows = [(f"t{i}", str(i % 2)) for i in range(24)] + [(f"nobody looked {i}", one) for i, one in enumerate(nothing)]
    found = read_texts(written(tmp_path, rows, kind), "text", "label")
    assert found.texts == tuple(f"t{i}" for i in range(24))
    assert found.left_out.startswith(f"{len(nothing)} of neither class: no judgement (")


@pytest.mark.parametrize("nothing", [None, float("nan"), -1, -1.0, [], [None], [-1, ""]])
@pytest.mark.parametrize("kind", ["jsonl", "json"])
def test_what_only_json_can_say_of_no_judgement(tmp_path: Path, nothing: object, kind: str) -> None:
    rows = [(f"t{i}", i % 2) for i in range(24)] + [("nobody looked", nothing)]
    assert len(read_texts(written(tmp_path, rows, kind), "text", "label")) == 24


def test_nothing_in_parquet_is_no_judgement(tmp_path: Path) -> None:
    for labels in ([0, 1] * 12 + [None], [0.0, 1.0] * 12 + [float("nan")], [True, False] * 12 + [None]):
        pd.DataFrame({"text": [f"t{i}" for i in range(25)], "label": labels}).to_parquet(tmp_path / "t.parquet")
        found = read_texts(tmp_path / "t.parquet", "text", "label")
        assert (len(found), sum(found.labels)) == (24, 12)


@pytest.mark.parametrize(("word", "named"), [("-1", -1), ("NA", "NA"), ("", ""), ("NaN", float("nan")), ("", None)])
def test_what_is_named_is_a_label(tmp_path: Path, word: str, named: object) -> None:
    path = written(tmp_path, [(f"t{i}", "1" if i % 2 else word) for i in range(24)], "csv")
    for classes in ({"against": [named]}, {"against": ["rest"], "labels": {"rest": [named]}}):
        found = read_texts(path, "text", "label", **classes)
        assert (found.labels, found.left_out) == ((0, 1) * 12, "")
    assert read_texts(path, "text", "label", avoid=[named], against=[1]).labels == (1, 0) * 12
    with pytest.raises(
        InputError, match=r"0 texts.* 10 fewer than the 10.*12 of neither class: no judgement.*named in"
    ):
        read_texts(path, "text", "label")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([1, 1.0, True, "1", "1.0", "True", "1e0"]),
    st.sampled_from(["1", "1.0", "true", "True", "1.00", " 1 "]),
    st.sampled_from(["0", "0.0", "false", "False", "0.00"]),
    st.sampled_from(["csv", "tsv", "jsonl", "json", "parquet"]),
)
def test_equal_labels_are_equal_however_they_are_written(
    tmp_path: Path, avoid: object, one: str, zero: str, kind: str
) -> None:
    path = written(tmp_path, [(f"t{i}", one if i % 2 else zero) for i in range(24)], kind)
    assert read_texts(path, "text", "label", avoid=[avoid]).labels == (0, 1) * 12
    # As flags, a column a label.
    assert read_texts(path, "text", ["label"], avoid=["label"]).labels == (0, 1) * 12
    several = written(tmp_path, [(f"t{i}", f"7|{one}" if i % 2 else f"{zero}|NA") for i in range(24)], kind)
    assert read_texts(several, "text", "label", avoid=[avoid], separator="|").labels == (0, 1) * 12


def test_flags_that_pandas_wrote_with_a_gap_are_flags(tmp_path: Path) -> None:
    rows = {"text": [f"t{i}" for i in range(41)], "toxic": [0.0, 1.0] * 20 + [None], "insult": [0.0] * 41}
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    found = read_texts(tmp_path / "t.csv", "text", ["toxic", "insult"], avoid=["toxic", "insult"])
    assert found.labels == (0, 1) * 20
    assert found.left_out == "1 of neither class: no judgement (empty)"


@pytest.mark.parametrize("words", [("no", "yes"), ("off", "on"), ("No", "Yes"), ("n", "y")])
def test_words_that_yaml_takes_for_truth_values_are_words(tmp_path: Path, words: tuple[str, str]) -> None:
    path = written(tmp_path, [(f"t{i}", words[i % 2]) for i in range(24)], "csv")
    assert read_texts(path, "text", "label", avoid=[words[0]]).labels == (1, 0) * 12
    with pytest.raises(InputError, match=f"the labels there are {words[0]}, {words[1]}"):
        read_texts(path, "text", "label", avoid=[False])


def test_an_error_says_which_rows_are_missing_and_where_the_others_went(tmp_path: Path) -> None:
    rows = [(f"bad {i % 3}", "1") for i in range(12)] + [(f"good {i}", "0") for i in range(20)]
    path = written(tmp_path, [*rows, *(("unseen", "NA") for _ in range(5)), ("", "1"), ("both", "1,0")], "csv")
    with pytest.raises(InputError) as error:
        read_texts(path, "text", "label", against=[0], separator=",")
    assert str(error.value) == (
        f"behavior.avoid=['1'] gives 3 texts that differ, in 12 rows, in '{path}', 7 fewer than the 10 a probe needs; "
        "the other class has 20; left out: 1 without text, 5 of neither class: no judgement (NA), "
        "1 of neither class or of both; the labels there are 0, 1; a word that is a label all the same is named in "
        "behavior.against"
    )


def test_copies_are_counted_and_so_are_those_with_both_labels(tmp_path: Path) -> None:
    rows = [(f"t{i}", str(i % 2)) for i in range(24)] + [("T0 ", "0"), ("t1", "1"), (" t2", "1"), ("t2", "0")]
    found = read_texts(written(tmp_path, rows, "csv"), "text", "label")
    assert found.repeated == "3 texts stand there more than once, in 7 rows, 1 of them with both labels"
    assert found.contrary == 1
    assert read_texts(written(tmp_path, rows[:24], "csv"), "text", "label").repeated == ""


def test_what_a_limit_leaves_out_is_told(tmp_path: Path) -> None:
    path = written(tmp_path, [(f"t{i}", str(i % 2)) for i in range(60)], "csv")
    assert read_texts(path, "text", "label", limit=40).left_out == "20 beyond behavior.limit"


def written(folder: Path, rows: Sequence[tuple[str, object]], kind: str) -> Path:
    path = folder / f"t.{kind}"
    objects = [{"text": text, "label": label} for text, label in rows]
    match kind:
        case "csv" | "tsv":
            pd.DataFrame(objects).to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
        case "jsonl":
            path.write_text("".join(json.dumps(one) + "\n" for one in objects))
        case "json":
            path.write_text(json.dumps(objects))
        case "parquet":
            pd.DataFrame(objects).to_parquet(path)
    return path
