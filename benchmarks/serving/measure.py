"""Measure ``trm serve`` under load on loopback: ``make bench-serving``; 4 minutes on 2 cores.

The service is a process of its own, asked by a real HTTP client (aiohttp) with 1, 8 and 64 connections, each of which
asks again as soon as it has an answer. Every answer is checked against its question. Then come more clients than the
queue holds, bodies that are malformed or too large, and slow clients, while a well-behaved one is timed.
"""

import argparse
import asyncio
import contextlib
import io
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from trm.analysis.report import table
from trm.data import Sudoku
from trm.provenance import PROJECT, commit, environment

HERE = Path(__file__).parent
CLIENTS = (1, 8, 64)
OVERLOAD = {"clients": 64, "queue": 16}
PAST = ("clients", "queue", "answered", "refused", "other", "p99", "p99_refused")
ABUSE = {
    "not JSON": b"{",
    "nested 100,000 deep": b"[" * 100_000,
    "not UTF-8": b"\xff\xfe",
    "a board that breaks the rules": json.dumps({"puzzles": ["55" + "." * 79]}).encode(),
    "10,000 boards": json.dumps({"puzzles": ["." * 81] * 10_000}).encode(),
    "a body of 10 MB": b" " * 10_000_000,
}
JSON = {"Content-Type": "application/json"}
SLOW = 32  # connections that send half a request

Ask = Callable[[str], Awaitable[tuple[int, Any]]]


def tables() -> dict[str, str]:
    """Return the tables of the committed results."""
    facts = json.loads((HERE / "data.json").read_text())
    load = [
        [
            f"{row['clients']}",
            f"{row['per_second']:.1f}",
            *(f"{row[name]:.0f}" for name in ("p50", "p99", "cpu_ms")),
            f"{row['mean_batch']:.1f}",
            f"{row['lost']}",
            f"{row['mixed_up']}",
        ]
        for row in facts["load"]
    ]
    header = ["clients", "puzzles per second", "p50, ms", "p99, ms", "CPU, ms per puzzle", "mean batch"]
    past, slow = facts["overload"], facts["slow"]
    return {
        "load": table([*header, "lost", "mixed up"], load),
        "overload": table(
            ["clients", "queue", "answered", "refused with 429", "other", "p99, answered, ms", "p99, refused, ms"],
            [[f"{past[name]:.0f}" for name in PAST]],
        ),
        "abuse": table(["sent", "status"], [[name, f"{status}"] for name, status in facts["abuse"].items()]),
        "slow": table(
            ["slow connections", "p50 of another client meanwhile, ms", "slow connections closed"],
            [[f"{slow['connections']}", f"{slow['p50']:.0f}", f"{slow['closed']}"]],
        ),
    }


@contextlib.contextmanager
def serving(model: str, *options: str) -> Iterator[tuple[str, int]]:
    """Start ``trm serve`` with one thread, and yield its address and process id; it must end cleanly."""
    command = [sys.executable, "-m", "trm", "serve", model, "--port=0", *options]
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT)}
    log = subprocess.PIPE
    with subprocess.Popen(command, env=variables, stderr=log, text=True) as process:
        try:
            assert process.stderr
            address = json.loads(process.stderr.readline())["address"]
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            yield address, process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            status = process.wait(120)
            drain.wait()
    if status:
        raise SystemExit(f"the service ended with status {status}")


@contextlib.asynccontextmanager
async def client(address: str) -> AsyncIterator[Ask]:
    """Yield a function that asks for a solution and returns the status and the body."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(address, connector=connector) as session:

        async def ask(puzzle: str) -> tuple[int, Any]:
            async with session.post("/solve", json={"puzzles": [puzzle]}) as reply:
                return reply.status, await reply.json()

        yield ask


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile in milliseconds; 0 of nothing."""
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def cpu_seconds(process: int) -> float:
    """Return the CPU time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def count(address: str, name: str) -> float:
    """Return the sum of a counter of /metrics over its labels."""
    async with aiohttp.ClientSession(address) as session, session.get("/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name}{{"))


def belongs(question: str, solution: Any) -> bool:
    """Return whether a solution is that of a question: it repeats it, and leaves its digits as they are."""
    kept = all(cell in (".", answer) for cell, answer in zip(question, solution["answer"], strict=True))
    return solution["question"] == question and (kept or not solution["valid"])


async def under_load(address: str, process: int, boards: Sequence[str], clients: int, seconds: float) -> dict[str, Any]:
    """Let clients ask for a while, and return throughput, latency and whether each answer belongs to its question."""
    turn, times, statuses, mixed = itertools.cycle(boards), [], Counter[int](), 0
    asked = 0
    batches = await count(address, "trm_batch_puzzles_count")
    begin, spent = time.perf_counter(), cpu_seconds(process)

    async def one(ask: Ask) -> None:
        nonlocal mixed, asked
        while time.perf_counter() - begin < seconds:
            board, start = next(turn), time.perf_counter()
            asked += 1
            status, body = await ask(board)
            times.append(time.perf_counter() - start)
            statuses[status] += 1
            mixed += status == 200 and not belongs(board, body["solutions"][0])

    async with client(address) as ask:
        await asyncio.gather(*(one(ask) for _ in range(clients)))
    wall, spent = time.perf_counter() - begin, cpu_seconds(process) - spent
    batches = await count(address, "trm_batch_puzzles_count") - batches
    return {
        "clients": clients,
        "puzzles": statuses[200],
        "per_second": statuses[200] / wall,
        "p50": percentile(times, 0.5),
        "p99": percentile(times, 0.99),
        "cpu_ms": 1000 * spent / statuses[200],
        "mean_batch": statuses[200] / batches,
        "lost": asked - statuses[200],
        "mixed_up": mixed,
    }


async def past_capacity(address: str, boards: Sequence[str], seconds: float) -> dict[str, Any]:
    """Let more clients ask than the queue holds, each again at once, and count answers and refusals."""
    turn, times = itertools.cycle(boards), {200: [], 429: []}  # type: ignore[var-annotated]
    begin, other = time.perf_counter(), 0

    async def one(ask: Ask) -> None:
        nonlocal other
        while time.perf_counter() - begin < seconds:
            start = time.perf_counter()
            status, _ = await ask(next(turn))
            if status in times:
                times[status].append(time.perf_counter() - start)
            else:
                other += 1
            if status == 429:
                await asyncio.sleep(0.1)

    async with client(address) as ask:
        await asyncio.gather(*(one(ask) for _ in range(OVERLOAD["clients"])))
    answered, refused = times[200], times[429]
    shares = {"answered": len(answered), "refused": len(refused), "other": other}
    return {**OVERLOAD, **shares, "p99": percentile(answered, 0.99), "p99_refused": percentile(refused, 0.99)}


async def abused(address: str) -> dict[str, int]:
    """Send what no client should, and return the statuses."""
    statuses = {}
    async with aiohttp.ClientSession(address) as session:
        for name, body in ABUSE.items():
            async with session.post(
                "/solve", data=io.BytesIO(body), headers={"Content-Type": "application/json"}
            ) as reply:
                await reply.read()
                statuses[name] = reply.status
    return statuses


async def beside_slow_clients(address: str, boards: Sequence[str]) -> dict[str, Any]:
    """Hold connections that never finish their request, and time a client that does."""
    where = urlsplit(address)
    head = b"POST /solve HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    slow = [await asyncio.open_connection(where.hostname, where.port) for _ in range(SLOW)]
    for number, (_, writer) in enumerate(slow):
        writer.write(head if number % 2 else head[:30])
    times = []
    async with client(address) as ask:
        for board in boards[:20]:
            start = time.perf_counter()
            status, _ = await ask(board)
            assert status == 200, status
            times.append(time.perf_counter() - start)
    closed = 0
    for reader, writer in slow:
        with contextlib.suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 60)  # until the service closes the connection
        closed += 1
        writer.close()
    return {"connections": SLOW, "p50": 1000 * statistics.median(times), "closed": closed}


async def measure(address: str, process: int, boards: Sequence[str], clients: Sequence[int], seconds: float) -> Any:
    """Return the measurements of one service."""
    await under_load(address, process, boards, 1, seconds / 10)  # warm-up
    load = [await under_load(address, process, boards, number, seconds) for number in clients]
    return {"load": load, "abuse": await abused(address), "slow": await beside_slow_clients(address, boards)}


def main(argv: list[str] | None = None) -> int:
    """Run the load test and write ``data.json``; return 1 if anything was lost or mixed up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="sudoku-9x9", help="a 9x9 Sudoku model (default: sudoku-9x9)")
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each number of clients (default: 40)")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of the results (default: this one)")
    given = parser.parse_args(argv)
    data = Sudoku(size=9, source="generate", clues=(30, 45), train_size=2, val_size=0, test_size=500)
    boards = [data.write(question) for question in data.samples("test").inputs]
    with serving(given.model) as (address, process):
        facts = asyncio.run(measure(address, process, boards, given.clients, given.seconds))
    with serving(given.model, f"--queue={OVERLOAD['queue']}", f"--max_puzzles={OVERLOAD['queue']}") as (address, _):
        facts["overload"] = asyncio.run(past_capacity(address, boards, given.seconds))
    facts |= {"model": given.model, "machine": environment(), "commit": commit(PROJECT)}
    (given.into / "data.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))
    return 1 if any(row["lost"] or row["mixed_up"] for row in facts["load"]) else 0


if __name__ == "__main__":
    sys.exit(main())
