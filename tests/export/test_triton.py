"""The configuration of Triton in the docs, against the files that it describes, since no test runs Triton.

Its onnxruntime backend completes a configuration from the file. It batches a model only if the first dimension of every
input and output is free: https://github.com/triton-inference-server/onnxruntime_backend, ``AutoCompleteMaxBatch``.
"""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporting import save_random_model
from pages import blocks
from paths import REPO

from trm.cli.main import main
from trm.edge.model import open_session

PAGE = REPO / "docs" / "deployment.md"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the whole loop, whose puzzles have vectors."""
    folder = tmp_path_factory.mktemp("triton")
    checkpoint = save_random_model(folder / "random.ckpt", puzzle_tokens=1)
    assert main(["export", str(checkpoint), "--format=onnx", "--whole", "-o", str(folder / "model.onnx")]) == 0
    return folder / "model.onnx"


def field(name: str) -> str:
    """Return a value of the documented configuration."""
    (config,) = (block.text for block in blocks(PAGE) if block.title == "config.pbtxt")
    (value,) = re.findall(rf"^{name}: (.*)$", config, flags=re.MULTILINE)
    return str(value).strip('"')


def test_its_configuration_lies_where_the_docs_say() -> None:
    assert f"models/{field('name')}/1/model.onnx" in PAGE.read_text()


@pytest.mark.parametrize("fixture", ["whole", "model_file"])
def test_the_batch_of_every_input_and_output_is_free(fixture: str, request: pytest.FixtureRequest) -> None:
    session = open_session(request.getfixturevalue(fixture))
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        batch, *sizes = tensor.shape
        assert batch == "batch", tensor.name
        assert all(isinstance(size, int) for size in sizes), tensor.name


def test_a_batch_of_the_most_puzzles_is_answered(whole: Path) -> None:
    session, most = open_session(whole), int(field("max_batch_size"))
    types = {"tensor(int32)": np.int32, "tensor(float)": np.float32}
    feed = {tensor.name: np.ones((most, *tensor.shape[1:]), types[tensor.type]) for tensor in session.get_inputs()}
    assert [len(answer) for answer in session.run(None, feed)] == [most] * len(session.get_outputs())


def test_the_opset_is_no_later_than_the_documented_one(whole: Path) -> None:
    (opset,) = (entry.version for entry in onnx.load(whole).opset_import if not entry.domain)
    assert opset <= int(re.findall(r"opset (\d+)", PAGE.read_text())[0])
