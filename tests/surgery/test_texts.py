import json
from pathlib import Path

import pandas as pd
import pytest

from surgery import InputError
from surgery.texts import read_texts


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
