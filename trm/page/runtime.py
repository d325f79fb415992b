"""onnxruntime-web, which runs a model in a browser: fetched from the npm registry, once, and checked by its hashes."""

import base64
import hashlib
import http.client
import io
import os
import tarfile
import urllib.error
import urllib.request
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_info

from trm.data.atomic import atomic_write, check_writable
from trm.data.cache import CACHE_VARIABLE, cache_folder
from trm.data.lock import one_at_a_time
from trm.errors import InputError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web-{VERSION}.tgz"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package in base64, as the registry records it."""
FILES = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The files of the package that a page needs, with their SHA-256."""
REGISTRY_VARIABLE = "NPM_CONFIG_REGISTRY"
"""Environment variable of npm for a mirror of its registry."""
REGISTRY = "https://registry.npmjs.org"
SECONDS = 60
"""Most seconds that the registry may be silent."""


def runtime_files() -> dict[str, bytes]:
    """Return the files of onnxruntime-web by name, from the cache if they are there.

    Raises:
        InputError: if they cannot be fetched or written, or are not those of the pinned version.
    """
    folder = cache_folder() / PACKAGE.removesuffix(".tgz")
    if not all((folder / name).is_file() for name in FILES):
        for name in FILES:
            check_writable(folder / name, f"the cache ({CACHE_VARIABLE}) ")
        with one_at_a_time(folder / PACKAGE):
            if not all((folder / name).is_file() for name in FILES):  # another process has fetched them
                for name, content in _fetched().items():
                    with atomic_write(folder / name, "wb", f"{CACHE_VARIABLE} must name a writable folder") as file:
                        file.write(content)
    return {name: _read(folder / name, digest) for name, digest in FILES.items()}


def _read(path: Path, digest: str) -> bytes:
    """Return the content of a file of the cache, which has this SHA-256."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise InputError(
            f"{path} has the SHA-256 {found}, but that of onnxruntime-web {VERSION} is {digest}; delete it to have it "
            "fetched again"
        )
    return content


def _fetched() -> dict[str, bytes]:
    """Return the files by name, fetched from the registry."""
    url = f"{(os.environ.get(REGISTRY_VARIABLE) or REGISTRY).rstrip('/')}/onnxruntime-web/-/{PACKAGE}"
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{REGISTRY_VARIABLE} is {url.partition('/onnxruntime-web')[0]!r}; accepted is a URL of http")
    rank_zero_info(f"Fetching {url} (33 MB), once")
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as reply:
            package = reply.read()
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if type(error) is urllib.error.URLError else error
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the reply as well
        raise InputError(f"cannot fetch {url}: {reason}; a page needs it once, and then works offline") from error
    found = base64.b64encode(hashlib.sha512(package).digest()).decode()
    if found != INTEGRITY:
        raise InputError(
            f"{url} has the SHA-512 {found} in base64, but that of onnxruntime-web {VERSION} is {INTEGRITY}; nothing "
            "was kept"
        )
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        members = {name: archive.extractfile(f"package/dist/{name}") for name in FILES}
        return {name: member.read() for name, member in members.items() if member is not None}
