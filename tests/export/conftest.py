"""A small 4x4 Sudoku model, as a checkpoint and as an exported file."""

from pathlib import Path

import pytest
from exporting import save_random_model

from trm.export.model import Exported, export_onnx


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint."""
    return save_random_model(tmp_path_factory.mktemp("export") / "random.ckpt")


@pytest.fixture(scope="session")
def exported(checkpoint: Path) -> Exported:
    """Its export to ONNX with the defaults."""
    return export_onnx(str(checkpoint))


@pytest.fixture(scope="session")
def model_file(exported: Exported, checkpoint: Path) -> Path:
    """The exported file."""
    path = checkpoint.with_name("random.onnx")
    path.write_bytes(exported.content)
    return path
