"""A hub on the loopback interface: enough of huggingface.co's API to list and download one model.

It really speaks HTTP, so that what is tested is the download and not a stand-in for it. Its
attributes say how it misbehaves; `requests` remembers what it was asked.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.model_folders import COMMIT, SIZES, tensors_of, weight_header

REPO = "maker/tiny-gemma"
WEIGHTS = "model.safetensors"


def tiny_repo(weight_bytes: int = 3_000_000) -> dict[str, bytes]:
    """A repository with all that a model needs, code that must not be fetched, and more."""
    pattern = bytes(range(251))
    config = {**SIZES, "model_type": "gemma3_text", "vocab_size": weight_bytes // 128}
    header, size = weight_header(tensors_of(config))
    return {
        "config.json": json.dumps(config).encode(),
        "tokenizer.json": b'{"model": {}}' + b" " * 40_000,
        "tokenizer_config.json": b"{}",
        "chat_template.jinja": b"{{ messages }}",
        "additional_chat_templates/tools.jinja": b"{{ tools }}",
        WEIGHTS: header + (pattern * (size // len(pattern) + 1))[:size],
        "modeling_evil.py": b"raise SystemExit('this must never be fetched')",
        "README.md": b"# tiny",
        "pytorch_model.bin": b"\0" * 1000,
        "onnx/config.json": b"{}",
    }


@dataclass
class Request:
    """One request: method, path, first byte asked for, and whether it came with a token."""

    method: str
    path: str
    start: int = 0
    token: str | None = None


@dataclass
class FakeHub:
    """The server; a context manager that runs it on a thread."""

    files: dict[str, bytes] = field(default_factory=tiny_repo)
    bytes_per_second: float = 0.0  # of large files; 0 is as fast as it goes
    statuses: list[int] = field(default_factory=list)  # for the next file requests, 0 is well
    api_status: int = 0  # for every API request
    error_code: str = ""  # the hub's word for what is wrong, with a status above
    parameters: object = None  # how many numbers of each dtype the API counts, if it does
    api_body: bytes | None = None  # instead of the API's answer
    cut_after: list[int] = field(default_factory=list)  # bytes of the next large files sent
    ignore_range: bool = False
    corrupt: bool = False  # large files have another content than their hash says
    silent: bool = False  # a large file's headers come, and then nothing
    lfs_hash: str | None = None  # instead of the true one
    requests: list[Request] = field(default_factory=list)
    sent: int = 0  # bytes of large files

    def __enter__(self) -> FakeHub:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop listening; what is being sent ends."""
        self.silent = False
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The endpoint, for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked_for(self, name: str) -> list[Request]:
        """The requests for one file's content."""
        return [r for r in self.requests if r.method == "GET" and r.path.endswith("/" + name)]

    def wait_until_asked_for(self, name: str) -> None:
        """Wait for the first request for one file's content."""
        deadline = time.monotonic() + 60
        while not self.asked_for(name):
            assert time.monotonic() < deadline, f"{name} was never asked for"
            time.sleep(0.02)


def git_hash(content: bytes) -> str:
    """The name that git gives a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def is_large(name: str) -> bool:
    """Whether the hub keeps the file in its large-file storage."""
    return name.endswith((".safetensors", ".bin"))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.stopping = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        url = urlsplit(self.path)
        path = unquote(url.path)
        span = self.headers.get("Range", "")
        start = int(span.removeprefix("bytes=").split("-")[0]) if span else 0
        hub.requests.append(Request(self.command, path, start, self.headers.get("Authorization")))
        if path.startswith("/api/models/"):
            self._api(path.removeprefix("/api/models/"), "blobs" in parse_qs(url.query))
            return
        repo, _, rest = path[1:].partition("/resolve/")
        name = rest.partition("/")[2]
        if repo != REPO or name not in hub.files:
            self._refuse(404, "EntryNotFound" if repo == REPO else "RepoNotFound")
            return
        status = hub.statuses.pop(0) if hub.statuses else 0
        if status:
            self._refuse(status, hub.error_code)
        else:
            self._file(name, start)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b'{"error": "no"}', {"X-Error-Code": code} if code else {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _api(self, path: str, with_files: bool) -> None:
        hub = self.server.hub
        if hub.api_status:
            self._refuse(hub.api_status, hub.error_code)
        elif hub.api_body is not None:
            self._send(200, hub.api_body, {})
        elif not path.startswith(REPO):
            self._refuse(401, "RepoNotFound")
        elif "/tree/" in path:
            self._send(200, json.dumps([self._entry(name) for name in hub.files]).encode(), {})
        else:
            siblings = [self._sibling(name) if with_files else {"rfilename": name}
                        for name in hub.files]  # fmt: skip
            info = {"id": REPO, "modelId": REPO, "sha": COMMIT, "siblings": siblings}
            if hub.parameters is not None:
                info["safetensors"] = {"parameters": hub.parameters, "total": 0}
            self._send(200, json.dumps(info).encode(), {})

    def _sha256(self, name: str) -> str:
        hub = self.server.hub
        return hub.lfs_hash or hashlib.sha256(hub.files[name]).hexdigest()

    def _sibling(self, name: str) -> dict[str, object]:
        content = self.server.hub.files[name]
        entry = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
        if is_large(name):
            lfs = {"sha256": self._sha256(name), "size": len(content), "pointerSize": 130}
            return {**entry, "lfs": lfs}
        return entry

    def _entry(self, name: str) -> dict[str, object]:
        content = self.server.hub.files[name]
        entry = {"type": "file", "path": name, "size": len(content), "oid": git_hash(content)}
        if is_large(name):
            lfs = {"oid": self._sha256(name), "size": len(content), "pointerSize": 130}
            return {**entry, "lfs": lfs}
        return entry

    def _file(self, name: str, start: int) -> None:
        hub = self.server.hub
        content = hub.files[name]
        etag = self._sha256(name) if is_large(name) else git_hash(content)
        if hub.corrupt and is_large(name):
            content = content[:-1] + b"?"
        partial = start > 0 and not hub.ignore_range
        body = content[start:] if partial else content
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if is_large(name):
            headers["X-Linked-Etag"] = f'"{etag}"'
            headers["X-Linked-Size"] = str(len(content))
        if partial:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if not is_large(name) or self.command == "HEAD":
            self._send(206 if partial else 200, body, headers)
            return
        self._send(206 if partial else 200, b"", {**headers, "Content-Length": str(len(body))})
        self._trickle(body)

    def _trickle(self, body: bytes) -> None:
        hub = self.server.hub
        end = hub.cut_after.pop(0) if hub.cut_after else len(body)
        while hub.silent:
            time.sleep(0.02)
        size = 16_384
        for offset in range(0, min(end, len(body)), size):
            if self.server.stopping.is_set():
                break
            chunk = body[offset : min(offset + size, end)]
            self.wfile.write(chunk)
            hub.sent += len(chunk)
            if hub.bytes_per_second:
                time.sleep(len(chunk) / hub.bytes_per_second)
        else:
            if end >= len(body):
                return
        self.close_connection = True
