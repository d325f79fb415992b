"""Downloads from the Hugging Face hub: pinned to a commit at the first use, checked by their SHA-256 at every use."""

import contextlib
import functools
import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from trm.data.atomic import atomic_write, check_writable
from trm.data.cache import CACHE_VARIABLE, cache_folder
from trm.data.lock import one_at_a_time
from trm.errors import InputError
from trm.text import read_json

PREFIX = "hf:"
"""What the name of a model on the hub begins with."""
PART = r"\w[\w.-]{0,95}"
REPOSITORY = re.compile(f"{PART}/{PART}", re.ASCII)
MODEL = re.compile(rf"{PREFIX}({PART}/{PART})(?:@(\w[\w./-]{{0,199}}))?", re.ASCII)
"""A repository, and perhaps a revision: a branch, a tag or a commit."""
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
"""The files of a model on the hub; nothing else is downloaded."""
MODEL_TYPE, OURS = "model_type", "trm"
"""Key and value by which the hub, and readers, tell whose configuration a file is."""
LARGEST = 1 << 33
"""Bytes of the largest file that is downloaded."""
LARGEST_TEXT = 1 << 20
"""Bytes of the largest configuration or card."""
TOKEN = "HF_TOKEN"
"""Environment variable of the token; one that is stored on disk is not used."""
LOCK = "lock.json"


def is_model(folder: Path) -> bool:
    """Return whether a folder has the files of a model on the hub."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def fetch_model(name: str, *files: str) -> Path:
    """Return the folder of a model on the hub, ``hf:OWNER/NAME[@REVISION]``, downloaded once to the cache.

    Without a revision, it is the main branch as it was at the first use.

    Args:
        name: name of the model.
        *files: the files that are needed; by default configuration and parameters.

    Raises:
        InputError: if the name is malformed, or for the reasons of ``fetch``.
    """
    found = MODEL.fullmatch(name)
    if found is None:
        raise InputError(
            f"the name of the model is {name!r}, but on the hub it must be {PREFIX}OWNER/NAME or "
            f"{PREFIX}OWNER/NAME@REVISION"
        )
    return _fetched_model(found[1], found[2] or "main", cache_folder() / "hub", files or (CONFIG, WEIGHTS))


@functools.cache
def _fetched_model(repo: str, revision: str, root: Path, files: tuple[str, ...]) -> Path:
    """Return the folder of a model, whose files are checked once in a process."""
    folder = root / f"{repo.replace('/', '--')}@{quote(revision, safe='')}"
    for file in files:
        path = fetch(repo, file, folder, "model", revision, LARGEST if file == WEIGHTS else LARGEST_TEXT)
        if file == CONFIG:
            read_config(path, f"{CONFIG} of {repo}")  # before gigabytes of another library's model are downloaded
    return folder


def read_config(path: Path, where: str) -> dict[str, Any]:
    """Return the configuration of a model on the hub; its values are not examined.

    Raises:
        InputError: if it is too large, is not JSON, or is that of another library's model.
    """
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise InputError(f"{where} has {size:,} bytes, but at most {LARGEST_TEXT:,} are accepted")
    config = read_json(path)
    if not isinstance(config, dict) or config.get(MODEL_TYPE) != OURS:
        found = repr(config.get(MODEL_TYPE))[:60] if isinstance(config, dict) else f"of a {type(config).__name__}"
        raise InputError(f"{where} has the {MODEL_TYPE} {found}, so trm export did not write it; accepted is {OURS!r}")
    return config


def fetch(
    repo: str,
    file: str,
    folder: Path,
    kind: Literal["dataset", "model"],
    revision: str = "main",
    most: int = LARGEST,
) -> Path:
    """Download a file of a repository, once, and return its path.

    The first download records the commit and the SHA-256 of the file in ``folder/lock.json``. Later downloads, on any
    machine with that lock file, fetch the same commit and check the SHA-256. A file that is there is not asked for
    again. An interrupted download leaves no file of that name.

    Args:
        repo: the repository, ``OWNER/NAME``.
        file: the file in it.
        folder: where files and lock lie.
        kind: of the repository.
        revision: a branch, a tag or a commit.
        most: bytes of the largest accepted file.

    Raises:
        InputError: if huggingface_hub is not installed, the download fails, the file is too large, or the SHA-256
            differs.
    """
    lock_path, path = folder / LOCK, folder / file
    if not (lock_path.exists() and path.is_file()):  # else no package is needed, nor a disk that can be written to
        needs_hub(f"{repo} is on the Hugging Face hub, and downloading it")
        check_writable(lock_path, f"the cache (data.root or {CACHE_VARIABLE}) ")
    try:
        with one_at_a_time(lock_path):
            lock = _read_lock(lock_path)
            known = lock["sha256"].get(file)
            if not (known and path.is_file()):
                lock["commit"] = _download(repo, file, folder, kind, lock.get("commit", revision), most)
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != (known or digest):
                raise InputError(
                    f"{path} has the SHA-256 {digest}, but {lock_path} records {known}; delete one of the two"
                )
            if known is None:
                lock = {"repo": repo, "commit": lock["commit"], "sha256": {**lock["sha256"], file: digest}}
                with atomic_write(lock_path, "w") as stream:
                    json.dump(lock, stream, indent=2)
    except InputError:
        with contextlib.suppress(OSError):
            folder.rmdir()  # if there is nothing in it
        raise
    return path


def _read_lock(path: Path) -> dict[str, Any]:
    """Return the content of a lock file; without one, a lock that pins nothing."""
    lock = read_json(path) if path.exists() else {"sha256": {}}
    if not (isinstance(lock, dict) and isinstance(lock.get("sha256"), dict)):
        raise InputError(f"{path} is damaged: it has no SHA-256 by file; delete it to have the files downloaded again")
    return lock


def _download(repo: str, file: str, folder: Path, kind: str, revision: str, most: int) -> str:
    """Download a file to a folder, and return the commit that it is of."""
    import huggingface_hub
    from huggingface_hub import constants, errors

    source, given = f"{file} of {repo} at {revision}", token() or False
    try:
        url = huggingface_hub.hf_hub_url(repo, file, repo_type=kind, revision=revision)
        about = huggingface_hub.get_hf_file_metadata(url, token=given)
        if (about.size or 0) > most:
            raise InputError(f"{source} has {about.size:,} bytes, but at most {most:,} are accepted")
        commit = about.commit_hash or revision
        huggingface_hub.hf_hub_download(
            repo, file, repo_type=kind, revision=commit, local_dir=folder, token=given
        )  # moves a file to its name when it is complete
    except InputError:
        raise
    except errors.RevisionNotFoundError as error:
        raise InputError(f"{repo} has no revision {revision!r} on the hub at {constants.ENDPOINT}") from error
    except errors.RepositoryNotFoundError as error:
        raise InputError(
            f"there is no {kind} {repo} on the hub at {constants.ENDPOINT}, or it is private; private ones need a "
            f"token in the environment variable {TOKEN}"
        ) from error
    except errors.RemoteEntryNotFoundError as error:
        raise InputError(f"{repo} at {revision} on the hub has no file {file}, which is needed") from error
    except Exception as error:  # of the hub and of its HTTP client, which have no base in common
        raise InputError(
            f"cannot download {source} from the hub at {constants.ENDPOINT}: {reason_of(error)}"
        ) from error
    return commit


def token() -> str:
    """Return the token of the environment; "" if there is none.

    Raises:
        InputError: if it cannot be sent.
    """
    given = os.environ.get(TOKEN, "").strip()
    if not (given.isascii() and all(character.isprintable() and character != " " for character in given)):
        raise InputError(f"{TOKEN} is set, but is no token; accepted are printable ASCII characters without spaces")
    return given


def needs_hub(what: str) -> None:
    """Refuse what needs the package of the extra ``hub`` without it.

    Raises:
        InputError: if it is missing.
    """
    try:
        import huggingface_hub  # noqa: F401
    except ModuleNotFoundError as error:
        raise InputError(f"{what} needs the package {error.name}: pip install 'trm[hub]'") from error


def reason_of(error: Exception) -> str:
    """Return the first line of an error of the hub, with its cause, which it may leave out."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    cause = str(error.__cause__ or "").strip().splitlines()
    return f"{reason} ({cause[0]})" if cause and cause[0] not in reason else reason
