"""The server: binds the address, bounds how long a client may take, and ends cleanly on a signal."""

import asyncio
import contextlib
import errno
import logging
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from trm.errors import InputError
from trm.serve.app import create_app
from trm.serve.backend import Backend
from trm.serve.guard import JSONFormatter
from trm.serve.limits import Limits
from trm.signals import install, restore

CONNECTIONS = 900
"""Connections at once, fewer than the files that a process may usually open; the server answers more with 503."""

log = logging.getLogger("trm.serve")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and does not listen yet.

    Raises:
        InputError: if the address is in use, is not one of this machine, or needs other rights.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"serve.port is {port}, but must be from 0 to 65535; 0 is any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a service that ended leaves its port waiting
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            raise InputError(f"port {port} of {host} is in use; pass another --port, or 0 for any free one") from None
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot serve on port {port} of {host}: {reason}") from None
    return bound


def address(bound: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    models: Mapping[str, Backend], bound: socket.socket, limits: Limits, key: str = "", page: Path | None = None
) -> None:
    """Serve models until a signal, such as SIGTERM; then refuse connections, and answer what was accepted.

    Args:
        models: the backends by name of the model.
        bound: where to listen.
        limits: limits of requests, and size and wait of batches.
        key: what requests must send as ``Authorization: Bearer KEY``; "" if any may ask.
        page: folder of a page of ``trm page`` to serve at /; None for a form.
    """
    server = Server(config(models, limits, key, page))
    server.announced = {"address": address(bound), "models": list(models), "key": bool(key)}
    with bound, logged_as_json():
        asyncio.run(server.serve([bound]))
        log.info("stopped", extra={"fields": {"requests": server.server_state.total_requests}})


def config(models: Mapping[str, Backend], limits: Limits, key: str = "", page: Path | None = None) -> uvicorn.Config:
    """Return the configuration of the server."""
    return uvicorn.Config(
        create_app(models, limits, key, page),
        http=_patient(limits.receive_timeout),
        ws="none",
        loop="asyncio",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=int(limits.timeout + limits.receive_timeout) + 1,
    )


class Server(uvicorn.Server):
    """A server that a signal ends as asked: uvicorn's raises the signal again at the end."""

    announced: Mapping[str, Any] = {}
    """What is logged once it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and then announce it."""
        await super().startup(sockets)
        log.info("serving", extra={"fields": self.announced})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let the signals end the server; a second one ends the process, as of every command."""
        before = install(self.handle_exit)
        try:
            yield
        finally:
            restore(before)


def _patient(seconds: float) -> type[H11Protocol]:
    """Return the protocol of a connection that is closed if the head of a request takes longer than this to arrive."""

    class Patient(H11Protocol):
        closing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.closing = self.loop.call_later(seconds, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waits = self.cycle is None or self.cycle.response_complete  # for the rest of the head of a request
            if self.closing and not waits:
                self.closing.cancel()
                self.closing = None
            elif waits and not self.closing:
                self.closing = self.loop.call_later(seconds, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.closing:
                self.closing.cancel()
            super().connection_lost(exc)

    return Patient


@contextlib.contextmanager
def logged_as_json() -> Iterator[None]:
    """Write what the service and the server report to standard error, a line of JSON each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    loggers = [(logging.getLogger("trm.serve"), logging.INFO), (logging.getLogger("uvicorn.error"), logging.WARNING)]
    for logger, level in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, _ in loggers:
            logger.removeHandler(handler)
            logger.propagate = True
