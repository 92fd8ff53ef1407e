"""What a hub can do wrong, through the real command: one line that says what to do, and exit code 1."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, Refusal  # type: ignore[import-not-found]
from repositories import JIGSAW, LLAMA, add_behaviors, add_llama, sentences  # type: ignore[import-not-found]

Command = Callable[..., Any]


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """A whole experiment whose model alone is on the hub; nothing of it is run."""
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((said, int(rude)) for said, rude in sentences(40))])
    texts = f"behavior.path={tmp_path / 'texts.csv'}"
    return [f"model.path={LLAMA}", texts, "evaluation=none", "tracking=none", "top_k=8", "dry_run=true"]


DATA = ["model=toyworld", "behavior=detoxify", "tracking=none", "dry_run=true"]


def told(ran: Any) -> str:
    """The one line that a refused command says."""
    assert ran.code == 1, ran.out + ran.err
    assert ran.out == ""
    [line] = ran.err.splitlines()
    assert line.startswith("surgery: ")
    return str(line)


@pytest.mark.slow
def test_a_gated_model_says_which_licence_to_accept_and_how_to_log_in(
    hub: Hub, tmp_path: Path, surgery: Command, arguments: list[str]
) -> None:
    add_llama(hub, tmp_path / "llama")
    hub.gated[LLAMA] = set()
    line = told(surgery(*arguments))
    for words in (f"'{LLAMA}' is gated", f"{hub.address}/{LLAMA}", "hf auth login", "HF_TOKEN"):
        assert words in line


def test_a_login_that_has_not_accepted_the_licence_is_told_so_and_never_shown(hub: Hub, surgery: Command) -> None:
    add_behaviors(hub)
    hub.gated[JIGSAW] = {"hf_accepted"}
    line = told(surgery(*DATA, HF_TOKEN="hf_somebody"))
    assert "is gated" in line and f"{hub.address}/{JIGSAW}" in line
    assert "hf_somebody" not in line


@pytest.mark.slow
def test_a_model_that_is_not_there_says_so(surgery: Command, arguments: list[str]) -> None:
    line = told(surgery(*arguments, HF_TOKEN="hf_somebody"))
    assert f"model.path '{LLAMA}' is no model that the hub shows you" in line
    assert "spelling" in line and "say model.path=FOLDER" in line


@pytest.mark.slow
def test_data_that_is_not_there_says_so(hub: Hub, surgery: Command) -> None:
    assert "is no dataset that the hub shows you" in told(surgery(*DATA))
    add_behaviors(hub)
    hub.unknown_revisions.add("v9")
    path = "behavior.path=hf://datasets/monology/jigsaw@v9/data/train-*.parquet"
    assert "has no revision 'v9'" in told(surgery(*DATA, path))
    assert "holds no 'train.csv'" in told(surgery(*DATA, "behavior.path=hf://datasets/monology/jigsaw/train.csv"))


@pytest.mark.parametrize(
    ("part", "refusal", "words"),
    [
        ("/api/", Refusal(0), "the connection to"),
        ("/resolve/", Refusal(0), "the connection to"),
        ("/resolve/", Refusal(500), "answered 500"),
        ("/api/", Refusal(404), "answered 404"),
    ],
)
def test_data_that_can_not_be_fetched_is_told_with_where_else_to_get_it(
    hub: Hub, surgery: Command, part: str, refusal: Refusal, words: str
) -> None:
    add_behaviors(hub)
    hub.refuses[part] = refusal
    line = told(surgery(*DATA))
    for expected in (words, hub.address, "kaggle.com", "behavior.path=train.csv"):
        assert expected in line


def test_a_file_cut_in_the_middle_is_not_used(hub: Hub, surgery: Command) -> None:
    add_behaviors(hub)
    hub.refuses["/resolve/"] = Refusal(200)
    assert "could not be fetched" in told(surgery(*DATA))


@pytest.mark.slow
def test_offline_works_from_the_cache_and_says_so_without_one(
    hub: Hub, tmp_path: Path, surgery: Command, arguments: list[str]
) -> None:
    add_llama(hub, tmp_path / "llama")
    add_behaviors(hub)
    hub.gated[LLAMA] = {"hf_accepted"}
    both = [argument for argument in arguments if "behavior" not in argument] + ["behavior=detoxify"]
    line = told(surgery(*both, HF_HUB_OFFLINE="1"))
    assert "not in the cache" in line and "HF_HUB_OFFLINE=1" in line
    assert hub.asked == []
    online = surgery(*both, HF_TOKEN="hf_accepted")
    assert online.code == 0, online.err
    assert hub.fetched(JIGSAW) == {f"data/train-0000{i}-of-00002.parquet" for i in (0, 1)}
    assert "model.safetensors" in hub.fetched(LLAMA) and "pytorch_model.bin" not in hub.fetched(LLAMA)
    hub.asked.clear()
    offline = surgery(*both, HF_HUB_OFFLINE="1")
    assert (offline.code, offline.out) == (0, online.out)
    assert hub.asked == []
    # Where the network only seems to be there, the cache stands in too.
    hub.refuses[""] = Refusal(0)
    assert surgery(*both).out == online.out
