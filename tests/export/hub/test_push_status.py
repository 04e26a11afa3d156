"""What a push says and does for each answer of the Hub, one by one, and how it finds out what became of an upload."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import are_progress_bars_disabled, logging

from nasarch.export.hub import push as module
from nasarch.export.hub.push import Pushed, check_name, push

FILES = {"README.md": b"a card", "onnx/model.onnx": b"a graph", "model.safetensors": b"weights"}


class Answer(HfHubHTTPError):
    """An error with a status, as the Hub's client raises it."""

    def __init__(self, status: int, words: str = "because") -> None:
        Exception.__init__(self, words)
        self.response, self.server_message = SimpleNamespace(status_code=status), words  # type: ignore[assignment]


class Api:
    """The Hub's client: what it was asked, and what it answers or raises."""

    endpoint = "https://hub"

    def __init__(self) -> None:
        self.asked = list[tuple[str, Any]]()
        self.answers: dict[str, Any] = {"upload_folder": SimpleNamespace(oid="c0ffee")}

    def _say(self, name: str, told: Any) -> Any:
        self.asked.append((name, told))
        answer = self.answers.get(name)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def create_repo(self, repository: str, **told: Any) -> Any:
        return self._say("create_repo", (repository, told))

    def upload_folder(self, **told: Any) -> Any:
        assert logging.get_verbosity() == logging.CRITICAL
        return self._say("upload_folder", told)

    def model_info(self, repository: str, **told: Any) -> Any:
        return self._say("model_info", (repository, told))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.asked]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    made = Api()
    monkeypatch.setattr(module, "HfApi", lambda: made)
    monkeypatch.setattr(module, "get_token", lambda: "a token")
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub")
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def about(sha: str | None = "5ha", changed: dict[str, bytes | None] | None = None) -> SimpleNamespace:
    """What the Hub holds: git's digest of small files, sha256 of large ones."""
    siblings = [SimpleNamespace(rfilename="more.txt", blob_id="any", lfs=None)]
    for name, content in (FILES | (changed or {})).items():
        if content is None:
            continue
        blob, large = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), not name.endswith(".md")
        pointer = SimpleNamespace(sha256=hashlib.sha256(content).hexdigest()) if large else None
        siblings.append(SimpleNamespace(rfilename=name, blob_id="of the pointer" if large else blob, lfs=pointer))
    return SimpleNamespace(siblings=siblings, sha=sha)


@pytest.mark.parametrize("public", [False, True])
def test_a_push_makes_the_repository_and_uploads_the_folder(api: Api, folder: Path, public: bool) -> None:
    done = push(folder, "me/x", public=public)
    assert done == Pushed("https://hub/me/x", "c0ffee", not public)
    assert api.asked == [
        ("create_repo", ("me/x", {"private": not public})),
        ("upload_folder", {"repo_id": "me/x", "folder_path": folder, "commit_message": "Upload a model of nasarch"}),
    ]
    words = {True: "public", False: "private"}[public]
    assert str(done) == f"pushed to https://hub/me/x ({words}), commit c0ffee"
    assert str(done._replace(private=None)) == "pushed to https://hub/me/x (as visible as it was before), commit c0ffee"


REASONS = {
    400: "^the Hub answers 400: because; ",
    401: r"^the Hub refuses the token \(401\): make one with write access at https://hub/settings/tokens and run `hf auth login`",
    402: "^the Hub answers 402: because; ",
    403: r"^this token may not write to me/x \(403\): take one with write access for me, from https://hub/settings/tokens",
    404: r"^the Hub has no me/x for this token \(404\): take a token with write access for me, from",
    408: "^the Hub answers 408: because; ",
    409: "^the Hub answers 409: because; ",
    410: "^the Hub answers 410: because; ",
    412: "^the Hub answers 412: because; ",
    413: "^the Hub answers 413: because; ",
    422: "^the Hub answers 422: because; ",
    429: "^the Hub answers 429: because; ",
    499: "^the Hub answers 499: because; ",
    500: "^the Hub answers 500: because; ",
    502: "^the Hub answers 502: because; ",
    503: "^the Hub answers 503: because; ",
    504: "^the Hub answers 504: because; ",
}


@pytest.mark.parametrize("status", REASONS)
def test_a_repository_that_cannot_be_made_is_no_upload_unless_it_is_there_already(api: Api, folder: Path, status: int) -> None:
    api.answers["create_repo"] = Answer(status)
    if status == 409:
        assert push(folder, "me/x") == Pushed("https://hub/me/x", "c0ffee", None)
        return
    with pytest.raises(ValueError, match=REASONS[status]) as refused:
        push(folder, "me/x", public=True)
    again = f"{folder} is complete: `nasarch export hub {folder} --push me/x --public` uploads it"
    assert str(refused.value).endswith(f"; nothing was uploaded to me/x; {again}") and api.names == ["create_repo"]


@pytest.mark.parametrize("there", ["all", "none", "silence"])
@pytest.mark.parametrize("status", REASONS)
def test_after_a_failed_upload_the_hub_is_asked_where_its_answer_says_nothing(api: Api, folder: Path, status: int, there: str) -> None:
    """From 500 on."""
    api.answers["upload_folder"] = Answer(status)
    api.answers["model_info"] = {"all": about(), "none": about(changed={"README.md": None}), "silence": OSError("no route")}[there]
    asks = status >= 500
    if asks and there == "all":
        assert push(folder, "me/x") == Pushed("https://hub/me/x", "5ha", True)
    else:
        with pytest.raises(ValueError, match=REASONS[status]) as refused:
            push(folder, "me/x")
        unknown = "whether the commit arrived is not known, since the Hub doesn't answer: https://hub/me/x has all of the files or none"
        known = "the repository me/x is there, with none of these files, since they appear together in one commit"
        assert (unknown if asks and there == "silence" else known) in str(refused.value)
        assert str(refused.value).endswith(f"; {folder} is complete: `nasarch export hub {folder} --push me/x` uploads it")
    assert api.names == ["create_repo", "upload_folder", *["model_info"] * asks]
    assert not asks or api.asked[-1] == ("model_info", ("me/x", {"files_metadata": True, "timeout": 20.0}))


def test_the_network_is_no_status_and_its_words_are_cut(api: Api, folder: Path) -> None:
    api.answers |= {
        "upload_folder": OSError("the cable\nis " + "x" * 300),
        "model_info": about(changed={"README.md": None}),
        "create_repo": Answer(409),
    }
    with pytest.raises(ValueError) as refused:
        push(folder, "me/x")
    words = f"the cable is {'x' * 300}"[:200]
    assert str(refused.value).startswith(
        f"the connection to https://hub failed: {words}: look at the network; me/x is as it was before, since"
    )
    api.answers["model_info"] = about()
    assert push(folder, "me/x") == Pushed("https://hub/me/x", "5ha", None), "only the answer was lost"
    api.answers |= {"upload_folder": TimeoutError(), "model_info": OSError()}
    with pytest.raises(ValueError, match="failed: TimeoutError: look at the network; whether the commit arrived is not known"):
        push(folder, "me/x")


def test_what_went_wrong_at_first_counts(api: Api, folder: Path) -> None:
    """The client wraps errors of its parts."""
    outer = RuntimeError("Error while uploading")
    outer.__cause__ = RuntimeError("again")
    outer.__cause__.__cause__ = Answer(413, "too large")
    api.answers["upload_folder"] = outer
    with pytest.raises(ValueError, match="^the Hub answers 413: too large; the repository me/x is there, with none"):
        push(folder, "me/x")
    assert "model_info" not in api.names


@pytest.mark.parametrize(
    ("state", "arrived"),
    [
        (about(), True),
        (about(changed={"README.md": b"another card"}), False),
        (about(changed={"README.md": None}), False),
        (about(changed={"onnx/model.onnx": b"another graph"}), False),
        (about(changed={"onnx/model.onnx": None}), False),
        (about(sha=None), False),
        (SimpleNamespace(siblings=None, sha="5ha"), False),
    ],
)
def test_files_have_arrived_if_all_are_there_as_they_are_here(api: Api, folder: Path, state: Any, arrived: bool) -> None:
    """Hidden ones are not uploaded, and others may be there, too."""
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x").touch()
    (folder / ".hidden").touch()
    api.answers |= {"upload_folder": Answer(502), "model_info": state}
    if arrived:
        assert push(folder, "me/x").commit == "5ha"
    else:
        with pytest.raises(ValueError, match="with none of these files"):
            push(folder, "me/x")


def test_without_a_token_nothing_is_asked(api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "get_token", lambda: None)
    with pytest.raises(ValueError, match="there is no token for https://hub: run `hf auth login` or set HF_TOKEN; nothing was uploaded; "):
        push(folder, "me/x")
    assert not api.asked


@pytest.mark.parametrize(("name", "legal"), [("me/" + "x" * 96, True), ("me/" + "x" * 97, False), ("x" * 20, False), ("a/b/c", False)])
def test_a_name_has_an_owner_and_96_letters_behind_it(name: str, legal: bool) -> None:
    if legal:
        assert check_name(name) == name
    else:
        with pytest.raises(ValueError, match="is no name on the Hub"):
            check_name(name)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Whether someone may watch; the switches of bars, counted."""
    calls = list[str]()
    monkeypatch.setattr(module, "disable_progress_bars", lambda: calls.append("off"))
    monkeypatch.setattr(module, "enable_progress_bars", lambda: calls.append("on"))
    monkeypatch.setattr(module, "are_progress_bars_disabled", lambda: False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", None)

    def watched(someone: bool) -> list[str]:
        monkeypatch.setattr(module.sys, "stderr", SimpleNamespace(isatty=lambda: someone))
        return calls

    yield watched


def test_bars_are_hidden_where_nobody_watches_and_all_is_as_before_in_the_end(
    api: Api, folder: Path, terminal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, disabled = logging.get_verbosity(), are_progress_bars_disabled()
    calls = terminal(True)
    push(folder, "me/x")
    assert not calls
    terminal(False)
    push(folder, "me/x")
    assert calls == ["off", "on"]
    api.answers["upload_folder"] = Answer(400)
    with pytest.raises(ValueError):
        push(folder, "me/x")
    assert calls == ["off", "on"] * 2 and (logging.get_verbosity(), are_progress_bars_disabled()) == (before, disabled)
    with monkeypatch.context() as patched:
        patched.setattr(module, "are_progress_bars_disabled", lambda: True)
        with pytest.raises(ValueError):
            push(folder, "me/x")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", False)
    with pytest.raises(ValueError):
        push(folder, "me/x")
    assert calls == ["off", "on"] * 2, "what was chosen stays"
