"""`nasarch report --watch` over a real socket: the page of a run that goes on, on this machine alone."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasarch.cli.main import main
from nasarch.search.report import watch
from nasarch.search.report.watch import LiveReport, Server
from tests.helpers.written_run import write_run


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The server of a run that has not begun, at `tmp_path`/run."""
    with Server(LiveReport([tmp_path / "run"]), 0) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def state(server: Server) -> dict[str, str]:
    return json.loads(ask(server, "/state")[2])


def unfinished(folder: Path, epochs: int, tail: int = 0) -> None:
    """The run after so many epochs, with so many letters of the next line."""
    whole = folder.parent / "whole"
    if not whole.exists():
        write_run(whole, finished=False)
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    for name in ("metrics", "weights"):
        lines = (whole / f"{name}.jsonl").read_text().splitlines(keepends=True)
        (folder / f"{name}.jsonl").write_text("".join(lines[:epochs]) + "".join(lines[epochs : epochs + 1])[:tail])


def test_a_run_that_has_not_begun_is_waited_for(server: Server, tmp_path: Path) -> None:
    status, headers, text = ask(server, "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    assert "Waiting: no search in" in text and "there is no such folder" in text and f'<main data-state="{state(server)["state"]}">' in text
    assert list(tmp_path.iterdir()) == []
    unfinished(tmp_path / "run", 0)
    assert "unfinished, 0 epochs so far" in ask(server, "/")[2]


def test_the_page_is_renewed_by_a_new_line(server: Server, tmp_path: Path) -> None:
    unfinished(tmp_path / "run", 2)
    before, page = state(server), ask(server, "/")[2]
    assert "unfinished, 2 epochs so far" in page and before["title"] == "DOTS, seed 0: found" and before == state(server)
    unfinished(tmp_path / "run", 2, tail=20)
    assert state(server)["state"] == before["state"], "half a line is no epoch"
    unfinished(tmp_path / "run", 3)
    after = state(server)
    assert after["state"] != before["state"] and "unfinished, 3 epochs so far" in ask(server, "/")[2]
    assert not (tmp_path / "run" / "report").exists()


def test_what_is_known_is_not_sent_again(server: Server, tmp_path: Path) -> None:
    unfinished(tmp_path / "run", 2)
    status, headers, _ = ask(server, "/")
    assert status == 200
    status, again, text = ask(server, "/", If_None_Match=headers["ETag"])
    assert (status, again["ETag"], text) == (304, headers["ETag"], "")
    unfinished(tmp_path / "run", 3)
    assert ask(server, "/", If_None_Match=headers["ETag"])[0] == 200


def test_the_last_page_stays_while_a_file_is_damaged(server: Server, tmp_path: Path) -> None:
    unfinished(tmp_path / "run", 3)
    assert "Curves" in ask(server, "/")[2]
    (tmp_path / "run" / "config.json").write_text("{")
    text = ask(server, "/")[2]
    assert "Waiting:" in text and "config.json" in text and "Curves" in text
    unfinished(tmp_path / "run", 3)
    assert "Waiting:" not in ask(server, "/")[2]
    shutil.rmtree(tmp_path / "run")
    assert "there is no such folder" in ask(server, "/")[2]


@pytest.mark.parametrize("host", ["example.com", "example.com:80", "127.0.0.1.example.com", "", "localhost.", "[::2]:1", "0.0.0.0"])
def test_a_request_by_another_name_is_refused(host: str, server: Server, tmp_path: Path) -> None:
    unfinished(tmp_path / "run", 1)
    for path in ("/", "/state"):
        status, _, text = ask(server, path, Host=host)
        assert status == 403 and "DOTS" not in text and "<main" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "LocalHost", "[::1]", "[::1]:80"])
def test_names_of_this_machine_are_served(host: str, server: Server) -> None:
    assert ask(server, "/state", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "/run/config.json", "/../config.json", "/state/", "/?x", "/index.html", "/report.js"])
def test_nothing_but_the_report_is_served(path: str, server: Server) -> None:
    assert ask(server, path)[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0] == 501


def test_the_server_listens_on_loopback_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1" and server.url == f"http://127.0.0.1:{server.server_address[1]}/"
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["report", str(tmp_path), "--watch", "--port", str(port)]) == 2
    assert f"can't listen on port {port}" in (said := capsys.readouterr().err) and "--port" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--watch", "--out", "x"], "--watch writes no files"),
        (["--port", "80"], "add --watch"),
        (["--watch", "--port", "65536"], "65535"),
        (["--watch", "--port", "-1"], "65535"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("words", "port"), [([], 0), (["--port", "8123"], 8123)])
def test_flags_are_handed_on(words: list[str], port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    monkeypatch.setattr(watch, "watch_report", lambda *given: seen.append(given))
    assert main(["report", "a", "b", "--watch", *words]) == 0
    assert seen == [((Path("a"), Path("b")), port)]


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    unfinished(tmp_path / "run", 1)
    command = [sys.executable, "-m", "nasarch", "report", str(tmp_path / "run"), "--watch"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": ""}
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("serving the report at http://127.0.0.1:") and line.endswith("(Ctrl-C ends it)\n")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "nasarch: interrupted\n")
