"""`nasarch report RUN --watch`: the report of a search that runs, served to browsers on this machine and built again when files change.

| GET | answer |
|---|---|
| / | the page; while there is no run yet, or its files are damaged, the last page that could be built, with the reason |
| /state | JSON: `state`, which identifies the page, and its title; the page asks for it and renews itself |

The server listens on 127.0.0.1 alone. A request whose Host header is no name of this machine is refused: a web page elsewhere whose name
is made to lead here (DNS rebinding) reads nothing.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple

from nasarch.console import print_text

from .html import Html, page, paragraph
from .report import parts_of_report

HOSTS = {"127.0.0.1", "localhost", "[::1]"}
HEADERS = {"Cache-Control": "no-cache", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
SUFFIXES = (".json", ".jsonl")  # of the files that reports are made of


class Page(NamedTuple):
    """A page as it is served."""

    title: str
    html: bytes
    state: str


class LiveReport:
    """The report on `runs`, built again by `current` when a file of theirs has changed. Safe for several threads."""

    def __init__(self, runs: Sequence[Path]) -> None:
        self.runs = tuple(runs)
        self._lock = threading.Lock()
        self._files: object = None
        self._whole: tuple[str, list[Html]] | None = None  # the last report that could be built
        self._page = Page("", b"", "")

    def current(self) -> Page:
        with self._lock:
            files = self._fingerprint()
            if files != self._files:
                self._page, self._files = self._build(), files
            return self._page

    def _build(self) -> Page:
        try:
            title, parts = self._whole = parts_of_report(self.runs, None)
        except (ValueError, OSError) as error:  # not there yet, half-written, or being replaced
            title, parts = self._whole or (f"Report on {', '.join(map(str, self.runs))}", [])
            parts = [paragraph(f"Waiting: {error}"), *parts]
        state = hashlib.sha256(page(title, parts).encode("utf-8", "replace")).hexdigest()
        return Page(title, page(title, parts, state=state).encode("utf-8", "replace"), state)

    def _fingerprint(self) -> list[tuple[str, int, int]]:
        """Path, time and size of every file that the report is made of."""
        files = []
        for run in self.runs:
            for folder, _, names in os.walk(run):
                for path in (os.path.join(folder, name) for name in names if name.endswith(SUFFIXES)):
                    try:
                        status = os.stat(path)
                    except OSError:  # removed meanwhile
                        continue
                    files.append((path, status.st_mtime_ns, status.st_size))
        return sorted(files)


class Server(ThreadingTCPServer):
    """A server of a report on 127.0.0.1.

    Raises:
        ValueError: the port is taken; names it and the remedy.
    """

    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would share the port of another server

    def __init__(self, report: LiveReport, port: int) -> None:
        self.report = report
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise ValueError(f"can't listen on port {port}: {error.strerror}; give another --port, or none to get a free one") from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the two paths; any other method gets 501."""

    server: Server
    timeout = 10.0  # seconds that a request may take to arrive

    def do_GET(self) -> None:
        host = self.headers.get("Host", "")
        if (host if host.endswith("]") else host.rpartition(":")[0] or host).lower() not in HOSTS:
            self.send_error(HTTPStatus.FORBIDDEN, "The Host header is no name of this machine")
            return
        if self.path not in ("/", "/state"):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        current = self.server.report.current()
        if self.path == "/":
            self._send(current.html, "text/html; charset=utf-8", current.state)
        else:
            self._send(json.dumps({"state": current.state, "title": current.title}).encode(), "application/json", current.state)

    def _send(self, content: bytes, kind: str, state: str) -> None:
        is_known = self.headers.get("If-None-Match") == f'"{state}"'
        self.send_response(HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("ETag", f'"{state}"')
        if not is_known:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if not is_known:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Requests are not logged."""


def watch_report(runs: Sequence[Path], port: int) -> None:
    """Serve the report on `runs` until Ctrl-C, at a free port if `port` is 0.

    Raises:
        ValueError: the port is taken.
        KeyboardInterrupt: it was ended.
    """
    with Server(LiveReport(runs), port) as server:
        print_text(f"serving the report at {server.url} (Ctrl-C ends it)")
        sys.stdout.flush()
        server.serve_forever()
