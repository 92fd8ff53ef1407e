"""A hub on the loopback: it speaks what the real libraries ask of huggingface.co to read, and to push an export."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
NO_FILE = "0" * 40
_NAME = r"[^/]+/[^/]+"
_API = re.compile(
    rf"/api/(?P<kind>models|datasets)/(?P<name>{_NAME})(?:/(?P<what>[a-z-]+)/(?P<revision>[^/]+)(?:/(?P<below>.*))?)?"
)
_FILE = re.compile(rf"/(?:(?P<kind>datasets)/)?(?P<name>{_NAME})/resolve/(?P<revision>[^/]+)/(?P<below>.+)")


@dataclass(frozen=True)
class Refusal:
    """An answer that is not what was asked for.

    Attributes:
        status: 0 cuts the connection, 200 cuts it in the middle of the content.
        code: the hub's own word for it.
    """

    status: int
    code: str = ""


@dataclass(frozen=True)
class Asked:
    """A request: `rest` is all of it but the path and who asked."""

    method: str
    path: str
    authorization: str
    rest: bytes


@dataclass
class Hub:
    """What the hub holds and how it behaves.

    Attributes:
        address: where it listens.
        repositories: {"OWNER/NAME" or "datasets/OWNER/NAME": {path: content}}, the same at every revision.
        private: repositories that are.
        gated: {repository: tokens whose owners accepted its licence}; as on the hub, its files can be listed by all.
        refuses: {part of a path: what is answered there instead}.
        unknown_revisions: of all repositories.
        asked: every request.
    """

    address: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    gated: dict[str, set[str]] = field(default_factory=dict)
    refuses: dict[str, Refusal] = field(default_factory=dict)
    unknown_revisions: set[str] = field(default_factory=set)
    asked: list[Asked] = field(default_factory=list)

    def add(self, repository: str, files: Mapping[str, bytes | str]) -> None:
        """Adds files to a repository."""
        contents = {path: file.encode() if isinstance(file, str) else file for path, file in files.items()}
        self.repositories.setdefault(repository, {}).update(contents)

    def add_folder(self, repository: str, folder: Path) -> None:
        """Adds a folder's files."""
        self.add(
            repository, {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        )

    def fetched(self, repository: str) -> set[str]:
        """The files of a repository whose content was asked for."""
        found = (_FILE.fullmatch(asked.path) for asked in self.asked if asked.method == "GET")
        return {match["below"] for match in found if match and _repository(match) == repository}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Runs an empty hub."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a cut connection is no news
    hub.address = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    yield hub
    server.shutdown()
    server.server_close()


def _repository(match: re.Match[str]) -> str:
    return f"datasets/{match['name']}" if match["kind"] == "datasets" else match["name"]


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": NO_FILE}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing: the tests read `asked`."""

    def _handle(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        authorization = headers.pop("authorization", "")
        rest = f"{self.path} {json.dumps(headers)} ".encode() + body
        self.hub.asked.append(Asked(self.command, path, authorization, rest))
        refusal = next((answer for part, answer in self.hub.refuses.items() if part in path), None)
        if refusal is not None and refusal.status != 200:
            self._refuse(refusal)
        elif match := _FILE.fullmatch(path):
            self._file(_repository(match), match["revision"], match["below"], authorization, cut=refusal is not None)
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._say(200, {"errors": [], "warnings": []})
        elif match := _API.fullmatch(path):
            self._api(match, body)
        else:
            self._say(404, {"error": "no such page"})

    do_HEAD = do_GET = do_POST = _handle

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.status == 0:
            self.close_connection = True
            self.connection.close()
        else:
            self._say(refusal.status, {"error": "no"}, {"X-Error-Code": refusal.code} if refusal.code else {})

    def _found(self, repository: str, revision: str) -> dict[str, bytes] | None:
        """The repository's files; None once it was said that there are none."""
        if repository not in self.hub.repositories:
            # As the hub does, so that who is not logged in can't learn which private repositories there are.
            self._refuse(Refusal(404 if self.headers.get("Authorization") else 401, "RepoNotFound"))
        elif revision in self.hub.unknown_revisions:
            self._refuse(Refusal(404, "RevisionNotFound"))
        else:
            return self.hub.repositories[repository]
        return None

    def _file(self, repository: str, revision: str, path: str, authorization: str, cut: bool) -> None:
        if (files := self._found(repository, revision)) is None:
            return
        commit = {"X-Repo-Commit": revision if re.fullmatch("[0-9a-f]{40}", revision) else COMMIT}
        accepted = self.hub.gated.get(repository)
        if accepted is not None and authorization.removeprefix("Bearer ") not in accepted:
            self._refuse(Refusal(403 if authorization else 401, "GatedRepo"))
        elif path not in files:
            self._say(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound", **commit})
        else:
            tag = {"ETag": f'"{_entry(path, files[path])["oid"]}"', "Content-Type": "application/octet-stream"}
            self._send(200, files[path], {**commit, **tag}, cut)

    def _api(self, match: re.Match[str], body: bytes) -> None:
        repository, what, below = _repository(match), match["what"], match["below"]
        files = self._found(repository, match["revision"] or "main")
        if files is None:
            return
        if what == "tree":
            start = f"{below}/" if below else ""
            inside = {path: content for path, content in files.items() if path.startswith(start)}
            folders = {"/".join(path.split("/")[:end]) for path in inside for end in range(1, path.count("/") + 1)}
            self._say(200, [*map(_folder, sorted(folders)), *(_entry(*file) for file in inside.items())])
        elif what == "paths-info":
            paths = json.loads(body).get("paths", [])
            found = [_entry(path, files[path]) for path in paths if path in files]
            self._say(200, found + [_folder(p) for p in paths if any(file.startswith(f"{p}/") for file in files)])
        elif what == "preupload":
            names = [file["path"] for file in json.loads(body)["files"]]
            self._say(200, {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        elif what == "commit":
            lines = [line["value"] for line in map(json.loads, body.splitlines()) if line["key"] == "file"]
            files.update({line["path"]: base64.b64decode(line["content"]) for line in lines})
            self._say(200, {"commitUrl": f"{self.hub.address}/{match['name']}/commit/1", "commitOid": COMMIT})
        else:
            self._say(200, self._card(match["name"], repository, files))

    def _card(self, name: str, repository: str, files: Mapping[str, bytes]) -> dict[str, Any]:
        return {
            "id": name,
            "sha": COMMIT,
            "siblings": [{"rfilename": path, "size": len(content)} for path, content in files.items()],
            "private": repository in self.hub.private,
            "gated": "manual" if repository in self.hub.gated else False,
            "tags": [],
        }

    def _create(self, asked: Mapping[str, Any]) -> None:
        """Makes a model repository of `ann`; 409 says, as the hub does, that it was there already."""
        name = asked["name"] if "/" in asked["name"] else f"{asked.get('organization') or 'ann'}/{asked['name']}"
        there = name in self.hub.repositories
        if not there:
            self.hub.repositories[name] = {}
            if asked.get("private") or asked.get("visibility") == "private":
                self.hub.private.add(name)
        self._say(409 if there else 200, {"url": f"{self.hub.address}/{name}", "name": name})

    def _say(self, status: int, values: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(values).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], cut: bool = False) -> None:
        total, headers = len(content), dict(headers)
        if status == 200 and (ranged := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")):
            start, end = int(ranged[1]), int(ranged[2] or total - 1) + 1
            status, content = 206, content[start:end]
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.close_connection = cut
