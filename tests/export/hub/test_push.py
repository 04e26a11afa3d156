"""A folder is pushed in one commit, loads from the Hub with the same logits, and what the Hub or the network refuses is one clear line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from huggingface_hub import constants

from nasarch.cli.main import main
from nasarch.export.detection import export
from nasarch.export.detection.export import SsdReport
from nasarch.export.hub import folder as exporter
from nasarch.export.hub.folder import export_hub
from nasarch.export.hub.push import check_name, push
from nasarch.export.ssd.check import SsdAgreement, Tolerance
from nasarch.export.ssd.detector import save, ssd
from tests.helpers import hub_server
from tests.helpers.exported import FOLDER, files, without_onnx
from tests.helpers.small_models import images, small

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub's own, of its transport


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """An empty Hub, to which huggingface_hub in this process talks."""
    with hub_server.running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        yield hub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out" / "onnx").mkdir(parents=True)
    for name in FOLDER:
        (tmp_path / "out" / name).write_text(f"{name} of OWNER/NAME")
    return tmp_path / "out"


def as_user(code: str, home: Path, *arguments: Path, fail: dict[str, int] | None = None) -> tuple[hub_server.Hub, str]:
    """Run `code` in a new process, as a user has it: HF_ENDPOINT names the server. Returns what that holds then, and what was printed."""
    with hub_server.running() as hub:
        hub.fail = fail or {}
        places = {"HF_HOME": str(home), "HF_HUB_CACHE": str(home / "cache"), "HF_HUB_DISABLE_XET": "1"}
        environment = {**os.environ, **places, "HF_ENDPOINT": hub.url, "HF_TOKEN": hub_server.TOKEN}
        done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return hub, done.stdout


def test_a_push_through_the_command_loads_from_the_hub_with_the_same_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("pc_darts_cifar", cells=3).eval()
    monkeypatch.setattr(exporter, "build", lambda *_: model)
    monkeypatch.setattr(exporter, "export_onnx", without_onnx)
    folder = export_hub("pc_darts_cifar", tmp_path / "out").path
    code = (
        "import sys, nasarch, timm, torch; from nasarch.cli.main import main;"
        "place, out = sys.argv[1:];"
        "assert main(['export', 'hub', place, '--push', 'me/minute_cell']) == 0;"
        "model = timm.create_model('hf-hub:me/minute_cell', pretrained=True).eval();"
        "x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1));"
        "torch.save(model(x).detach(), out)"
    )
    hub, said = as_user(code, tmp_path, folder, tmp_path / "logits.pt")
    repository = hub.repositories["me/minute_cell"]
    assert f"pushed to {hub.url}/me/minute_cell (private), commit {repository.sha}" in said
    assert len(repository.commits) == 1 and sorted(repository.files) == FOLDER
    assert all(content == (folder / name).read_bytes() for name, content in repository.files.items())
    assert set(hub.large.values()) == {(folder / name).read_bytes() for name in FOLDER if name.endswith(hub_server.LARGE)}
    assert "hf-hub:me/minute_cell" in (folder / "README.md").read_text(encoding="utf-8")
    with torch.no_grad():
        assert torch.equal(torch.load(tmp_path / "logits.pt", weights_only=True), model(images("pc_darts_cifar")))


@pytest.mark.parametrize("backbone", ["cells", "mobilenetv3_small_050"])
def test_a_detectors_folder_that_was_pushed_finds_the_same_from_the_hub(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written by `nasarch export ssd` of what a training leaves; a network of timm's brings no genotype.json."""
    monkeypatch.setattr(export, "write_onnx", _no_graph)
    run, folder = tmp_path / "run", tmp_path / "folder"
    model = _trained_detector(backbone, run)
    assert main(["export", "ssd", str(run), "-o", str(folder)]) == 0
    assert f"nasarch export hub {folder} --push OWNER/NAME" in capsys.readouterr().out
    code = (
        "import sys, torch; from nasarch.cli.main import main; from nasarch.export.ssd.detector import load;"
        "place, image, out = sys.argv[1:];"
        "assert main(['export', 'hub', place, '--push', 'me/finder']) == 0;"
        "torch.save(load('hf-hub:me/finder')([torch.load(image)])[0], out)"
    )
    image = torch.rand(3, 70, 50, generator=torch.Generator().manual_seed(0))
    torch.save(image, tmp_path / "image.pt")
    hub, said = as_user(code, tmp_path, folder, tmp_path / "image.pt", tmp_path / "found.pt")
    repository = hub.repositories["me/finder"]
    assert f"pushed to {hub.url}/me/finder (private), commit {repository.sha}" in said
    cells = ["cells.png", "cells.svg", "genotype.json"] if backbone == "cells" else []
    names = sorted(["README.md", "config.json", *cells, "model.safetensors", "onnx/model.onnx"])
    assert sorted(repository.files) == files(folder) == names, "no pickle"
    assert all(content == (folder / name).read_bytes() for name, content in repository.files.items())
    card = repository.files["README.md"].decode()
    assert all(words in card for words in ('load("hf-hub:me/finder")', "predict hf-hub:me/finder IMAGE", "| AP | 25.00 % |"))
    assert "OWNER/NAME" not in card
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    (expected,) = model([image])
    assert len(expected["boxes"]) > 10 and all(torch.equal(found[name], expected[name]) for name in ("boxes", "scores", "labels"))


def _trained_detector(backbone: str, run: Path) -> Any:
    """A detector with random weights, saved as a training leaves it, with a figure."""
    torch.manual_seed(0)
    cells = {"genotype": "pc_darts_imagenet", "cells": 3, "channels": 4}
    body = timm.create_model("nas_224", **cells) if backbone == "cells" else backbone
    model = ssd(body, 3, size=64, extras=(16, 16), class_names=("red", "blue")).eval()
    (run / "model").mkdir(parents=True)
    save(model, run / "model")
    (run / "result.json").write_text(json.dumps({"val": {"images": 7, "evaluator": "pycocotools", "AP": 0.25}}))
    return model


def _no_graph(model: Any, path: Path) -> SsdReport:
    """Stands in for the ONNX exporter, which has its own tests and takes most of the time."""
    path.write_text("no graph")
    agreement = SsdAgreement(1, 0, 0, 0.0, 0.0, Tolerance(1.0, 1.0), 0)
    return SsdReport(path=path, design=model.design, size_bytes=8, agreement=agreement, torch_ms=1.0, onnx_ms=1.0, threads=1)


@pytest.mark.parametrize("flags", [[], ["--push", "me/x"], ["--out", "x"]])
def test_a_detectors_training_is_sent_to_the_command_that_writes_its_folder(
    server: hub_server.Hub, flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _trained_detector("cells", tmp_path)
    assert main(["export", "hub", str(tmp_path), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path} holds a detector: `nasarch export ssd {tmp_path} -o DIR` writes its folder" in line and not server.requests


def test_a_new_repository_is_private_unless_asked_and_an_old_one_is_updated(server: hub_server.Hub, folder: Path) -> None:
    assert push(folder, "me/one").private is True and push(folder, "me/two", public=True).private is False
    assert (server.repositories["me/one"].private, server.repositories["me/two"].private) == (True, False)
    (folder / "README.md").write_text("a new card")
    assert push(folder, "me/one", public=True).private is None
    again = server.repositories["me/one"]
    assert again.private and again.files["README.md"] == b"a new card" and len(again.commits) == 2


@pytest.mark.parametrize(
    "token, repository, fail, message",
    [
        (None, "me/x", {}, "there is no token for .*: run `hf auth login` or set HF_TOKEN"),
        (
            "hf_wrong",
            "me/x",
            {},
            r"refuses the token \(401\): make one with write access at .*/settings/tokens.*nothing was uploaded",
        ),
        (hub_server.TOKEN, "you/x", {}, r"may not write to you/x \(403\).*another OWNER; nothing was uploaded to you/x"),
        (hub_server.TOKEN, "you/theirs", {}, r"may not write to you/theirs \(403\)"),
        (hub_server.TOKEN, "me/x", {"/commit/": 403}, r"may not write to me/x \(403\).*me/x is there, with none of these files"),
        (hub_server.TOKEN, "me/x", {"/lfs/": 410}, "the Hub answers 410: .*me/x is there, with none of these files.* not sent again; "),
        (hub_server.TOKEN, "me/x", {"/preupload/": 404}, r"the Hub has no me/x for this token \(404\)"),
        (hub_server.TOKEN, "me/x", {"/repos/create": 402}, "the Hub answers 402: .*nothing was uploaded"),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_the_remedy(
    server: hub_server.Hub,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    token: str | None,
    repository: str,
    fail: dict[str, int],
    message: str,
) -> None:
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setenv("HF_TOKEN", token or "")
    server.fail = fail
    server.repositories["you/theirs"] = hub_server.Repository(private=False)
    with pytest.raises(ValueError, match=message) as refusal:
        push(folder, repository)
    assert "\n" not in str(refusal.value) and str(refusal.value).endswith(f"`nasarch export hub {folder} --push {repository}` uploads it")
    assert files(folder) == FOLDER and not any(found.files for found in server.repositories.values())
    assert token is not None or not server.requests


def test_the_card_names_the_repository_that_it_is_pushed_to(server: hub_server.Hub, folder: Path) -> None:
    card = 'timm.create_model("hf-hub:{0}", pretrained=True); from_pretrained("{0}")'
    (folder / "README.md").write_text(card.format("OWNER/NAME"))
    for name in ("you/first", "me/second"):
        try:
            [*exporter.hub(folder, repository=name)]
        except ValueError as error:
            assert "403" in str(error)
        assert (folder / "README.md").read_text() == card.format(name)
    assert server.repositories["me/second"].files["README.md"].decode() == card.format("me/second")


def test_in_a_card_only_the_name_of_the_place_is_replaced(server: hub_server.Hub, folder: Path) -> None:
    card = (
        'timm.create_model("hf-hub:{0}"); from_pretrained("{0}"); predict hf-hub:{0} IMAGE\n'
        'https://github.com/quark0/darts, [quark0/darts](https://github.com/quark0/darts), hf-hub:quark0/darts2, "quark0/darts/x"'
    )
    (folder / "README.md").write_text(card.format("quark0/darts"))
    [*exporter.hub(folder, repository="me/new")]
    assert (folder / "README.md").read_text() == card.format("me/new")


@pytest.mark.parametrize("content, reason", [(b"\xff\xfe", "it is not UTF-8"), (None, "Permission denied")])
def test_a_card_that_cannot_be_read_is_named_before_anything_is_sent(
    server: hub_server.Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    if content is None:
        monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, reason)))
    else:
        (folder / "README.md").write_bytes(content)
    with pytest.raises(ValueError, match=f"can't read the card {folder / 'README.md'}: {reason}; .*mend it"):
        [*exporter.hub(folder, repository="me/x")]
    assert not server.requests


def test_a_push_that_broke_off_is_finished_by_the_next_one(server: hub_server.Hub, folder: Path) -> None:
    server.fail = {"/commit/": 400}
    with pytest.raises(ValueError, match="the repository me/x is there, with none of these files"):
        push(folder, "me/x")
    assert server.repositories["me/x"].files == {} and len(server.large) == 3
    server.fail, server.requests = {}, []
    push(folder, "me/x")
    assert sorted(server.repositories["me/x"].files) == FOLDER
    assert not [path for method, path in server.requests if method == "PUT"], "what was uploaded is not uploaded again"


LOST = {  # what is dropped, what the message says or None for a push that succeeded, the files that are there then, of a first push
    "before the commit": ({"/commit/": "before"}, "Server disconnected.*: look at the network; {state}.* not sent again", False),
    "after the commit": ({"/commit/": "after"}, None, True),
    "in a large file": ({"^/lfs/": "before"}, "Server disconnected.*; {state}.*large files that had arrived are kept", False),
    "for good": ({"/commit/|/me/x$": "before"}, "whether the commit arrived is not known, .*/me/x has all of the files or none;", False),
    "for good, after the commit": ({"/commit/": "after", "/me/x$": "before"}, "whether the commit arrived is not known", True),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("when", LOST)
def test_of_a_connection_that_was_lost_only_what_is_true_is_said(
    server: hub_server.Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, old: bool, when: str
) -> None:
    drop, message, arrives = LOST[when]
    state = "me/x is as it was before, since" if old else "the repository me/x is there, with none of these files"
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between huggingface_hub's attempts
    if old:
        push(folder, "me/x")
        for name in FOLDER:
            (folder / name).write_text(f"{name} in another state")
    server.drop = drop
    if message is None:
        assert push(folder, "me/x").commit == server.repositories["me/x"].sha
    else:
        with pytest.raises(ValueError, match=message.format(state=state)) as failure:
            push(folder, "me/x")
        assert "\n" not in str(failure.value)
    there = server.repositories["me/x"]
    assert (there.files == {name: (folder / name).read_bytes() for name in FOLDER}) == arrives
    assert len(there.commits) == old + arrives


def test_a_failure_of_the_hub_itself_is_one_line_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    """huggingface_hub reports each of its attempts and draws bars."""
    code = (
        "import sys, time; sys.stderr = sys.stdout; time.sleep = lambda _: None; from nasarch.export.hub.push import push;"
        "from pathlib import Path\n"
        "try: push(Path(sys.argv[1]), 'me/x')\n"
        "except ValueError as error: print(error)"
    )
    _, said = as_user(code, tmp_path, folder, fail={"/lfs/": 500})
    (line,) = said.splitlines()
    assert line.startswith("the Hub answers 500: ") and "me/x is there, with none of these files" in line


def test_a_network_that_is_down_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    with pytest.raises(
        ValueError, match="the connection to http://127.0.0.1:9 failed: .*; nothing was uploaded to me/x; .* is complete"
    ) as refusal:
        push(folder, "me/x")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["x", "me/x/y", "me/", "/x", "me/a b", "me/a--b", "me/" + "x" * 100, "", "me/x.git", "../x"])
def test_a_name_that_is_not_owner_and_name_is_refused_before_anything_is_sent(server: hub_server.Hub, folder: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{re.escape(repr(name))} is no name on the Hub; legal is OWNER/NAME"):
        push(folder, name)
    assert not server.requests and check_name("me/My_cell-1.0") == "me/My_cell-1.0"


def test_the_command_hands_all_arguments_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[object] = []
    monkeypatch.setattr(exporter, "hub", lambda *args, **kwargs: calls.append((args, kwargs)) or ["written", "pushed"])
    flags = ["--checkpoint", "w.safetensors", "--data", "cifar10", "--size", "64", "--push", "me/x", "--public"]
    assert main(["export", "hub", "pc_darts_cifar", "--out", "folder", *flags]) == 0
    told = {"out": Path("folder"), "checkpoint": Path("w.safetensors"), "data": "cifar10", "size": 64, "repository": "me/x", "public": True}
    assert calls == [(("pc_darts_cifar",), told)]
    assert capsys.readouterr().out == "written\npushed\n"
