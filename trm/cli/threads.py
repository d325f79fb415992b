"""Sets how long threads of OpenMP spin at a barrier. torch reads that when it is loaded, so it is not imported here."""

import os

WAITING = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Environment variables by which the user decides; each of them overrides ours."""
SPINS = "10000"
"""Iterations that a waiting thread spins before it sleeps, some 30 microseconds; GNU OpenMP's default is 300,000."""


def limit_spinning() -> None:
    """Let waiting threads sleep soon, unless the user has set how they wait.

    GNU OpenMP, which torch brings on Linux, reads the variable once, when torch is loaded. By default its threads spin
    at every barrier, and when another process uses a core, they keep the thread they wait for from running. Sleeping
    at once ("OMP_WAIT_POLICY=PASSIVE") costs a quiet machine more than this; ``benchmarks/busy-machine`` has numbers.

    Only the command line calls this: a library must not change the environment of a program that imports it. A script
    sets ``GOMP_SPINCOUNT=10000`` itself. Processes started later, such as the ranks of DDP, inherit it.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["GOMP_SPINCOUNT"] = SPINS
