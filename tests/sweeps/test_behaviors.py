"""The paper's behaviors, each read from a few made-up rows in the schema of its data set, by one override."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra import compose, initialize_config_module

from surgery import InputError
from surgery.texts.texts import LabelledTexts
from sweeps.config import resolvers
from sweeps.config.read_settings import plain, read_settings
from sweeps.plan.materials import Materials


def read(behavior: str, path: Path | None = None, *more: str) -> LabelledTexts:
    resolvers.register()
    local = [] if path is None else [f"behavior.path={path}"]
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", [f"behavior={behavior}", *local, *more])
    return Materials().texts(read_settings(plain(config)))


def jigsaw(folder: Path) -> Path:
    columns = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    rows = [{"id": f"{i:x}", "comment_text": f"comment {i}", **dict.fromkeys(columns, 0)} for i in range(60)]
    for i, row in enumerate(rows[:12]):
        row[columns[i % 6]] = 1
    pd.DataFrame(rows).to_csv(folder / "train.csv", index=False)
    return folder / "train.csv"


def go_emotions(folder: Path) -> Path:
    ids = ["0", "17,4", "25", "2,3", "27", "6", "17,25"]
    lines = [f"comment {i}\t{ids[i % 7]}\ted{i}\n" for i in range(84)]
    (folder / "train.tsv").write_text("".join(lines))
    return folder / "train.tsv"


def harmful_qa(folder: Path) -> Path:
    def talks(said: str) -> dict[str, Any]:
        return {"0": [{"from": "human", "value": "how?"}, {"from": "gpt", "value": said}]}

    rows = [
        {"id": i, "question": "how?", "blue_conversations": talks(f"no {i}"), "red_conversations": talks(f"so {i}")}
        for i in range(12)
    ]
    (folder / "data_for_hub.json").write_text(json.dumps(rows))
    return folder / "data_for_hub.json"


@pytest.mark.parametrize(
    ("behavior", "write", "classes", "avoided", "kept"),
    [
        ("detoxify", jigsaw, ("other", "identity_hate insult obscene severe_toxic threat toxic"), "comment 3", None),
        ("positive", go_emotions, ("positive", "negative"), "comment 2", "comment 1"),
        ("negative", go_emotions, ("negative", "positive"), "comment 1", "comment 2"),
        ("jailbreak_resist", harmful_qa, ("blue_conversations", "red_conversations"), "so 3", "no 3"),
        ("jailbreak_surrender", harmful_qa, ("red_conversations", "blue_conversations"), "no 3", "so 3"),
    ],
)
def test_a_behavior_reads_a_local_copy_of_its_data_by_one_override(
    tmp_path: Path,
    behavior: str,
    write: Callable[[Path], Path],
    classes: tuple[str, str],
    avoided: str,
    kept: str | None,
) -> None:
    found = read(behavior, write(tmp_path))
    assert found.classes == classes
    assert len(found) == 2 * sum(found.labels) >= 24
    label = dict(zip(found.texts, found.labels, strict=True))
    assert label[avoided] == 1
    if kept is not None:
        assert label[kept] == 0


def test_comments_that_are_neither_or_both_are_left_out(tmp_path: Path) -> None:
    found = read("positive", go_emotions(tmp_path))
    assert not {"comment 4", "comment 5", "comment 6"} & set(found.texts)
    assert "36 of neither class or of both" in found.left_out


def test_one_of_the_six_columns_can_be_the_behavior(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"avoid=\['threat'\] gives 2 texts"):
        read("detoxify", jigsaw(tmp_path), "behavior.avoid=[threat]")


@pytest.mark.parametrize(
    ("behavior", "words"),
    [("detoxify", "kaggle.com"), ("positive", "google-research"), ("jailbreak_resist", "declare-lab/HarmfulQA")],
)
def test_without_its_data_a_behavior_says_where_to_get_it(tmp_path: Path, behavior: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read(behavior, tmp_path / "missing.csv")
    assert "missing.csv' is not there" in str(refused.value)
    with pytest.raises(InputError, match=words) as refused:
        read(behavior)
    assert "HF_HUB_OFFLINE" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_every_hub_address_pins_a_commit() -> None:
    resolvers.register()
    for behavior in ("detoxify", "positive", "negative", "jailbreak_resist", "jailbreak_surrender"):
        with initialize_config_module("conf", version_base="1.3"):
            path = plain(compose("config", [f"behavior={behavior}"]))["behavior"]["path"]
        assert len(path.split("@")[1].split("/")[0]) == 40
