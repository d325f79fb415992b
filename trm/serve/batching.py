"""Dynamic batching: questions of concurrent requests are solved together.

Shapes: N questions, L grid cells.
"""

import asyncio
import contextlib
from concurrent.futures import Executor
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from trm.data.samples import Tokens
from trm.serve.backend import Backend
from trm.serve.metrics import Metrics


class Question(NamedTuple):
    """A question that waits for a batch."""

    tokens: Tokens
    """Tokens, (L,)."""
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
        size: most questions of a batch.
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

    async def solve(self, questions: list[Tokens], traced: bool) -> list[dict[str, Any]]:
        """Return the solutions of questions, each (L,), in their order. If it is cancelled, those waiting are dropped.

        Raises:
            Exception: whatever the backend raises.
        """
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[dict[str, Any]]] = [loop.create_future() for _ in questions]
        now = loop.time()
        self._waiting |= {
            future: Question(tokens, traced, now) for future, tokens in zip(futures, questions, strict=True)
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
            batch = dict(islice(self._waiting.items(), self.size))
            for future in batch:
                del self._waiting[future]
            self._notify()
            if batch:
                await self._solve(batch, loop)

    async def _solve(self, batch: dict[asyncio.Future[dict[str, Any]], Question], loop: Any) -> None:
        """Solve a batch, and pass on the solutions or the error."""
        start = loop.time()
        try:
            tokens = np.stack([question.tokens for question in batch.values()])
            traced = np.array([question.traced for question in batch.values()])
            solutions = await loop.run_in_executor(self.executor, self.backend, tokens, traced)
            self.metrics.batch(self.name, len(batch), loop.time() - start, solutions)
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
        for event, least in ((self._some, 1), (self._full, self.size)):
            if len(self._waiting) >= least:
                event.set()
            else:
                event.clear()
