"""The limits of the service, and the errors of a request that exceeds one."""

from typing import NamedTuple

from trm.errors import InputError, check_range


class Limits(NamedTuple):
    """What the service accepts, and how it forms batches."""

    batch_size: int = 64
    """Puzzles that are solved together."""
    wait: float = 0.005
    """Seconds that a puzzle waits for others to be solved with."""
    queue: int = 1024
    """Puzzles that are accepted and not yet answered, over all models."""
    max_puzzles: int = 256
    """Puzzles of a request."""
    max_body: int = 1 << 20
    """Bytes of the body of a request."""
    timeout: float = 60.0
    """Seconds from a whole request to its answer."""
    receive_timeout: float = 10.0
    """Seconds in which the head of a request, and then its body, must arrive."""

    def check(self) -> "Limits":
        """Return the limits if they can be used.

        Raises:
            InputError: if one is out of its range.
        """
        check_range("serve", 1, batch_size=self.batch_size, max_puzzles=self.max_puzzles, max_body=self.max_body)
        check_range("serve", 0, 60, wait=self.wait)
        check_range("serve", 0.01, 3600, timeout=self.timeout, receive_timeout=self.receive_timeout)
        if self.queue < self.max_puzzles:
            raise InputError(
                f"serve.queue is {self.queue}, but must be at least max_puzzles, {self.max_puzzles}: a larger request "
                "would never be accepted"
            )
        return self


class RefusedError(Exception):
    """A request that is refused with an HTTP status, for a reason in one sentence.

    Args:
        status: the HTTP status.
        reason: the sentence.
        close: whether the connection is closed, as the request has not been read to its end.
    """

    def __init__(self, status: int, reason: str, close: bool = False) -> None:
        super().__init__(reason)
        self.status, self.reason, self.close = status, reason, close

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer: when to come back, how to be authorized, and that the connection ends."""
        headers = {429: {"Retry-After": "1"}, 401: {"WWW-Authenticate": "Bearer"}}.get(self.status, {})
        return {**headers, **({"Connection": "close"} if self.close else {})}
