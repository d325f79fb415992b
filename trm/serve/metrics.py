"""What ``/metrics`` counts, in the format of Prometheus."""

from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PUZZLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one service, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("trm_requests", "Requests by route and status.", ["route", "status"], **own)
        self.seconds = Histogram("trm_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, **own)
        self.pending = Gauge("trm_pending_puzzles", "Puzzles accepted and not yet answered.", **own)
        self.puzzles = Counter("trm_puzzles", "Puzzles solved, by validity.", ["model", "valid"], **own)
        self.steps = Counter("trm_supervision_steps", "Supervision steps spent.", ["model"], **own)
        self.batch_puzzles = Histogram("trm_batch_puzzles", "Puzzles of a batch.", ["model"], buckets=PUZZLES, **own)
        self.batch_seconds = Histogram("trm_batch_seconds", "Time of a batch.", ["model"], buckets=SECONDS, **own)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(seconds)

    def batch(self, model: str, size: int, seconds: float, solutions: Sequence[dict[str, Any]]) -> None:
        """Count a batch of ``size`` puzzles and its solutions."""
        self.batch_puzzles.labels(model).observe(size)
        self.batch_seconds.labels(model).observe(seconds)
        for solution in solutions:
            self.puzzles.labels(model, str(bool(solution["valid"])).lower()).inc()
            self.steps.labels(model).inc(solution["steps"])

    def text(self) -> bytes:
        """Return all counters as text."""
        return generate_latest(self.registry)
