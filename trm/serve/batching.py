"""Dynamic batching: questions of concurrent requests are solved together."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

from trm.serve.backend import Backend
from trm.serve.metrics import Metrics


class Question(NamedTuple):
    """A question that waits for a batch."""

    content: Any
    """What the backend solves."""
    weight: int
    """Number of puzzles that it counts for; a task of ARC for as many as it has test inputs."""
    traced: bool
    """Whether its answer after each supervision step is asked for."""
    since: float
    """When it came, by the clock of the event loop."""


class Batcher:
    """Collects the questions to one model, and solves them in batches.

    A batch starts when it is full, or when its oldest question has waited long enough; the next one fills meanwhile.
    Everything but the backend runs in the event loop, so no lock is needed.

    Args:
        name: name of the model.
        backend: what solves the questions.
        executor: where it runs; one thread for all models.
        size: most puzzles of a batch; a question that counts for more is a batch of its own.
        wait: seconds that a question waits for others.
        metrics: where batches are counted.
    """

    def __init__(
        self, name: str, backend: Backend, executor: Executor, size: int, wait: float, metrics: Metrics
    ) -> None:
        self.name, self.backend, self.executor = name, backend, executor
        self.size, self.wait, self.metrics = size, wait, metrics
        self._waiting: dict[asyncio.Future[dict[str, Any]], Question] = {}  # in the order in which they came
        self._some, self._full = asyncio.Event(), asyncio.Event()

    async def solve(
        self, questions: Sequence[Any], traced: bool, weights: Sequence[int] | None = None
    ) -> list[dict[str, Any]]:
        """Return the solutions of questions in their order. If it is cancelled, those waiting are dropped.

        Args:
            questions: what the backend solves.
            traced: whether to return the answer after each supervision step.
            weights: the number of puzzles that each question counts for; ones by default.

        Raises:
            Exception: whatever the backend raises.
        """
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[dict[str, Any]]] = [loop.create_future() for _ in questions]
        now = loop.time()
        self._waiting |= {
            future: Question(question, weight, traced, now)
            for future, question, weight in zip(futures, questions, weights or [1] * len(futures), strict=True)
        }
        self._notify()
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:
                self._waiting.pop(future, None)
            self._notify()

    async def run(self) -> None:
        """Solve batches until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._some.wait()
            if not self._waiting:  # dropped in the meantime
                continue
            oldest = next(iter(self._waiting.values()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(oldest.since + self.wait):
                    await self._full.wait()
            batch = self._take()
            self._notify()
            if batch:
                await self._solve(batch, loop)

    def _take(self) -> dict[asyncio.Future[dict[str, Any]], Question]:
        """Remove and return the questions of a batch, those that have waited longest."""
        batch: dict[asyncio.Future[dict[str, Any]], Question] = {}
        room = self.size
        for future, question in self._waiting.items():
            room -= question.weight
            if batch and room < 0:
                break
            batch[future] = question
        for future in batch:
            del self._waiting[future]
        return batch

    async def _solve(self, batch: dict[asyncio.Future[dict[str, Any]], Question], loop: Any) -> None:
        """Solve a batch, and pass on the solutions or the error."""
        start = loop.time()
        try:
            contents, traced = (
                [getattr(question, part) for question in batch.values()] for part in ("content", "traced")
            )
            solutions = await loop.run_in_executor(self.executor, self.backend, contents, traced)
            self.metrics.batch(
                self.name, sum(question.weight for question in batch.values()), loop.time() - start, solutions
            )
            answered = list(zip(batch, solutions, strict=True))
        except Exception as error:  # of the backend: it must not end the queue
            for future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for future, solution in answered:
            if not future.done():  # else its client is gone
                future.set_result(solution)

    def _notify(self) -> None:
        """Set the events to whether questions wait, and whether they fill a batch."""
        waiting = sum(question.weight for question in self._waiting.values())
        for event, least in ((self._some, 1), (self._full, self.size)):
            if waiting >= least:
                event.set()
            else:
                event.clear()
