"""A Hub in memory on the loopback interface: the part of its protocol that a push and a download use.

| request | answer |
|---|---|
| POST /api/repos/create | makes a repository, 409 if it exists, 403 for another owner |
| POST /api/models/ID/preupload/REV | which files go by LFS: the binary ones |
| POST /ID.git/info/lfs/objects/batch, PUT /lfs/OID | takes a large file |
| POST /api/models/ID/commit/REV | one commit, lines of JSON |
| GET /api/models/ID, /api/models/ID/tree/REV | about the repository; its files |
| HEAD, GET /ID/resolve/REV/FILE | a file, with ETag and X-Repo-Commit |

Writing, and reading what is private, needs the token; anything else is 404. `fail` answers requests whose path has a part with a status;
`drop` ends the connection of those whose path matches a pattern, "before" or "after" it is done what they ask, without an answer.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_of_the_test"
OWNER = "me"
LARGE = (".safetensors", ".onnx", ".png")


@dataclass
class Repository:
    """The files of the last commit; `commits` are their messages."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    @property
    def sha(self) -> str:
        return hashlib.sha1("\n".join(self.commits).encode()).hexdigest()


@dataclass
class Hub:
    """What the server holds and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    fail: dict[str, int] = field(default_factory=dict)
    drop: dict[str, str] = field(default_factory=dict)


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub that answers as long as the block runs."""
    hub = Hub()

    class Handler(Answers):
        pass

    Handler.hub = hub
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Answers(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    dropped: str | None = None
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_POST(self) -> None:
        path, body = self.path.split("?")[0], self._body()
        self.hub.requests.append((self.command, path))
        failure = next((status for part, status in self.hub.fail.items() if part in path), None)
        self.dropped = next((when for pattern, when in self.hub.drop.items() if re.search(pattern, path)), None)
        if self.dropped == "before":
            self._hang_up()
        elif failure is not None:
            self._refuse(failure, "Failure")
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._say({"errors": [], "warnings": []})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(preupload|commit|tree)/[^/]+|/revision/[^/]+)?", path):
            self._model(found[1], found[2], body)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._batch(found[1], json.loads(body))
        elif found := re.fullmatch(r"/lfs/(\w+)", path):
            self.hub.large[found[1]] = body
            self._say({}, 200 if hashlib.sha256(body).hexdigest() == found[1] else 400)
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self._file(found[1], found[2])
        else:
            self._refuse(404, "NotFound")

    do_GET = do_HEAD = do_PUT = do_POST

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _say(self, value: Any, status: int = 200, **headers: str) -> None:
        if self.dropped is not None:
            self._hang_up()
            return
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self._say({"error": code}, status, X_Error_Code=code)

    @property
    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _create(self, asked: dict[str, Any]) -> None:
        identity = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if not self._authorised:
            self._refuse(401, "Unauthorized")
        elif not identity.startswith(f"{OWNER}/"):
            self._refuse(403, "Forbidden")
        elif identity in self.hub.repositories:
            self._refuse(409, "RepoExists")
        else:
            self.hub.repositories[identity] = Repository(asked.get("visibility") == "private" or asked.get("private") is True)
            self._say({"url": f"{self.hub.url}/{identity}", "name": identity, "id": identity})

    def _known(self, identity: str) -> Repository | None:
        """The repository if this request may see it; else answers that there is none."""
        found = self.hub.repositories.get(identity)
        if found is None or (found.private and not self._authorised):
            self._refuse(404, "RepoNotFound")
            return None
        return found

    def _model(self, identity: str, action: str | None, body: bytes) -> None:
        repository = self._known(identity)
        if repository is None:
            return
        if action is None:
            siblings = [_sibling(name, content) for name, content in repository.files.items()]
            self._say({"id": identity, "sha": repository.sha, "private": repository.private, "siblings": siblings, "tags": []})
        elif action == "tree":
            found = [(name, content, hashlib.sha256(content).hexdigest()) for name, content in repository.files.items()]
            self._say([{"type": "file", "path": name, "size": len(content), "oid": digest} for name, content, digest in found])
        elif not self._authorised or not identity.startswith(f"{OWNER}/"):
            self._refuse(403, "Forbidden")
        elif action == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": f, "uploadMode": "lfs" if f.endswith(LARGE) else "regular", "shouldIgnore": False} for f in files]
            self._say({"files": modes})
        else:
            self._commit(identity, repository, [json.loads(line) for line in body.splitlines()])

    def _commit(self, identity: str, repository: Repository, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repository.commits.append(value["summary"])
            elif line["key"] == "file":
                repository.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repository.files[value["path"]] = self.hub.large[value["oid"]]
        url = f"{self.hub.url}/{identity}/commit/{repository.sha}"
        self._say({"commitUrl": url, "commitOid": repository.sha, "hookOutput": "", "success": True})

    def _batch(self, identity: str, asked: dict[str, Any]) -> None:
        if self._known(identity) is None:
            return
        objects: list[dict[str, Any]] = [{"oid": file["oid"], "size": file["size"]} for file in asked["objects"]]
        for file in objects:
            if file["oid"] not in self.hub.large:
                file["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{file['oid']}"}}
        self._say({"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def _file(self, identity: str, name: str) -> None:
        repository = self._known(identity)
        if repository is None:
            return
        if name not in repository.files:
            self._say({}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=repository.sha)
            return
        content = repository.files[name]
        self._say(content, ETag=f'"{hashlib.sha256(content).hexdigest()}"', X_Repo_Commit=repository.sha)


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    """What the Hub says of a file: git's hash of it, which for a large one is that of the pointer to it."""
    told: dict[str, Any] = {"rfilename": name, "size": len(content)}
    if name.endswith(LARGE):
        told["lfs"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest(), "pointerSize": 130}
        content = f"sha256:{told['lfs']['sha256']}".encode()
    return {**told, "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}
