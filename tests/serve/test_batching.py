"""Dynamic batching, on its own: which questions are solved together, and what an error or a cancellation leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from serving import Held

from trm.data.samples import Tokens
from trm.serve.batching import Batcher
from trm.serve.metrics import Metrics

Questions = list[Tokens]
FOREVER = 3600.0


def boards(*digits: int) -> Questions:
    """Return boards with one digit each, which tells them apart."""
    return [np.array([digit + 1] + [1] * 15, dtype=np.uint8) for digit in digits]


def during(backend: Held, size: int, wait: float, work: Callable[[Batcher], Awaitable[Any]]) -> Any:
    """Run a batcher while ``work`` uses it, and return its result."""

    async def both() -> Any:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher("held", backend, executor, size, wait, Metrics())
            task = asyncio.create_task(batcher.run())
            try:
                return await asyncio.wait_for(work(batcher), 60)
            finally:
                backend.go.set()
                task.cancel()

    return asyncio.run(both())


def test_a_full_batch_does_not_wait() -> None:
    backend = Held()
    backend.go.set()

    async def work(batcher: Batcher) -> list[list[dict[str, Any]]]:
        requests = [boards(1), boards(2, 3), boards(4)]
        return await asyncio.gather(*(batcher.solve(questions, False) for questions in requests))

    solutions = during(backend, 4, FOREVER, work)
    assert [[found["answer"][0] for found in one] for one in solutions] == [["1"], ["2", "3"], ["4"]]
    assert [len(batch) for batch in backend.batches] == [4]


def test_a_batch_that_is_not_full_starts_after_the_wait() -> None:
    backend = Held()
    backend.go.set()
    assert len(during(backend, 4, 0.01, lambda batcher: batcher.solve(boards(1), False))) == 1


def test_a_request_larger_than_a_batch_takes_several() -> None:
    backend = Held()
    backend.go.set()
    found = during(backend, 2, 0.0, lambda batcher: batcher.solve(boards(1, 2, 3, 4, 1), False))
    assert [solution["answer"][0] for solution in found] == list("12341")
    assert [len(batch) for batch in backend.batches] == [2, 2, 1]


def test_cancelled_questions_are_not_solved() -> None:
    backend = Held()

    async def work(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.solve(boards(1), False))
        while not backend.batches:
            await asyncio.sleep(0.01)
        gone, last = (asyncio.create_task(batcher.solve(boards(digit), False)) for digit in (2, 3))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        backend.go.set()
        await asyncio.gather(first, last)

    during(backend, 1, 0.0, work)
    assert [batch[0][0] for batch in backend.batches] == ["1", "3"]


def test_an_error_reaches_the_questions_of_its_batch_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Held()
    backend.go.set()
    solution = Held.solution

    def fail(self: Held, text: str) -> dict[str, Any]:
        if text[0] == "2":
            raise RuntimeError("broken")
        return solution(self, text)

    monkeypatch.setattr(Held, "solution", fail)

    async def work(batcher: Batcher) -> list[Any]:
        requests = [batcher.solve(boards(digit), False) for digit in (1, 2, 3)]
        return await asyncio.gather(*requests, return_exceptions=True)

    one, two, three = during(backend, 1, 0.0, work)
    assert (one[0]["answer"][0], str(two), three[0]["answer"][0]) == ("1", "broken", "3")
