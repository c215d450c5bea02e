"""Load: the page's /classify_digit beside the bare session and a bare route, in turns; a stroke.

    python -m benchmarks.load --requests 2000 --users 1,10,50 --soak 10000

The page is its own process, started as people start it; so is the bare route, which reads the
same PNG and runs nothing. Everything is on loopback and bounded by counts. `stroke.py` adds the
page as a person sees it, in a browser. Writes benchmarks/results/load.json.
"""

import asyncio
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, NamedTuple

import click
import httpx
import psutil  # type: ignore[import-untyped]

from benchmarks import record
from experiments import cli
from experiments.errors import UserError
from experiments.paths import ROOT

PICTURE = ROOT / "serve" / "digit" / "examples" / "7.png"
TURNS = 5  # in which the kinds are measured, one after the other
PAUSE = 0.5  # seconds between one user's strokes
STROKES = 20  # of each user who pauses
WARM_UP = 500  # requests before memory is looked at
LOOKS = 10  # at memory along the soak
AIMS = {
    "stroke_p95": 100,
    "page_p50": 10,
    "page_p95": 25,
    "10_users_p95": 150,
    "50_users_p95": 500,
    "start_seconds": 4,
    "memory_megabytes": 350,
    "growth_percent": 5,
}
BARE = """
import io, sys
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def read(request):
    picture = Image.open(io.BytesIO(await request.body())).convert("L")
    return JSONResponse({"size": picture.size})

app = Starlette(routes=[Route("/", read, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")
"""
HEAD = ["milliseconds", "p50", "p95", "p99", "errors"]


class Kind(NamedTuple):
    """What is asked: where, and how a client asks once and whether it was answered well."""

    url: str
    ask: Callable[[httpx.AsyncClient], Awaitable[bool]]


def measure(requests: int, users: list[int], soak: int) -> dict[str, Any]:
    """Return times in milliseconds, seconds of the start, megabytes, and counts of errors."""
    from benchmarks import stroke  # it needs a browser's driver, and the report does not

    page, bare = free_port(), free_port()
    command = [sys.executable, "serve/app.py", "--port", str(page)]
    with (
        _server(command, page) as (process, start),
        _server([sys.executable, "-c", BARE, str(bare)], bare),
    ):
        found = asyncio.run(_all(page, bare, process, requests, users, soak))
        shown = stroke.measure(f"http://127.0.0.1:{page}")
    return {"start_seconds": start, "stroke_milliseconds": _percentiles(shown), **found}


async def _all(
    page: int, bare: int, process: psutil.Process, requests: int, users: list[int], soak: int
) -> dict[str, Any]:
    begun = _memory(process)
    page_url, bare_url = (f"http://127.0.0.1:{port}" for port in (page, bare))
    async with _client(page_url) as http:
        kinds = _kinds(page_url, bare_url, await _upload(http))
        single = await _in_turns(kinds, requests)
        server = await _server_side(http)
    crowds = {}
    for count in users:
        for name, pause in (("drawing", PAUSE), ("without_pause", 0.0)):
            each = STROKES if pause else max(1, requests // count)
            crowds[f"{count}_users_{name}"] = {
                kind: await _crowd(kinds[kind], count, each, pause)
                for kind in ("page", "bare_route")
            }
    memory = await _soak(kinds["page"], soak, process)
    return {
        "single_milliseconds": single,
        "server_side_milliseconds": server,
        "page_in_bare_routes": single["page"]["p50"] / single["bare_route"]["p50"],
        "page_in_bare_sessions": single["page"]["p50"] / single["bare_session"]["p50"],
        "crowd_milliseconds": crowds,
        "memory_at_start_megabytes": begun,
        **memory,
    }


def _client(url: str) -> httpx.AsyncClient:
    """Return a user's own client, as each has a browser: a shared one queues what it asks."""
    return httpx.AsyncClient(base_url=url, timeout=60)


def _kinds(page_url: str, bare_url: str, path: str) -> dict[str, Kind]:
    """Return what is measured; `path` is of the picture, uploaded to the page."""
    raw = PICTURE.read_bytes()
    session, image = _session()

    async def page(http: httpx.AsyncClient, path: str = path) -> bool:
        call = {"data": [{"path": path}]}
        answer = await http.post("/gradio_api/run/classify_digit", json=call)
        return answer.is_success and answer.json()["data"][0]["digit"] == "7"

    async def with_upload(http: httpx.AsyncClient) -> bool:
        return await page(http, await _upload(http))

    async def bare_route(http: httpx.AsyncClient) -> bool:
        return (await http.post("/", content=raw)).is_success

    async def bare_session(_: httpx.AsyncClient) -> bool:
        return int(session.run(["probabilities"], {"image": image})[0].argmax()) == 7

    return {
        "page": Kind(page_url, page),
        "page_with_upload": Kind(page_url, with_upload),
        "bare_route": Kind(bare_url, bare_route),
        "bare_session": Kind(bare_url, bare_session),
    }


def _session() -> tuple[Any, Any]:
    """Return a session of model.onnx on one thread, and the picture as it takes it."""
    import numpy as np
    import onnxruntime
    from PIL import Image

    file = ROOT / "model.onnx"
    if not file.is_file():
        raise UserError(f"{file.name}: expected an exported model; {cli.HOW_TO_EXPORT}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return session, np.asarray(Image.open(PICTURE).convert("L").resize((28, 28)))[None]


async def _upload(http: httpx.AsyncClient) -> str:
    files = {"files": (PICTURE.name, PICTURE.read_bytes())}
    return str((await http.post("/gradio_api/upload", files=files)).json()[0])


async def _in_turns(kinds: dict[str, Kind], requests: int) -> dict[str, dict[str, float]]:
    """Return each kind's times for one user who waits for every answer."""
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    wrong = dict.fromkeys(kinds, 0)
    for turn in range(1 + TURNS):
        for name, kind in kinds.items():
            async with _client(kind.url) as http:
                for _ in range(requests // TURNS if turn else 20):
                    wrong[name] += not await _timed(kind, http, taken[name])
            if not turn:  # the first ones are slower
                taken[name].clear()
    return {name: {**_percentiles(taken[name]), "errors": wrong[name]} for name in kinds}


async def _crowd(kind: Kind, users: int, strokes: int, pause: float) -> dict[str, float]:
    """Return the times of `users` at once, each of so many strokes, with a pause after each."""
    taken: list[float] = []

    async def user(place: int, http: httpx.AsyncClient) -> int:
        await asyncio.sleep(pause * place / users)  # people do not draw in step
        wrong = 0
        for _ in range(strokes):
            wrong += not await _timed(kind, http, taken)
            await asyncio.sleep(pause)
        return wrong

    async with AsyncExitStack() as stack:
        own = [await stack.enter_async_context(_client(kind.url)) for _ in range(users)]
        started = time.perf_counter()
        errors = sum(await asyncio.gather(*map(user, range(users), own)))
        rate = len(taken) / (time.perf_counter() - started)
    return {**_percentiles(taken), "errors": errors, "requests_a_second": rate}


async def _timed(kind: Kind, http: httpx.AsyncClient, taken: list[float]) -> bool:
    """Return whether it went well; the milliseconds go to `taken`."""
    started = time.perf_counter()
    try:
        well = await kind.ask(http)
    except (httpx.HTTPError, KeyError, ValueError):
        well = False
    taken.append(1000 * (time.perf_counter() - started))
    return well


def _percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(values)}


async def _server_side(http: httpx.AsyncClient) -> dict[str, float]:
    """Return what /metrics says of /classify_digit so far: the mean, and bounds of p50 and p95."""
    text = (await http.get("/metrics")).text
    label = re.escape('endpoint="/run/classify_digit"')
    name = f'page_request_seconds_(\\w+){{{label}(?:,le="(.+?)")?}} (.+)'
    rows = re.findall(name, text)
    whole = {kind: float(value) for kind, le, value in rows if not le}
    found = {"mean": 1000 * whole["sum"] / whole["count"]}
    for share in (50, 95):
        bounds = (
            float(le)
            for kind, le, value in rows
            if kind == "bucket" and float(value) >= share / 100 * whole["count"]
        )
        found[f"p{share}_at_most"] = 1000 * next(bounds)
    return found


async def _soak(kind: Kind, requests: int, process: psutil.Process) -> dict[str, Any]:
    """Return the memory along `requests` requests, eight users without a pause, and its growth."""
    await _crowd(kind, 8, WARM_UP // 8, 0)
    memory, errors = [_memory(process)], 0.0
    for _ in range(LOOKS):
        errors += (await _crowd(kind, 8, requests // LOOKS // 8, 0))["errors"]
        memory.append(_memory(process))
    return {
        "memory_megabytes": memory,
        "growth_percent": 100 * (memory[-1] / memory[0] - 1),
        "soak_requests": requests // LOOKS // 8 * 8 * LOOKS,
        "soak_errors": errors,
    }


def _memory(process: psutil.Process) -> float:
    """Return megabytes of resident memory of a process and its children."""
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6


@contextmanager
def _server(command: list[str], port: int) -> Iterator[tuple[psutil.Process, float]]:
    """Start a server; give its process, and the seconds from its start to its first answer."""
    started = time.perf_counter()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            while True:
                try:
                    httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
                    break
                except httpx.TransportError:
                    if process.poll() is not None:
                        assert process.stderr is not None
                        said = process.stderr.read().decode()
                        raise UserError(f"the server did not start: {said}") from None
                    time.sleep(0.02)
            yield psutil.Process(process.pid), time.perf_counter() - started
        finally:
            process.terminate()


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def starts(runs: int) -> list[float]:
    """Return the seconds from the start of the process to the page's first answer, so often."""
    found = []
    for _ in range(runs):
        port = free_port()
        command = [sys.executable, "serve/app.py", "--port", str(port)]
        with _server(command, port) as (_, seconds):
            found.append(seconds)
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the times as rows under HEAD."""
    told = {"a stroke on the page, in a browser": found["stroke_milliseconds"]}
    told |= {name.replace("_", " "): each for name, each in found["single_milliseconds"].items()}
    for crowd, kinds in found["crowd_milliseconds"].items():
        for kind, each in kinds.items():
            told[f"{crowd}, {kind}".replace("_", " ")] = each
    return [
        [name, *(f"{each[p]:.2f}" for p in ("p50", "p95", "p99")), str(each.get("errors", 0))]
        for name, each in told.items()
    ]


def facts(found: dict[str, Any]) -> Iterator[str]:
    """Yield the other figures, a sentence each."""
    server = [f"{name} {v:.1f}" for name, v in found["server_side_milliseconds"].items()]
    yield f"On the server, /classify_digit: {', '.join(server).replace('_', ' ')} ms."
    starts_ = ", ".join(f"{seconds:.1f}" for seconds in found["starts_seconds"])
    yield f"From the start of the process to the first answer: {starts_} s."
    memory = found["memory_megabytes"]
    yield (
        f"Memory: {found['memory_at_start_megabytes']:.0f} MB at start, {memory[0]:.0f} warm, "
        f"{memory[-1]:.0f} after {found['soak_requests']:,} requests "
        f"({found['growth_percent']:+.1f} %, {found['soak_errors']:.0f} errors)."
    )


@click.command("benchmarks.load")
@click.option("--requests", type=click.IntRange(100, 100_000), default=2000, show_default=True)
@click.option("--users", default="1,10,50", show_default=True, metavar="COUNT,...")
@click.option("--soak", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
def command(requests: int, users: str, soak: int) -> None:
    """Measure the page under load, on this machine alone."""
    if not re.fullmatch(r"[1-9]\d{0,2}(,[1-9]\d{0,2})*", users):
        raise UserError(f"users: expected counts such as 1,10,50; found {users!r}.")
    counts = [int(count) for count in users.split(",")]
    busy = os.getloadavg()[0]
    found = {"starts_seconds": starts(3), **measure(requests, counts, soak)}
    line = f"python -m benchmarks.load --requests {requests} --users {users} --soak {soak}"
    record.save("load", line, {"load_average_before": busy, "aims": AIMS, **found})
    for row in (HEAD, *rows(found)):
        click.echo(f"{row[0]:50}" + "".join(f"{cell:>10}" for cell in row[1:]))
    click.echo("\n".join(facts(found)))


if __name__ == "__main__":
    cli.main(command)
