"""Several families in one run: ``Mixture``."""

from trm.data.mixture.datamodule import Mixture

__all__ = ["Mixture"]
