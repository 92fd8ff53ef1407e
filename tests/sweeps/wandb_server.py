"""As much of a W&B server as `wandb sync` and a saved workspace need, on this machine, keeping what it is told."""

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


@dataclass
class Run:
    """What the server was told of one run."""

    group: str = ""
    project: str = ""
    entity: str | None = None
    name: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: set[str] = field(default_factory=set)
    uploads: int = 0


class WandbServer(ThreadingHTTPServer):
    """Answers on loopback; `refused` are ids of runs that it says no to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, Run] = {}
        self.views: list[dict[str, Any]] = []
        self.refused: set[str] = set()
        self.lock = Lock()

    @property
    def cells(self) -> dict[str, Run]:
        """The runs that are of a cell."""
        return {name: run for name, run in self.runs.items() if "cell" in run.config}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the test."""

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any] | None:
        """The data of a GraphQL operation; None for a refusal."""
        if operation == "UpsertBucket":
            return self._upsert(given)
        if operation == "CreateArtifact":
            wanted = given["input"]
            self.runs[wanted["runName"]].artifacts.add(wanted["artifactTypeName"])
            artifact = {"id": "A", "state": "COMMITTED", "artifactSequence": {"latestArtifact": {"id": "A"}}}
            return {"createArtifact": {"artifact": artifact}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.address}/upload/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}
        if operation == "Viewer":
            return {"viewer": {"id": "V", "entity": "someone", "username": "someone", "teams": {"edges": []}}}
        if operation == "UpsertView2":
            self.views.append(given)
            return {"upsertView": {"view": {"id": "W", "name": given["name"]}, "inserted": True}}
        return {}

    def _upsert(self, given: dict[str, Any]) -> dict[str, Any] | None:
        if given["name"] in self.refused:
            return None
        run = self.runs.setdefault(given["name"], Run())
        run.project, run.entity = given["project"], given["entity"] or run.entity
        run.group, run.name = given["groupName"] or run.group, given["displayName"] or run.name
        run.tags, run.job_type = given["tags"] or run.tags, given.get("jobType") or run.job_type
        run.uploads += given["groupName"] is not None
        if given["config"]:
            run.config |= {key: entry["value"] for key, entry in json.loads(given["config"]).items()}
        entity = {"id": "E", "name": given["entity"] or "someone"}
        project = {"id": "P", "name": given["project"], "entity": entity}
        bucket = {"id": "B", "name": given["name"], "displayName": run.name, "project": project, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: WandbServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, data = 200, {}
        with self.server.lock:
            if self.path.endswith("/graphql"):
                asked = json.loads(body)
                operation = asked.get("operationName") or re.findall(r"(?:query|mutation)\s+(\w+)", asked["query"])[0]
                answer = self.server.answer(operation, asked.get("variables") or {})
                status, data = (200, {"data": answer}) if answer is not None else (403, {"error": "not yours"})
            elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                summary = json.loads(body).get("files", {}).get("wandb-summary.json")
                if summary:
                    self.server.runs[stream[1]].summary |= json.loads(summary["content"][-1])
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def wandb_server():
    """A server that answers while the block runs."""
    server = WandbServer()
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
