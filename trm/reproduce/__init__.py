"""Experiments of the paper, and the ledger of what was measured."""
