"""The application: routes, what each accepts and answers, and how requests reach the models."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.staticfiles import StaticFiles

import trm
from trm.errors import InputError, counted
from trm.serve import schema
from trm.serve.backend import Backend
from trm.serve.batching import Batcher
from trm.serve.guard import Guard
from trm.serve.limits import Limits, RefusedError
from trm.serve.metrics import Metrics

READERS = 4
"""Threads that read puzzles: to check that a hostile board has a solution can take seconds, while others go on."""
REASONS = {
    401: "The API key is missing or wrong.",
    404: "There is no such model.",
    408: "The body does not arrive in time.",
    413: "The body is too large, or has too many puzzles.",
    422: "The request is malformed, or a puzzle cannot be solved by anyone; in the words of `trm solve`.",
    429: "Too many puzzles wait; try again.",
    503: "The service takes no more puzzles for now.",
    504: "The puzzles were not solved in time.",
}


class Service:
    """The models, their queues and the limits.

    Args:
        models: the backends by name of the model.
        limits: limits of requests, and size and wait of batches.
    """

    def __init__(self, models: Mapping[str, Backend], limits: Limits) -> None:
        self.models, self.limits, self.metrics = models, limits.check(), Metrics()
        self.pending = 0  # puzzles that are accepted and not yet answered
        self.readers, self.solver = ThreadPoolExecutor(READERS, "reader"), ThreadPoolExecutor(1, "solver")
        self.batchers = {
            name: Batcher(name, backend, self.solver, limits.batch_size, limits.wait, self.metrics)
            for name, backend in models.items()
        }

    @contextlib.asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Run the queues; the server leaves only when all requests are answered."""
        tasks = [asyncio.create_task(batcher.run()) for batcher in self.batchers.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.readers.shutdown()
            self.solver.shutdown()

    def choose(self, name: str | None) -> str:
        """Return the name of the model that a request names.

        Raises:
            RefusedError: if there is no such model, or several are served and none is named.
        """
        served = ", ".join(self.models)
        if name is None and len(self.models) > 1:
            raise RefusedError(422, f"the request names no model; served are {served}")
        if name is not None and name not in self.models:
            raise RefusedError(404, f"there is no model {name[:80]!r} here; served are {served}")
        return name or next(iter(self.models))

    @contextlib.contextmanager
    def accepted(self, count: int) -> Iterator[None]:
        """Hold the place of ``count`` puzzles in the service.

        Raises:
            RefusedError: if they are too many for a request, or for what waits already.
        """
        if count > self.limits.max_puzzles:
            most = self.limits.max_puzzles
            raise RefusedError(
                413, f"the request has {counted(count, 'puzzle')}, but at most {most:,} are accepted at once"
            )
        if self.pending + count > self.limits.queue:
            raise RefusedError(
                429,
                f"the queue has {counted(self.pending, 'puzzle')}, and {count:,} more exceed the accepted "
                f"{self.limits.queue:,}",
            )
        self.pending += count
        self.metrics.pending.set(self.pending)
        try:
            yield
        finally:
            self.pending -= count
            self.metrics.pending.set(self.pending)

    async def solve(self, asked: schema.Solve, model: str) -> list[dict[str, Any]]:
        """Return the solutions of the puzzles of a request, in their order.

        Raises:
            InputError: if a puzzle cannot be read; then none is solved.
        """
        parse, loop = self.models[model].parse, asyncio.get_running_loop()
        questions: list[Any] = []
        for number, puzzle in enumerate(asked.puzzles):  # one by one, so that requests take turns
            try:
                content = schema.as_text(number, puzzle)
                questions.append(await loop.run_in_executor(self.readers, parse, content))
            except InputError as error:
                place = "" if len(asked.puzzles) == 1 else f"puzzles[{number}]: "
                raise InputError(f"{place}{error}") from None
        solutions = await self.batchers[model].solve(questions, asked.trace, list(map(schema.weight, asked.puzzles)))
        for puzzle, solution in zip(asked.puzzles, solutions, strict=True):
            if "answer" in solution:  # else it is that of a task
                solution["grid"] = schema.in_form_of(puzzle, solution["answer"])
        return solutions

    async def in_time(self, request: Request, work: Any) -> Any:
        """Return the result of a coroutine, which is cancelled when the client is gone.

        Raises:
            RefusedError: if it takes too long, or the client is gone.
        """
        answer = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({answer, gone}, timeout=self.limits.timeout, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
            if gone.done():
                raise RefusedError(499, "the client is gone")
            raise RefusedError(504, f"the puzzles were not solved within {counted(self.limits.timeout, 'second')}")
        finally:
            for task in (answer, gone):
                task.cancel()


def create_app(
    models: Mapping[str, Backend], limits: Limits | None = None, key: str = "", page: Path | None = None
) -> FastAPI:
    """Return the application.

    Args:
        models: the backends by name of the model.
        limits: limits of requests, and size and wait of batches.
        key: what requests must send as ``Authorization: Bearer KEY``; "" if any may ask.
        page: folder of a page of ``trm page`` to serve at /; None for a form that sends puzzles to the service.

    Raises:
        InputError: if a limit is out of its range.
    """
    service = Service(models, limits or Limits())
    app = FastAPI(
        title="trm",
        summary="Solves puzzles with Tiny Recursive Models",
        version=trm.__version__,
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # whatever the environment configures
        lifespan=service.running,
    )
    app.add_middleware(Guard, limits=service.limits, metrics=service.metrics)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(InputError, _bad_input)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(400, _undecodable)
    _add_routes(app, service, [Depends(_authorized(key))] if key else [])
    if page is None:
        _add_form(app)
    else:
        app.mount("/", StaticFiles(directory=page, html=True))  # after the routes, so that these come first
    app.state.service = service
    return app


def _add_routes(app: FastAPI, service: Service, protected: list[Any]) -> None:
    """Add the routes; those for people and probes need no key."""
    refusals = {401} if protected else set()

    @app.post(
        "/solve",
        dependencies=protected,
        responses=_refusals(refusals | {404, 408, 413, 422, 429, 504}),
        response_model_exclude_unset=True,
    )
    async def solve(request: Request, asked: schema.Solve) -> schema.Solutions:
        """Solve puzzles, together with those of other requests."""
        model = service.choose(asked.model)
        count = sum(map(schema.weight, asked.puzzles))
        request.state.model, request.state.puzzles = model, count
        with service.accepted(count):
            solutions = await service.in_time(request, service.solve(asked, model))
        return schema.Solutions(model=model, solutions=solutions)

    @app.get("/models", dependencies=protected, responses=_refusals(refusals))
    async def models() -> list[schema.Model]:
        """List the models."""
        return [
            schema.Model(name=name, family=m.family, cells=m.cells, parameters=m.parameters, backend=m.kind)
            for name, m in service.models.items()
        ]

    @app.get("/metrics", dependencies=protected, responses=_refusals(refusals), response_class=Response)
    async def metrics() -> Response:
        """Count requests, puzzles, steps and batches, for Prometheus."""
        return Response(service.metrics.text(), media_type=service.metrics.content_type)

    @app.get("/health")
    async def health() -> schema.Status:
        """Answer while the process works."""
        return schema.Status(status="ok")

    @app.get("/ready", responses=_refusals({503}))
    async def ready() -> schema.Status:
        """Answer 200 while there is room for another puzzle."""
        if service.pending >= service.limits.queue:
            raise RefusedError(
                503, f"the queue has {counted(service.pending, 'puzzle')}, which is all that are accepted"
            )
        return schema.Status(status="ready")


def _add_form(app: FastAPI) -> None:
    """Add the page with a form that sends a puzzle to the service."""
    page, policy = _page()

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        """Return a page with a form."""
        return HTMLResponse(page, headers={"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"})


def _authorized(key: str) -> Any:
    """Return the check of the key, which takes as long whatever is sent."""

    def check(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]) -> None:
        if not hmac.compare_digest((sent.credentials if sent else "").encode(), key.encode()):
            raise RefusedError(401, "the API key is missing or wrong; send it as Authorization: Bearer KEY")

    return check


def _page() -> tuple[str, str]:
    """Return the page, and the policy by which a browser runs its own script alone."""
    page = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
    parts = {kind: re.search(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL) for kind in ("script", "style")}
    hashes = [
        f"{kind}-src 'sha256-{base64.b64encode(hashlib.sha256(part[1].encode()).digest()).decode()}'"
        for kind, part in parts.items()
        if part
    ]
    return page, "; ".join(["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", *hashes])


def _refusals(statuses: set[int]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": schema.Refusal, "description": REASONS[status]} for status in sorted(statuses)}


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return JSONResponse({"detail": error.reason}, error.status, error.headers)


async def _bad_input(_: Request, error: Exception) -> JSONResponse:
    text = str(error).encode("utf-8", "backslashreplace").decode()  # JSON can hold halves of characters
    return JSONResponse({"detail": text}, 422)


async def _malformed(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": schema.sentence(error.errors())}, 422)


async def _undecodable(_: Request, __: Exception) -> JSONResponse:
    # FastAPI's, of bytes that are not UTF-8 and of arrays nested too deeply
    return JSONResponse({"detail": "the body is not JSON: it is not in UTF-8, or is nested too deeply"}, 422)
