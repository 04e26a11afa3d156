"""A folder becomes the files of a repository on the Hub, in one commit: all of them appear, or none.

The token is huggingface_hub's own (`hf auth login`, HF_TOKEN), and so is the address (HF_ENDPOINT). A new repository is private unless
it is asked to be public; one that exists keeps its visibility and its other files.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

CONFLICT = 409


class Pushed(NamedTuple):
    """What was done; `private` is None for a repository that was there before."""

    url: str
    commit: str
    private: bool | None

    def __str__(self) -> str:
        seen = {True: "private", False: "public", None: "as visible as it was before"}[self.private]
        return f"pushed to {self.url} ({seen}), commit {self.commit}"


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
    if get_token() is None:
        remedy = "run `hf auth login` or set HF_TOKEN"
        raise ValueError(f"there is no token for {constants.ENDPOINT}: {remedy}; nothing was uploaded; {_again(folder, repository)}")
    api, done = HfApi(), f"nothing was uploaded to {repository}"
    try:
        private = _create(api, repository, public)
        done = f"the repository {repository} is there, with none of these files, since they appear together in one commit"
        commit = api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload a model of nasarch")
    except Exception as error:  # the errors of the network share no base over the versions of huggingface_hub
        raise ValueError(f"{_reason(error, repository)}; {done}; {_again(folder, repository)}") from error
    return Pushed(f"{api.endpoint}/{repository}", commit.oid, private)


def _create(api: HfApi, repository: str, public: bool) -> bool | None:
    """Make the repository: whether it is private, None if it was there before."""
    try:
        api.create_repo(repository, private=not public)
        return not public
    except HfHubHTTPError as error:
        if _status(error) != CONFLICT:
            raise
        return None


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _reason(error: Exception, repository: str) -> str:
    """What went wrong at first, with the remedy, in one line."""
    first: BaseException = error
    while _status(first) is None and first.__cause__ is not None:
        first = first.__cause__
    owner, status = repository.split("/")[0], _status(first)
    tokens = f"{constants.ENDPOINT}/settings/tokens"
    known = {
        401: f"the Hub refuses the token (401): make one with write access at {tokens} and run `hf auth login`, or set HF_TOKEN",
        403: f"this token may not write to {repository} (403): take one with write access for {owner}, from {tokens}, or another OWNER",
        404: f"the Hub has no {repository} for this token (404): take a token with write access for {owner}, from {tokens}",
    }
    said = " ".join(str(getattr(first, "server_message", None) or first).split())[:200] or type(first).__name__
    if status is None:
        return f"the connection to {constants.ENDPOINT} failed: {said}: look at the network"
    return known.get(status) or f"the Hub answers {status}: {said}"


def _again(folder: Path, repository: str) -> str:
    return f"{folder} is complete: `nasarch export hub {folder} --push {repository}` uploads it"
