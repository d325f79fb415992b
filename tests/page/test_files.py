"""The files of a page: onnxruntime-web is the pinned one or is refused, and nothing of a folder is lost."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from browsing import hosted
from command import refused
from exporting import save_random_model

from trm.cli.main import main
from trm.data.atomic import atomic_folder, check_folder
from trm.errors import InputError
from trm.page import runtime as npm
from trm.page.write import NAMES, SOURCES, page_files, single_page

PARTS: tuple[dict[str, Any], bytes, bytes, dict[str, bytes]] = (
    {"title": "</script><b>", "about": {}},
    b"model",
    b"",
    dict.fromkeys(npm.FILES, b"runtime"),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TRM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# -- onnxruntime-web --------------------------------------------------------------------------------------------------


def test_another_package_than_the_pinned_one_is_refused_and_not_kept(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mirror" / "onnxruntime-web" / "-" / npm.PACKAGE
    package.parent.mkdir(parents=True)
    package.write_bytes(b"something else")
    with hosted(tmp_path / "mirror") as url:
        monkeypatch.setenv(npm.REGISTRY_VARIABLE, f"{url}/")
        with pytest.raises(InputError, match=r"has the SHA-512 .* but that of onnxruntime-web .* nothing was kept"):
            npm.runtime_files()
        package.unlink()
        with pytest.raises(InputError, match=r"cannot fetch http://127.0.0.1:.*: HTTP Error 404"):
            npm.runtime_files()
    with pytest.raises(InputError, match=r"cannot fetch http://127.0.0.1:.*refused"):
        npm.runtime_files()
    monkeypatch.setenv(npm.REGISTRY_VARIABLE, "file:///etc")
    with pytest.raises(InputError, match="is 'file:///etc'; accepted is a URL of http"):
        npm.runtime_files()
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_a_changed_file_in_the_cache_is_refused(cache: Path) -> None:
    folder = cache / npm.PACKAGE.removesuffix(".tgz")
    folder.mkdir(parents=True)
    for name in npm.FILES:
        (folder / name).write_bytes(b"changed")
    with pytest.raises(InputError, match=r"has the SHA-256 .* delete it to have it fetched again"):
        npm.runtime_files()


# -- folders and files ------------------------------------------------------------------------------------------------


def test_a_folder_with_other_files_is_refused_and_an_earlier_page_needs_force(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    check_folder(folder, NAMES, force=False, what="page")
    atomic_folder(folder, page_files(*PARTS[:2], b"vectors", PARTS[3]))
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    with pytest.raises(InputError, match="exists already; --force overwrites it"):
        check_folder(folder, NAMES, force=False, what="page")
    check_folder(folder, NAMES, force=True, what="page")
    atomic_folder(folder, page_files(*PARTS))
    assert {path.name for path in folder.iterdir()} == {*NAMES} - {"vectors.bin"}, "nothing of the earlier page is left"
    (folder / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(InputError, match=r"contains thesis\.txt, which is no file of a page; accepted is a new or"):
            check_folder(folder, NAMES, force, "page")
    with pytest.raises(InputError, match="is not a folder that can be written to"):
        check_folder(folder / "thesis.txt", NAMES, force=True, what="page")


def test_the_policy_of_a_page_allows_its_own_scripts_alone() -> None:
    html = page_files(*PARTS)["index.html"].decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]  # type: ignore[index]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    single = single_page(*PARTS)
    script = re.search(r'<script type="module">(.*?)</script>', single, re.DOTALL)[1]  # type: ignore[index]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob:" in single
    assert "connect-src 'none'" in single
    for text in (html, single):
        assert not re.search(r"\son\w+\s*=|javascript:|https?://(?!www\.w3\.org)", text.split("<body>")[0] + script)
        data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1]  # type: ignore[index]
        assert json.loads(data)["title"] == "</script><b>"


def test_scripts_write_text_and_never_markup() -> None:
    folder = Path(npm.__file__).parent
    text = "".join((folder / name).read_text(encoding="utf-8") for name in SOURCES)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_refuses_what_it_cannot_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(npm.REGISTRY_VARIABLE, "http://127.0.0.1:9")  # nothing is fetched before the folder is checked
    Path("taken").mkdir()
    Path("taken/thesis.txt").write_text("years of work")
    for output, sentence in {
        "taken": "taken contains thesis.txt, which is no file of a page",
        "page.html": "output is page.html, the name of a file; pass --single to write one, or a folder",
        "p.htm": "output is p.htm, the name of a file; pass --single to write one, or a folder",
        "P.HTML": "output is P.HTML, the name of a file; pass --single to write one, or a folder",
        "": "output is empty",
        "taken/thesis.txt/page": "is not a folder that can be written to",
    }.items():
        assert sentence in refused(capsys, ["page", "sudoku-4x4", "-o", output])
    assert "taken is a folder" in refused(capsys, ["page", "sudoku-4x4", "-o", "taken", "--single"]).replace(": it", "")
    assert "there is no checkpoint at nowhere" in refused(capsys, ["page", "nowhere", "-o", "page"])
    assert "cannot fetch http://127.0.0.1:9/" in refused(capsys, ["page", "sudoku-4x4", "-o", "page"])
    assert not Path("page").exists()


@pytest.mark.slow
def test_the_command_writes_a_folder_or_a_file(
    runtime: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_random_model(Path("random.ckpt"))
    assert main(["page", "random.ckpt", "-o", "page"]) == 0
    printed = capsys.readouterr().out
    assert "python -m http.server --directory page" in printed
    assert "differ from torch by at most" in printed
    assert {path.name for path in Path("page").iterdir()} == {*NAMES} - {"vectors.bin"}
    assert "/home/me/secret" not in Path("page/index.html").read_text()
    assert main(["page", "random.ckpt", "-o", "page", "--dtype=int8"]) == 2
    assert "--force" in capsys.readouterr().err
