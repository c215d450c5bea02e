"""Record the runs that the tab plays where nothing can be trained: recorded.json.gz.

python -m serve.tabs.learn.record
"""

from __future__ import annotations

import base64
import gzip
import json
import queue
from typing import Any

import click

from experiments.core import cli, files
from serve.strings.learn import EXPERIMENTS
from serve.tabs.learn.options import RunOptions
from serve.tabs.learn.process import Message, Worker
from serve.tabs.learn.routes import RECORDED

RUNS: dict[str, list[dict[str, Any]]] = {  # experiment -> options
    "fast": [{}],
    "activations": [{"activation": "relu"}, {"activation": "tanh"}],
    "overfitting": [{"digits": 100}, {}],
}
FRAMES = 44  # of a recording, at most; the first ones are close together
SHADES = 16  # of a filter's weights: more would double the file
MAX_BYTES = 300_000


@click.command("serve.tabs.learn.record")
def command() -> None:
    """Train and write the recorded runs."""
    recordings = [record(name) for name in RUNS]
    raw = json.dumps({"recordings": recordings}, separators=(",", ":")).encode()
    packed = gzip.compress(raw, mtime=0)
    if len(packed) > MAX_BYTES:
        raise RuntimeError(f"the recordings have {len(packed):,} bytes, more than {MAX_BYTES:,}")
    files.write(packed, RECORDED)
    click.echo(f"{RECORDED.name}: {len(recordings)} runs, {len(packed):,} bytes.")


def record(name: str) -> Message:
    """Return an experiment's start, frames and final evaluation."""
    messages: queue.Queue[Message | None] = queue.Queue()
    worker = Worker(lambda _, message: messages.put(message))
    runs = [RunOptions(**options).model_dump() for options in RUNS[name]]
    start: Message = {}
    final: Message = {}
    frames: list[Message] = []
    try:
        worker.send("start", id=name, runs=runs, paused=True, speed="full")
        while not final:
            message = messages.get(timeout=600)
            if message is None:
                raise RuntimeError(worker.last_error())
            if message["kind"] == "start":
                start = message
            elif message["kind"] == "frame":
                frames.append(message)
            elif message["kind"] == "final":
                final = message
            if message["kind"] == "phase" and message["phase"] == "paused":
                worker.send("step")  # a frame each
    finally:
        worker.close()
    thinned = [_smaller(frame) for frame in _thinned(frames)]
    return {"title": EXPERIMENTS[name], "start": start, "frames": thinned, "final": final}


def _thinned(frames: list[Message]) -> list[Message]:
    """Return frames at growing distances, the first and the last among them."""
    last = len(frames) - 1
    picked = sorted({round(last * (i / (FRAMES - 1)) ** 1.5) for i in range(FRAMES)})
    return [frames[i] for i in picked]


def _smaller(frame: Message) -> Message:
    """Return a frame as the page's stream sends it, with few shades of the filters' weights."""
    step = 256 // SHADES
    for look in frame["looks"]:
        weights = base64.b64decode(look["filters"])
        coarse = bytes(min(255, round((each - 128) / step) * step + 128) for each in weights)
        look["filters"] = base64.b64encode(coarse).decode()
    return {"points": [frame["points"]], "looks": frame["looks"], "seconds": frame["seconds"]}


if __name__ == "__main__":
    cli.main(command)
