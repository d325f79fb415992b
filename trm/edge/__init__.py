"""Solving without torch: ``EdgeSolver`` runs a file of ``trm export --format onnx`` with numpy and onnxruntime alone.

This folder imports nothing of the package but ``trm.errors``, so that it runs on small machines; ``trm export --kit``
packs it into a single file.
"""

from trm.edge.solver import EdgeSolution, EdgeSolver

__all__ = ["EdgeSolution", "EdgeSolver"]
