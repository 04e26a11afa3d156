"""Upload of a folder to a repository on the Hub, in one commit: all files appear, or none.

The token is huggingface_hub's own (`hf auth login`, HF_TOKEN), and so is the address (HF_ENDPOINT). A new repository is private unless
it is asked to be public; one that exists keeps its visibility and its other files.

What is true after a failure:

| failure | the files |
|---|---|
| before the repository is there | none was uploaded |
| the Hub refuses a part | none is in the repository, which is as it was before, or empty |
| the answer is lost, or the Hub's own error (500 and above) | in it or not: the Hub is asked; if all are there the push has succeeded |

Large files go first, each for itself, and those that have arrived are not sent again by the next push.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging, validate_repo_id

from nasarch.console import command_line

CONFLICT, SERVERS_OWN = 409, 500  # statuses; from the second on an error says nothing of what was done
PATIENCE = 20.0  # seconds, for the answer to what a repository holds


class Pushed(NamedTuple):
    """Report of an upload; `private` is None for a repository that was there before."""

    url: str
    commit: str
    private: bool | None

    def __str__(self) -> str:
        visibility = {True: "private", False: "public", None: "as visible as it was before"}[self.private]
        return f"pushed to {self.url} ({visibility}), commit {self.commit}"


def check_name(repository: str) -> str:
    """`repository` if it is OWNER/NAME.

    Raises:
        ValueError: it is not.
    """
    try:
        validate_repo_id(repository)
        good = repository.count("/") == 1
    except HFValidationError:
        good = False
    if not good:
        legal = "letters, digits, '-', '_' and '.', 96 in all"
        raise ValueError(f"{repository!r} is no name on the Hub; legal is OWNER/NAME of {legal}: write it like me/my_cell")
    return repository


def push(folder: Path, repository: str, *, public: bool = False) -> Pushed:
    """Upload all files of `folder` to the model `repository`, OWNER/NAME, which is made if it is missing.

    Raises:
        ValueError: a wrong name, no token, or the Hub or the network refuses: says why, what is there now and what to do.
    """
    check_name(repository)
    again = f"{folder} is complete: `{command_line('export', 'hub', folder, '--push', repository)}{' --public' * public}` uploads it"
    if get_token() is None:
        remedy = "run `hf auth login` or set HF_TOKEN"
        raise ValueError(f"there is no token for {constants.ENDPOINT}: {remedy}; nothing was uploaded; {again}")
    with _quiet():
        api = HfApi()
        try:
            private = _create(api, repository, public)
        except Exception as error:  # the errors of the network share no base over the versions of huggingface_hub
            raise ValueError(f"{_reason(error, repository)}; nothing was uploaded to {repository}; {again}") from error
        try:
            commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model of nasarch").oid
        except Exception as error:
            state = _state(api, folder, repository, private, error)
            if not isinstance(state, _Arrived):
                raise ValueError(f"{_reason(error, repository)}; {state}; {again}") from error
            commit = state.commit
    return Pushed(f"{api.endpoint}/{repository}", commit, private)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without huggingface_hub's lines about its retries, and with its progress bars only where someone may watch them."""
    level = logging.get_verbosity()
    hide = not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None and not are_progress_bars_disabled()
    logging.set_verbosity(logging.CRITICAL)
    if hide:
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if hide:
            enable_progress_bars()


def _create(api: HfApi, repository: str, public: bool) -> bool | None:
    """Make the repository: whether it is private, None if it was there before."""
    try:
        api.create_repo(repository, private=not public)
        return not public
    except HfHubHTTPError as error:
        if _status(error) != CONFLICT:
            raise
        return None


# ---- after a failure


class _Arrived(NamedTuple):
    """The repository holds all files of the folder, by its commit `commit`."""

    commit: str


def _state(api: HfApi, folder: Path, repository: str, private: bool | None, error: Exception) -> _Arrived | str:
    """State of the repository after an upload that ended in `error`."""
    status = _status(_first(error))
    sent = "large files that had arrived are kept by the Hub and not sent again"
    if status is None or status >= SERVERS_OWN:
        held = _holds(api, folder, repository)
        if isinstance(held, _Arrived):
            return held
        if held is None:
            url = f"{api.endpoint}/{repository}"
            return f"whether the commit arrived is not known, since the Hub doesn't answer: {url} has all of the files or none; {sent}"
    there = f"{repository} is as it was before" if private is None else f"the repository {repository} is there, with none of these files"
    return f"{there}, since they appear together in one commit; {sent}"


def _holds(api: HfApi, folder: Path, repository: str) -> _Arrived | bool | None:
    """Whether all files of `folder` are in the repository as they are here (False if not); None if the Hub doesn't say."""
    try:
        about = api.model_info(repository, files_metadata=True, timeout=PATIENCE)
    except Exception:  # as above
        return None
    there = {one.rfilename: one.blob_id if one.lfs is None else one.lfs.sha256 for one in about.siblings or ()}
    files = [path for path in folder.rglob("*") if path.is_file() and not any(part[0] == "." for part in path.relative_to(folder).parts)]
    same = all(there.get(path.relative_to(folder).as_posix()) in _digests(path) for path in files)
    return _Arrived(about.sha) if same and about.sha is not None else False


def _digests(path: Path) -> set[str]:
    """Digests of a file that the Hub may state: git's hash of a blob, or sha256 of a large one."""
    content = path.read_bytes()
    return {hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(), hashlib.sha256(content).hexdigest()}


def _first(error: BaseException) -> BaseException:
    """First cause of an error: the one that has an HTTP status, else the last one."""
    while _status(error) is None and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _reason(error: Exception, repository: str) -> str:
    """First cause of an error and its remedy, in one line."""
    first = _first(error)
    owner, status = repository.split("/")[0], _status(first)
    tokens = f"{constants.ENDPOINT}/settings/tokens"
    known = {
        401: f"the Hub refuses the token (401): make one with write access at {tokens} and run `hf auth login`, or set HF_TOKEN",
        403: f"this token may not write to {repository} (403): take one with write access for {owner}, from {tokens}, or another OWNER",
        404: f"the Hub has no {repository} for this token (404): take a token with write access for {owner}, from {tokens}",
    }
    reason = " ".join(str(getattr(first, "server_message", None) or first).split())[:200] or type(first).__name__
    if status is None:
        return f"the connection to {constants.ENDPOINT} failed: {reason}: look at the network"
    return known.get(status) or f"the Hub answers {status}: {reason}"
