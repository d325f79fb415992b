"""The outermost layer of the service: bounds the body of a request in size and time, counts and logs the request."""

import asyncio
import json
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trm.errors import counted
from trm.serve.limits import Limits, RefusedError
from trm.serve.metrics import Metrics

DRAINED = 1 << 25
"""Bytes of a body that is too large that are read and dropped: many clients look for an answer only behind it."""

log = logging.getLogger("trm.serve")


class Guard:
    """ASGI middleware around the whole service.

    Args:
        app: the service.
        limits: size of a body and time for it to arrive.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 499  # of a client that is gone before it has an answer

        async def watched(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            body = await read_body(scope, receive, self.limits)
            if body is not None:
                await self.app(scope, _replayed(body, receive), watched)
        except RefusedError as refused:
            await refuse(refused, watched)
        except Exception:
            status = 500
            raise
        finally:
            self._record(scope, status, time.perf_counter() - start)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and log a request; what the client wrote is not logged but for the names of route and model."""
        routes = {getattr(route, "path", "") for route in scope["app"].routes}
        route = scope["path"] if scope["path"] in routes else "other"
        self.metrics.request(route, status, seconds)
        about = {name: scope["state"][name] for name in ("model", "puzzles") if name in scope.get("state", {})}
        fields = {"method": scope["method"], "route": route, "status": status, "seconds": round(seconds, 4), **about}
        log.info("request", extra={"fields": fields})


async def read_body(scope: Scope, receive: Receive, limits: Limits) -> bytes | None:
    """Return the body of a request; None if the client is gone.

    Raises:
        RefusedError: if it is too large, or does not arrive in time.
    """
    headers = dict(scope["headers"])
    declared = int(headers.get(b"content-length", 0))  # the server accepts digits only
    too_large = RefusedError(413, f"the body has more than the accepted {limits.max_body:,} bytes", close=True)
    if declared > DRAINED or (declared > limits.max_body and b"expect" in headers):
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.receive_timeout):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if size <= limits.max_body:
                    parts.append(part)
                elif size > DRAINED:
                    break
    except TimeoutError:
        reason = f"the body did not arrive within {counted(limits.receive_timeout, 'second')}"
        raise RefusedError(408, reason, close=True) from None
    if size > limits.max_body:
        raise too_large
    return b"".join(parts)


async def refuse(refused: RefusedError, send: Send) -> None:
    """Send the answer to a request that is refused before it is read."""
    body = json.dumps({"detail": refused.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refused.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` of a whole body, and of what the client does afterwards."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


class JSONFormatter(logging.Formatter):
    """Formats a record as a line of JSON. Of an error, only its type and place: its message may quote a puzzle."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z"
        line: dict[str, Any] = {"time": stamp, "level": record.levelname.lower(), "event": record.getMessage().strip()}
        if record.exc_info and record.exc_info[1]:
            line |= {"error": type(record.exc_info[1]).__name__, "at": _place(record.exc_info[1])}
        return json.dumps(line | getattr(record, "fields", {}))


def _place(error: BaseException) -> str:
    """Return the file and line where an error was raised."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}" if at else ""
