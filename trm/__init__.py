"""Train, evaluate, inspect and ship Tiny Recursive Models (arXiv 2510.04871).

The public names are here, each imported when it is first used, so ``import trm`` loads neither torch nor Lightning::

    import trm
    solver = trm.load("sudoku-4x4")
    print(*solver.solve([".2..4..13......4"]))
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trm.callbacks import Checkpoints as Checkpoints
    from trm.callbacks import StepEMA as StepEMA
    from trm.checkpoints.load import load_checkpoint as load_checkpoint
    from trm.data import ARC as ARC
    from trm.data import Maze as Maze
    from trm.data import Mixture as Mixture
    from trm.data import Pairs as Pairs
    from trm.data import PuzzleData as PuzzleData
    from trm.data import Sudoku as Sudoku
    from trm.module import TRMModule as TRMModule
    from trm.solver import Solver as Solver
    from trm.solver import load as load

__version__ = "0.2.0"

_HOMES = {
    "ARC": "trm.data",
    "Checkpoints": "trm.callbacks",
    "Maze": "trm.data",
    "Mixture": "trm.data",
    "Pairs": "trm.data",
    "PuzzleData": "trm.data",
    "Solver": "trm.solver",
    "StepEMA": "trm.callbacks",
    "Sudoku": "trm.data",
    "TRMModule": "trm.module",
    "load": "trm.solver",
    "load_checkpoint": "trm.checkpoints.load",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    """Return what the module holds, the public names that nobody has used yet included."""
    return sorted({*globals(), *__all__})
