"""The command ``trm page``: a static page on which a browser solves puzzles with a model."""

from pathlib import Path
from typing import Literal

from trm.errors import InputError, counted


def page(
    checkpoint: str,
    *,
    output: str,
    single: bool = False,
    dtype: Literal["float32", "float16", "int8"] = "float32",
    force: bool = False,
    family: str = "",
    module: str = "",
) -> int:
    """Write a page on which a browser solves puzzles with a model, and shows each supervision step.

    The model runs in the browser, with onnxruntime-web; nothing is sent anywhere. That package is fetched from the npm
    registry once, checked by its hash and cached. A folder is for any static web server, such as python -m http.server;
    with --single everything is in one file, which also works from disk.

    The page of an ARC model contains the tasks that it was trained on, without the withheld outputs.

    Args:
        checkpoint: a file written by ``trm fit``, or the name of a model; see ``trm zoo --help``.
        output: folder to write, or file with --single; -o for short.
        single: write one HTML file.
        dtype: type in which the weights are stored; the computation is in float32.
        force: overwrite an earlier page.
        family: the class the checkpoint was trained on if it is your own, such as my_puzzles.Futoshiki.
        module: your own classes of the module and its network, separated by a comma, such as my_nets.Gated.
    """
    from trm.checkpoints.load import load_checkpoint
    from trm.data.atomic import atomic_folder, atomic_write, check_ending, check_folder, refuse_overwriting
    from trm.export.model import export_onnx
    from trm.page.content import content
    from trm.page.runtime import runtime_files
    from trm.page.write import NAMES, page_files, single_page
    from trm.zoo import find, local

    if not output:
        raise InputError("output is empty; accepted is the folder to write, or with --single the file")
    if single:
        check_ending(output, "a page", ".html")
        refuse_overwriting(output, force, local(checkpoint))
    elif Path(output).suffix.lower() in (".html", ".htm"):
        raise InputError(f"output is {output}, the name of a file; pass --single to write one, or a folder")
    else:
        check_folder(Path(output), NAMES, force, "page", checkpoint)
    find(checkpoint)  # before the runtime is fetched
    runtime = runtime_files()
    exported = export_onnx(checkpoint, dtype, family=family, module=module)
    shown, vectors = content(exported, *load_checkpoint(checkpoint, family, module))
    parts = (shown, exported.content, vectors, runtime)
    if single:
        text = single_page(*parts)
        with atomic_write(Path(output), "w") as file:
            file.write(text)
        print(f"{output}: {len(text):,} bytes; it opens in any browser")
    else:
        written = page_files(*parts)
        atomic_folder(Path(output), written)
        print(f"{output}: {counted(len(written), 'file')}, {sum(map(len, written.values())):,} bytes")
        print(f"try it: python -m http.server --directory {output}")
    print("\n".join(exported.checks))
    return 0
