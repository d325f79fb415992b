"""The upload of a hub folder to the Hugging Face hub."""

import hashlib
from pathlib import Path
from typing import NamedTuple

from trm.checkpoints.files import read_checkpoint
from trm.data.hub import PREFIX, REPOSITORY, TOKEN, is_model, needs_hub, reason_of, token
from trm.errors import InputError
from trm.export.hub import FILES


class Upload(NamedTuple):
    """A hub folder that is ready to be uploaded."""

    files: dict[str, Path]
    """Files by their name in the repository; nothing else in the folder is uploaded."""
    repo: str
    """The repository, ``OWNER/NAME``."""
    endpoint: str
    """URL of the hub."""

    def described(self) -> list[str]:
        """Return a line about each file: name, bytes and SHA-256."""
        sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in self.files.items()}
        return [f"  {name}: {path.stat().st_size:,} bytes, SHA-256 {sums[name]}" for name, path in self.files.items()]


def prepare(folder: str, repo: str) -> Upload:
    """Check a hub folder and the name of a repository before an upload; nothing is sent.

    Raises:
        InputError: if the folder is not a model that ``trm`` reads, the name is malformed, or the extra ``hub`` is
            missing.
    """
    repo = repo.removeprefix(PREFIX)
    if not REPOSITORY.fullmatch(repo):
        raise InputError(f"the repository is {repo!r}, but must be OWNER/NAME")
    if not is_model(Path(folder)):
        raise InputError(f"{folder!r} is not a folder that trm export --format hub writes, which is needed here")
    needs_hub("trm push")
    from huggingface_hub import constants

    read_checkpoint(Path(folder))
    files = {name: Path(folder, name) for name in FILES if Path(folder, name).is_file()}
    return Upload(files, repo, constants.ENDPOINT)


def upload(ready: Upload, private: bool) -> str:
    """Upload a folder in one commit, create its repository if it is missing, and return the commit.

    Raises:
        InputError: if there is no token, or the hub refuses it or the upload.
    """
    given = token()
    if not given:
        raise InputError(f"an upload needs a token of the hub in the environment variable {TOKEN}, which is not set")
    from huggingface_hub import CommitOperationAdd, HfApi

    api = HfApi(endpoint=ready.endpoint, token=given)
    additions = [CommitOperationAdd(name, path) for name, path in ready.files.items()]
    try:
        api.create_repo(ready.repo, private=private, exist_ok=True)
        done = api.create_commit(ready.repo, additions, commit_message="Upload a model with trm push")
    except Exception as error:  # of the hub and of its HTTP client, which have no base in common
        raise InputError(f"cannot upload to {ready.repo} on {ready.endpoint}: {reason_of(error)}") from error
    return str(done.oid)
