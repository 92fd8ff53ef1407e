"""Pushing an export against a small hub on the loopback: what arrives, what is refused, and where the token goes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, Refusal  # type: ignore[import-not-found]

from surgery.errors import InputError
from sweeps.export.push import push_folder

TOKEN = "hf_" + "LoopbackOnly" * 3
PUSH = """
import sys
from pathlib import Path
from surgery.errors import InputError
from sweeps.export.push import push_folder
folder, repo, private, endpoint = sys.argv[1:]
try:
    print("URL", push_folder(Path(folder), repo, private=private == "1", dry_run=False, say=print, endpoint=endpoint))
except InputError as error:
    print("REFUSED", error)
"""


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    folder = tmp_path / "exported"
    (folder / "extra").mkdir(parents=True)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# An edit\n")
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (folder / "adapter_model.safetensors").write_bytes(bytes(range(256)) * 50)
    (folder / "extra" / "notes.txt").write_text("ünïcode\n", encoding="utf-8")
    return folder


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def push(tmp_path: Path, exported: Path, hub: Hub, against_hub: Callable[..., Any]) -> Callable[..., str]:
    """Pushes; whatever comes of it, the token is in no output and no file."""

    def run(private: bool = True, **settings: str) -> str:
        given = [str(exported), "ann/edit", str(int(private)), hub.address]
        ended = against_hub("-c", PUSH, *given, **{"HF_TOKEN": TOKEN, **settings})
        assert ended.code == 0, ended.err
        assert TOKEN not in ended.out + ended.err
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
        return str(ended.out)

    return run


def test_a_private_repository_gets_every_byte_and_the_token_only_in_the_header(
    push: Callable[..., str], hub: Hub, exported: Path
) -> None:
    before = _contents(exported)
    out = push()
    assert f"URL {hub.address}/ann/edit" in out
    assert hub.private == {"ann/edit"}
    assert hub.repositories["ann/edit"] == before == _contents(exported)
    told = {asked.authorization for asked in hub.asked if "repos" in asked.path or "models" in asked.path}
    assert told == {f"Bearer {TOKEN}"}
    assert not [asked for asked in hub.asked if TOKEN.encode() in asked.rest]


def test_public_is_made_only_when_asked(push: Callable[..., str], hub: Hub, exported: Path) -> None:
    push(private=False)
    assert hub.private == set()
    assert hub.repositories["ann/edit"] == _contents(exported)


def test_nothing_is_sent_to_a_repository_that_is_public_already(push: Callable[..., str], hub: Hub) -> None:
    hub.add("ann/edit", {})
    out = push()
    assert "REFUSED" in out and "public already" in out
    assert hub.repositories == {"ann/edit": {}}
    assert not [asked for asked in hub.asked if "commit" in asked.path or "upload" in asked.path]


@pytest.mark.parametrize(
    ("place", "status", "words"),
    [
        ("", 401, "hf auth login"),  # everywhere
        ("/commit/main", 403, "write access"),
        ("/preupload/main", 404, "no such place"),
        ("/api/repos/create", 0, "try again"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence(
    push: Callable[..., str], hub: Hub, place: str, status: int, words: str
) -> None:
    hub.refuses = {place: Refusal(status)}
    told = [line for line in push().splitlines() if line.startswith("REFUSED")]
    assert len(told) == 1 and "ann/edit" in told[0] and words in told[0]
    assert not hub.repositories.get("ann/edit")


def test_without_a_login_or_offline_nothing_leaves(push: Callable[..., str], hub: Hub) -> None:
    assert "hf auth login" in push(HF_TOKEN="")
    assert "HF_HUB_OFFLINE" in push(HF_HUB_OFFLINE="1")
    assert hub.asked == []


def test_a_dry_run_lists_the_files_and_asks_nobody(exported: Path, hub: Hub) -> None:
    said: list[str] = []
    assert push_folder(exported, "ann/edit", dry_run=True, say=said.append, endpoint=hub.address) is None
    assert hub.asked == []
    assert "ann/edit" in said[0] and "private" in said[0] and "4 files" in said[0]
    for name, content in _contents(exported).items():
        assert sum(name in line and f"{len(content):,} bytes" in line for line in said) == 1


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("pytorch_model.bin", "x", "run code"),
        ("extra/state.PT", "x", "run code"),
        (".env", "x", "hidden"),
        ("extra/log.txt", "x" * (2**20 - 20) + TOKEN, "access token"),
        ("extra/other.txt", " hf_" + "Zz9" * 12 + " ", "access token"),
        ("notes.md", "my-own-secret", "access token"),
    ],
)
def test_a_file_that_must_not_be_sent_is_refused(
    exported: Path, monkeypatch: pytest.MonkeyPatch, file: str, content: str, words: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "my-own-secret")
    (exported / file).write_text(content)
    with pytest.raises(InputError, match=words) as refused:
        push_folder(exported, "ann/edit", dry_run=True, say=print)
    assert Path(file).name in str(refused.value)
    assert TOKEN not in str(refused.value) and "my-own-secret" not in str(refused.value)


def test_a_link_is_not_followed(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("not of the export")
    (exported / "more.txt").symlink_to(tmp_path / "secret.txt")
    with pytest.raises(InputError, match="link"):
        push_folder(exported, "ann/edit", dry_run=True, say=print)


@pytest.mark.parametrize("missing", ["README.md", "adapter_config.json"])
def test_a_folder_that_is_no_export_is_refused(exported: Path, missing: str) -> None:
    (exported / missing).unlink()
    with pytest.raises(InputError, match=r"no exported folder.*sweeps export"):
        push_folder(exported, "ann/edit", dry_run=True, say=print)


@pytest.mark.parametrize("repo", ["", "a/b/c", "ann/e dit", "ann/edit.git", "-ann/edit"])
def test_a_name_the_hub_does_not_allow_is_refused(exported: Path, repo: str) -> None:
    with pytest.raises(InputError, match="can't name a repository"):
        push_folder(exported, repo, dry_run=True, say=print)
