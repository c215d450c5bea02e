"""Load: the page's latency next to a bare session of onnxruntime, its memory, its start.

    python -m benchmarks.load

The page runs in its own process, as users start it. All traffic stays on this machine. Needs an
exported model, the packages of tests/requirements.txt, and chromium. Writes
benchmarks/results/load.json.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple

import click
import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from PIL import Image

from benchmarks import browser, record, server
from experiments.core import cli
from experiments.core.onnx_session import open_session
from experiments.core.paths import ROOT

PICTURE = ROOT / "serve" / "tabs" / "digit" / "examples" / "7.png"
MODEL = ROOT / "model.onnx"
STARTS = 3
REQUESTS = 2000  # to each target
USERS = (1, 10, 50)
SOAK = 10_000  # requests
ROUNDS = 5  # in each of which every target is measured
PAUSE_S = 0.5  # between one user's strokes
STROKES = 20  # of each user who pauses
PAGE_STROKES = 40  # in the browser
SOAK_USERS = 8
SOAK_WARM_UP = 500  # requests before memory is read
SOAK_READINGS = 10
# Records the time from the end of each stroke to the first change of the answer.
STROKE_TIMER = """() => {
    const answer = () => document.querySelector("#digit-answer .answer").parentElement.innerHTML;
    window.times = [];
    let start = 0;
    let before = "";
    addEventListener("pointerup", () => { [start, before] = [performance.now(), answer()]; }, true);
    new MutationObserver(() => {
        if (!start || answer() === before) return;
        window.times.push(performance.now() - start);
        start = 0;
    }).observe(document.querySelector("#digit-answer"), {subtree: true, childList: true});
}"""


class Target(NamedTuple):
    """An address, and one request to it, which returns whether the answer is right."""

    url: str
    request: Callable[[httpx.AsyncClient], Awaitable[bool]]


@click.command("benchmarks.load")
def command() -> None:
    """Measure the page under load, on this machine alone."""
    result: dict[str, Any] = {"load_average_before": os.getloadavg()[0], "starts_seconds": starts()}
    with server.serving(*server.PAGE) as page:
        result |= asyncio.run(measure(page))
        result["stroke_milliseconds"] = percentiles(stroke_times(page.url))
    record.save("load", "python -m benchmarks.load", result)


def starts() -> list[float]:
    """Return the seconds from the start of the page's process to its first answer."""
    seconds = []
    for _ in range(STARTS):
        with server.serving(*server.PAGE) as page:
            seconds.append(page.start_seconds)
    return seconds


async def measure(page: server.Server) -> dict[str, Any]:
    """Return latencies in milliseconds for one and for several users, and megabytes of memory."""
    memory_at_start = memory(page.process)
    async with client(page.url) as http:
        measured = targets(page.url, await upload(http))
    single = await one_user(measured)
    crowds: dict[str, Any] = {}
    for count in USERS:
        for name, pause in (("drawing", PAUSE_S), ("without_pause", 0.0)):
            strokes = STROKES if pause else REQUESTS // count
            latencies = await crowd(measured["page"], count, strokes, pause)
            crowds[f"{count}_users_{name}"] = {"page": latencies}
    return {
        "single_milliseconds": single,
        "crowd_milliseconds": crowds,
        "memory_at_start_megabytes": memory_at_start,
        **await soaked(measured["page"], page.process),
    }


def client(url: str) -> httpx.AsyncClient:
    """Return a client of one user; a shared one would queue its requests."""
    return httpx.AsyncClient(base_url=url, timeout=60)


async def upload(http: httpx.AsyncClient) -> str:
    """Upload the picture to the page, and return its path there."""
    files = {"files": (PICTURE.name, PICTURE.read_bytes())}
    return str((await http.post("/gradio_api/upload", files=files)).json()[0])


def targets(page_url: str, path: str) -> dict[str, Target]:
    """Return the targets by name; `path` is of the uploaded picture."""
    session = open_session(MODEL, threads=1)
    image = np.asarray(Image.open(PICTURE).convert("L").resize((28, 28)))[None]

    async def page(http: httpx.AsyncClient, path: str = path) -> bool:
        body = {"data": [{"path": path}]}
        response = await http.post("/gradio_api/run/classify_digit", json=body)
        return response.is_success and response.json()["data"][0]["digit"] == "7"

    async def page_with_upload(http: httpx.AsyncClient) -> bool:
        return await page(http, await upload(http))

    async def bare_session(_: httpx.AsyncClient) -> bool:
        return int(session.run(["probabilities"], {"image": image})[0].argmax()) == 7

    return {
        "page": Target(page_url, page),
        "page_with_upload": Target(page_url, page_with_upload),
        "bare_session": Target(page_url, bare_session),
    }


async def one_user(measured: dict[str, Target]) -> dict[str, dict[str, float]]:
    """Return each target's latencies for one user who waits for every answer.

    The targets take turns, so that a busy moment of the machine meets all of them.
    """
    latencies: dict[str, list[float]] = {name: [] for name in measured}
    errors = dict.fromkeys(measured, 0)
    for target in measured.values():
        await crowd(target, 1, 20, 0)  # the first requests are slower
    for _ in range(ROUNDS):
        for name, target in measured.items():
            async with client(target.url) as http:
                for _ in range(REQUESTS // ROUNDS):
                    errors[name] += not await timed(target, http, latencies[name])
    return {name: {**percentiles(latencies[name]), "errors": errors[name]} for name in measured}


async def crowd(target: Target, users: int, strokes: int, pause: float) -> dict[str, float]:
    """Return the latencies of `users` at the same time, with a pause after each stroke."""
    latencies: list[float] = []

    async def user(index: int, http: httpx.AsyncClient) -> int:
        await asyncio.sleep(pause * index / users)  # users do not draw in step
        errors = 0
        for _ in range(strokes):
            errors += not await timed(target, http, latencies)
            await asyncio.sleep(pause)
        return errors

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(client(target.url)) for _ in range(users)]
        started = time.perf_counter()
        errors = sum(await asyncio.gather(*map(user, range(users), clients)))
        rate = len(latencies) / (time.perf_counter() - started)
    return {**percentiles(latencies), "errors": errors, "requests_a_second": rate}


async def timed(target: Target, http: httpx.AsyncClient, latencies: list[float]) -> bool:
    """Make one request; append its milliseconds to `latencies`, and return its success."""
    started = time.perf_counter()
    try:
        success = await target.request(http)
    except (httpx.HTTPError, KeyError, ValueError):
        success = False
    latencies.append(1000 * (time.perf_counter() - started))
    return success


def percentiles(values: list[float]) -> dict[str, float]:
    """Return the 50th, 95th and 99th percentile and the maximum."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "most": max(values)}


async def soaked(target: Target, process: psutil.Process) -> dict[str, Any]:
    """Return the memory during SOAK requests of eight users without a pause."""
    await crowd(target, SOAK_USERS, SOAK_WARM_UP // SOAK_USERS, 0)
    readings, errors = [memory(process)], 0.0
    each = SOAK // SOAK_READINGS // SOAK_USERS
    for _ in range(SOAK_READINGS):
        errors += (await crowd(target, SOAK_USERS, each, 0))["errors"]
        readings.append(memory(process))
    return {
        "memory_megabytes": readings,
        "growth_percent": 100 * (readings[-1] / readings[0] - 1),
        "soak_requests": each * SOAK_USERS * SOAK_READINGS,
        "soak_errors": errors,
    }


def memory(process: psutil.Process) -> float:
    """Return megabytes of resident memory of a process and its children."""
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 1e6


def stroke_times(url: str) -> list[float]:
    """Return the milliseconds from the end of each stroke in a browser to the page's new answer."""
    with browser.chromium() as chromium:
        page = chromium.new_page()
        page.goto(url)
        page.wait_for_selector("#pad canvas")
        page.evaluate(STROKE_TIMER)
        for stroke in range(PAGE_STROKES):
            x = 0.2 + 0.6 * stroke / PAGE_STROKES
            browser.draw_stroke(page, [(x, 0.25), (x + 0.01, 0.5), (x + 0.02, 0.75)])
            page.wait_for_function("count => window.times.length > count", arg=stroke)
        times: list[float] = page.evaluate("window.times")
        return times


if __name__ == "__main__":
    cli.main(command)
