"""A stand-in for Google Cloud Storage on this machine, for whoever speaks its JSON API.

gcsfs, google-cloud-storage (which orbax asks what kind of bucket it is) and tensorstore
(which writes orbax's arrays) all take it for the real one: their own code runs, and no
byte of it is replaced. What it serves are the calls that these libraries make:
objects whole and in ranges, lists by prefix and delimiter, uploads in one request,
in two parts and resumable, conditions on generations, deletion.
"""

import base64
import contextlib
import email.parser
import email.policy
import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from etils import epath

from ntkjax.store import bucket as module


BUCKET = "bucket"


@dataclass
class Bucket:
    """What the server holds.

    Attributes:
        url: Its address.
        objects: Content and generation by name, of the one bucket there is.
        refusal: Status and message that answer every request, if any.
        requests: Method and path of all requests, in order.
        watch: Called with the name of every object before it appears.
    """

    url: str = ""
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    refusal: tuple[int, str] | None = None
    requests: list[str] = field(default_factory=list)
    watch: Callable[[str], None] = lambda name: None
    uploads: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    generation: int = 0

    def path(self, name: str) -> epath.Path:
        return epath.Path(f"gs://{BUCKET}/{name}")

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.objects if name.startswith(prefix))

    def files(self, folder: str) -> dict[str, bytes]:
        """Contents by name below a folder."""
        start = folder.rstrip("/") + "/"
        return {n[len(start) :]: self.objects[n][0] for n in self.names(start)}

    def save(self, folder: str, where: Path) -> Path:
        """Writes a folder's objects as local files, for tests that read those."""
        for name, content in self.files(folder).items():
            path = where / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return where

    def environment(self) -> dict[str, str]:
        """Variables by which the libraries find the server."""
        return {
            "STORAGE_EMULATOR_HOST": self.url,
            "TENSORSTORE_GCS_HTTP_URL": self.url,
            "GOOGLE_AUTH_TOKEN_FOR_TESTING": "a-token",
            "NO_GCE_CHECK": "true",  # no search for servers of Google's
            "GOOGLE_CLOUD_PROJECT": "a-project",
        }


@contextlib.contextmanager
def serving(bucket: Bucket) -> Iterator[Bucket]:
    """Serves from threads; `bucket.url` says where."""
    handler = type("Handler", (_Handler,), {"bucket": bucket})
    server = _Server(("127.0.0.1", 0), handler)
    bucket.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        # gcsfs asks two things at once and leaves the slower answer; tests kill.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def reset(bucket: Bucket) -> None:
    """Empties the bucket; what was reached in it before is asked again."""
    bucket.objects.clear()
    bucket.requests.clear()
    bucket.refusal, bucket.watch = None, lambda name: None
    module._reach.cache_clear()


def prepare_client() -> None:
    """What a run does before it looks at a path: no lists of objects are kept."""
    module._prepare_client()


class _Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def _answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        parts = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self.bucket.lock:
            self.bucket.requests.append(f"{self.command} {parts.path}")
            self._route(parts.path)

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def _route(self, path: str) -> None:
        if self.bucket.refusal is not None:
            return self._fail(*self.bucket.refusal)
        found = re.fullmatch(r"/(upload/|download/)?storage/v1/b/([^/]+)(/.*)?", path)
        if found is None:
            return self._fail(400, f"no such call: {self.command} {path}")
        if unquote(found[2]) != BUCKET:
            return self._fail(404, "The specified bucket does not exist.")
        rest = found[3] or ""
        if found[1] == "upload/":
            return self._upload()
        if rest in ("", "/storageLayout"):
            return self._send_json({"kind": "storage#bucket", "name": BUCKET})
        if rest == "/o":
            return self._list()
        return self._object(unquote(rest.removeprefix("/o/")))

    def _object(self, name: str) -> None:
        stored = self.bucket.objects.get(name)
        if stored is None:
            return self._fail(404, f"No such object: {BUCKET}/{name}")
        content, generation = stored
        if not self._holds(generation):
            return self._fail(412, "At least one of the pre-conditions did not hold.")
        if self.command == "DELETE":
            del self.bucket.objects[name]
            return self._send(204, b"")
        if self.query.get("alt") != "media":
            return self._send_json(_described(name, content, generation))
        status, headers = 200, {"x-goog-generation": str(generation)}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked:
            first = int(asked[1])
            last = min(int(asked[2] or len(content)), len(content) - 1)
            if first >= len(content):
                return self._fail(416, "Request range not satisfiable")
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content = content[first : last + 1]
        return self._send(status, content, headers)

    def _list(self) -> None:
        prefix, delimiter = self.query.get("prefix", ""), self.query.get("delimiter")
        first = self.query.get("startOffset", "")
        last = self.query.get("endOffset")
        after = self.query.get("pageToken", "")
        most = int(self.query.get("maxResults", 1000))
        entries: dict[str, dict | None] = {}
        for name in self.bucket.names(prefix):
            if name < first or (last and name >= last):
                continue
            head, cut, _ = name[len(prefix) :].partition(delimiter or "\n")
            if delimiter and cut:
                entries[prefix + head + delimiter] = None
            else:
                entries[name] = _described(name, *self.bucket.objects[name])
        names = [name for name in sorted(entries) if name > after]
        page = {"kind": "storage#objects"}
        if len(names) > most:
            page["nextPageToken"] = names[most - 1]
        shown = names[:most]
        page["prefixes"] = [name for name in shown if entries[name] is None]
        page["items"] = [entries[name] for name in shown if entries[name] is not None]
        self._send_json(page)

    def _upload(self) -> None:
        kind = self.query.get("uploadType")
        if "upload_id" in self.query:
            return self._go_on(self.query["upload_id"])
        if kind == "media":
            return self._store(self.query["name"], self.body)
        if kind == "multipart":
            return self._store(*_two_parts(self.headers["Content-Type"], self.body))
        name = self.query.get("name") or json.loads(self.body)["name"]
        token = str(len(self.bucket.uploads))
        self.bucket.uploads[token] = (name, b"")
        path = self.path.split("?")[0]
        place = f"{self.bucket.url}{path}?uploadType=resumable&upload_id={token}"
        return self._send(200, b"", {"Location": place})

    def _go_on(self, token: str) -> None:
        """A chunk of a resumable upload; the object appears with the last one."""
        if self.command == "DELETE":
            del self.bucket.uploads[token]
            return self._send(499, b"")
        name, before = self.bucket.uploads[token]
        content = before + self.body
        total = self.headers["Content-Range"].rpartition("/")[2]
        if total != "*" and len(content) == int(total):
            return self._store(name, content)
        self.bucket.uploads[token] = (name, content)
        return self._send(308, b"", {"Range": f"bytes=0-{len(content) - 1}"})

    def _store(self, name: str, content: bytes) -> None:
        generation = self.bucket.objects.get(name, (b"", 0))[1]
        if not self._holds(generation):
            return self._fail(412, "At least one of the pre-conditions did not hold.")
        self.bucket.watch(name)
        self.bucket.generation += 1
        self.bucket.objects[name] = (content, self.bucket.generation)
        return self._send_json(_described(name, *self.bucket.objects[name]))

    def _holds(self, generation: int) -> bool:
        wanted = self.query.get("ifGenerationMatch")
        unwanted = self.query.get("ifGenerationNotMatch")
        return (wanted is None or int(wanted) == generation) and (
            unwanted is None or int(unwanted) != generation
        )

    def _fail(self, status: int, message: str) -> None:
        error = {"error": {"code": status, "message": message}}
        self._send(status, json.dumps(error).encode())

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": _JSON})

    def _send(self, status: int, content: bytes, headers=None) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


_JSON = "application/json; charset=UTF-8"


def _described(name: str, content: bytes, generation: int) -> dict[str, str]:
    return {
        "kind": "storage#object",
        "bucket": BUCKET,
        "name": name,
        "size": str(len(content)),
        "generation": str(generation),
        "metageneration": "1",
        "md5Hash": base64.b64encode(hashlib.md5(content).digest()).decode(),
        "updated": "2026-01-01T00:00:00.000000Z",
        "timeCreated": "2026-01-01T00:00:00.000000Z",
    }


def _two_parts(kind: str, body: bytes) -> tuple[str, bytes]:
    """Name and content of an upload whose first part describes the second."""
    boundary = re.search(r'boundary="?([^";]+)', kind)[1].encode()
    _, about, rest = body.split(b"--" + boundary, 2)
    about = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        about.lstrip(b"\r\n")
    )
    blank = re.search(rb"\r?\n\r?\n", rest)
    end = rest.rindex(b"\n--" + boundary + b"--")
    content = rest[blank.end() : end]
    # gcsfs ends the content by \n, google-cloud-storage by \r\n.
    if b"\r\n" in rest[: blank.end()].rstrip(b"\r\n") or blank[0] == b"\r\n\r\n":
        content = content.removesuffix(b"\r")
    return json.loads(about.get_payload())["name"], content
