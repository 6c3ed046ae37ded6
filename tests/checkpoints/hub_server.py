"""A hub on this machine: repositories with commits and branches, and its refusals."""

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants


FIRST, SECOND = "a" * 40, "b" * 40


@dataclass
class Hub:
    """What the server serves.

    Attributes:
        url: Its address.
        files: Files by path, of each commit.
        branches: Commits by branch or tag.
        refusal: Status and headers that answer every request, if any.
        broken: Files whose content breaks off after the first bytes.
        requests: Paths that were asked for.
    """

    url: str = ""
    name: str = "owner/name"
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    refusal: tuple[int, dict[str, str]] | None = None
    broken: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)

    def commit(self, commit: str, folder: Path, **more: bytes) -> None:
        """Puts a folder's files, and `more`, on the main branch."""
        content = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.files[commit] = content | more
        self.branches["main"] = commit


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves from a thread; `hub.url` says where."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def look_at(monkeypatch, url: str, cache: Path, offline: bool = False) -> None:
    """Lets `huggingface_hub`, which read its environment long ago, use this hub."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    huggingface_hub.close_session()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def log_message(self, *_):
        pass

    def _answer(self, body: bool):
        hub, path = self.hub, self.path.split("?")[0]
        hub.requests.append(path)
        if hub.refusal is not None:
            return self._send(*hub.refusal, b"{}", body)
        api = re.fullmatch(rf"/api/models/{hub.name}(/(revision|tree)/([^/]+))?", path)
        file = re.fullmatch(rf"/{hub.name}/resolve/([^/]+)/(.+)", path)
        if api is None and file is None:
            return self._send(404, {"X-Error-Code": "RepoNotFound"}, b"{}", body)
        revision = (api[3] or "main") if api else file[1]
        commit = hub.branches.get(revision, revision)
        if commit not in hub.files:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"{}", body)
        found = hub.files[commit]
        if file is not None:
            headers = {
                "X-Repo-Commit": commit,
                "ETag": f'"{hashlib.sha256(found[file[2]]).hexdigest()}"',
            }
            return self._send(200, headers, found[file[2]], body, file[2] in hub.broken)
        answer: object = {"id": hub.name, "modelId": hub.name, "sha": commit}
        if api[2] == "tree":
            answer = [
                {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                for name, content in found.items()
            ]
        return self._send(200, {}, json.dumps(answer).encode(), body)

    def _send(self, status, headers, content: bytes, body: bool, broken=False):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and broken:
            self.close_connection = True
        elif body:
            self.wfile.write(content)
