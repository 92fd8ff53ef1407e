"""Pushing an export against a small hub on the loopback: what arrives, what is refused, and where the token goes."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from surgery.errors import InputError
from sweeps.push import push_folder

TOKEN = "hf_" + "LoopbackOnly" * 3
PUSH = """
import sys
from pathlib import Path
from surgery.errors import InputError
from sweeps.push import push_folder
folder, repo, private, endpoint = sys.argv[1:]
try:
    print("URL", push_folder(Path(folder), repo, private=private == "1", dry_run=False, say=print, endpoint=endpoint))
except InputError as error:
    print("REFUSED", error)
"""


@dataclass
class Hub:
    """What a hub was asked and sent; `fails` maps a path's ending to a status (0 cuts the connection)."""

    address: str = ""
    public: bool = False
    fails: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    created: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def _answer(hub: Hub, path: str, body: bytes) -> dict[str, Any]:
    if path == "/api/repos/create":
        hub.created = json.loads(body)
        return {"url": f"{hub.address}/ann/edit", "name": "ann/edit"}
    if path == "/api/models/ann/edit":
        return {"id": "ann/edit", "private": not hub.public}
    if path == "/api/validate-yaml":
        return {"errors": [], "warnings": []}
    if "/preupload/" in path:
        names = [file["path"] for file in json.loads(body)["files"]]
        return {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]}
    assert "/commit/" in path, path
    for line in map(json.loads, body.splitlines()):
        if line["key"] == "file":
            hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
    return {"commitUrl": f"{hub.address}/ann/edit/commit/1", "commitOid": "1" * 40}


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            path = self.path.split("?")[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            authorization = headers.pop("authorization", "")
            rest = f"{self.path} {json.dumps(headers)} ".encode() + body
            hub.asked.append((self.command, path, authorization, rest))
            status = next((code for end, code in hub.fails.items() if path.endswith(end)), 200)
            if status == 0:
                self.connection.close()
                return
            there = path == "/api/repos/create" and status in (200, 409)  # 409: it is there already
            answer = json.dumps(_answer(hub, path, body) if there or status == 200 else {"error": "no"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = _handle

        def log_message(self, *_: object) -> None:
            """Nothing: the tests read `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a cut connection is no news
    hub.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


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
def push(tmp_path: Path, exported: Path, hub: Hub) -> Callable[..., str]:
    """Pushes from a process of its own, as the library reads its settings when it is imported."""
    work = tmp_path / "work"
    work.mkdir()

    def run(private: bool = True, **settings: str) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
        environment |= {"HF_TOKEN": TOKEN, "HF_HOME": str(work / "home"), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
        root = Path(__file__).parents[2]
        ended = subprocess.run(
            [sys.executable, "-c", PUSH, str(exported), "ann/edit", str(int(private)), hub.address],
            cwd=work,
            env={**environment, "PYTHONPATH": str(root), **settings},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert TOKEN not in ended.stdout + ended.stderr
        assert not [path for path in tmp_path.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
        return ended.stdout

    return run


def test_a_private_repository_gets_every_byte_and_the_token_only_in_the_header(
    push: Callable[..., str], hub: Hub, exported: Path
) -> None:
    before = _contents(exported)
    out = push()
    assert f"URL {hub.address}/ann/edit" in out
    assert hub.created["visibility" if "visibility" in hub.created else "private"] in ("private", True)
    assert hub.files == before == _contents(exported)
    assert {authorization for _, _, authorization, _ in hub.asked} == {f"Bearer {TOKEN}"}
    assert not [rest for *_, rest in hub.asked if TOKEN.encode() in rest]


def test_public_is_made_only_when_asked(push: Callable[..., str], hub: Hub, exported: Path) -> None:
    hub.public = True
    push(private=False)
    assert hub.created.get("visibility", "public") == "public" and not hub.created.get("private")
    assert hub.files == _contents(exported)


def test_nothing_is_sent_to_a_repository_that_is_public_already(push: Callable[..., str], hub: Hub) -> None:
    hub.public, hub.fails = True, {"/api/repos/create": 409}
    out = push()
    assert "REFUSED" in out and "public already" in out
    assert hub.files == {} and not [path for _, path, _, _ in hub.asked if "commit" in path or "upload" in path]


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
    hub.fails = {place: status}
    told = [line for line in push().splitlines() if line.startswith("REFUSED")]
    assert len(told) == 1 and "ann/edit" in told[0] and words in told[0]
    assert hub.files == {}


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
