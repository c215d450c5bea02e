"""Trains one or two networks at a time, as the page commands: lines of JSON in, lines out.

It ends when its input does, so it never outlives the page, whatever ended that.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np
import torch

from experiments.core.errors import UserError
from experiments.training import threads
from serve.tabs.learn.options import RunOptions
from serve.tabs.learn.worker import deliver, fits, frames
from serve.tabs.learn.worker.fits import Fit
from serve.tabs.learn.worker.frames import Observer

FRAME_S = 0.1  # from one frame to the next, at least
MAX_FRAME_SHARE = 0.3  # of the time, that frames may take
SLOWEST_FRAME_S = 0.2  # whatever they take
# The seconds that a training takes at least at each speed: the faster the machine, the more it
# waits, so that people can watch.
MIN_SECONDS = {"slow": 25.0, "normal": 6.0, "full": 0.0}
SIDE = 28
Command = Mapping[str, Any]


class Classroom:
    """The trainings of one process: at most one request at a time, of one or two runs."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.commands: queue.Queue[Command] = queue.Queue()
        self.observers: list[Observer] = []
        self.id, self.speed = "", "normal"
        self.running = False
        self.drawing: np.ndarray | None = None
        self.framed_at = self.stepped_at = 0.0
        self.frame_s = 0.0  # that the last frame took

    def say(self, kind: str, **facts: object) -> None:
        """Write a line."""
        print(json.dumps({"kind": kind, "id": self.id, **facts}), file=self.out, flush=True)

    def listen(self, lines: TextIO) -> None:
        """Queue the commands in `lines`; end the process after the last one."""
        for line in lines:
            self.commands.put(json.loads(line))
        os._exit(0)

    def work(self) -> None:
        """Obey commands and train between them, until the process ends."""
        while True:
            try:
                self.obey(self.commands.get(timeout=self.pause()))
                continue
            except queue.Empty:
                pass
            except UserError as error:
                self.fail(error)
            if self.running:
                try:
                    self.step()
                except UserError as error:
                    self.fail(error)

    def fail(self, error: UserError) -> None:
        """State an error, which ends the training."""
        self.end()
        self.say("error", error=str(error), code=error.code)

    def pause(self) -> float | None:
        """Return the seconds until the next step; None if there is none to take."""
        if not self.running:
            return None
        steps = max(observer.fit.steps for observer in self.observers)
        return max(0.0, self.stepped_at + MIN_SECONDS[self.speed] / steps - time.perf_counter())

    def obey(self, command: Command) -> None:
        """Do what the page commands."""
        name, values = command["do"], {k: v for k, v in command.items() if k != "do"}
        getattr(self, f"do_{name}")(**values)

    # ---- Commands

    def do_start(self, id: str, runs: list[dict[str, Any]], paused: bool, speed: str) -> None:
        """Begin a training, instead of the one before."""
        self.end()
        self.id, self.speed = id, speed
        options = [RunOptions.model_validate(run) for run in runs]
        self.observers = [Observer(Fit(fits.prepare(each))) for each in options]
        split = fits.splits().val
        self.say(
            "start",
            runs=[
                {**given.model_dump(), **_facts(observer.fit), "command": fits.command(given)}
                for given, observer in zip(options, self.observers, strict=True)
            ],
            shown=frames.text(split.x[frames.shown()]),
            labels=split.y[frames.shown()].tolist(),
            validation=len(split.y),
            sample=len(self.observers[0].val.y),
        )
        self.running = not paused
        self.stepped_at = time.perf_counter()
        self.frame()
        self.say("phase", phase="paused" if paused else "running")

    def do_pause(self) -> None:
        """Stop before the next step."""
        if self.running:
            self.running = False
            self.frame()
            self.say("phase", phase="paused")

    def do_resume(self) -> None:
        """Go on after a pause."""
        if self.unfinished():
            self.running, self.stepped_at = True, time.perf_counter()
            self.say("phase", phase="running")

    def do_step(self) -> None:
        """Train one batch, and pause."""
        if self.unfinished():
            self.running = False
            self.step()
            if self.unfinished():
                self.frame()
                self.say("phase", phase="paused")

    def do_speed(self, speed: str) -> None:
        """Train faster or slower from now on."""
        self.speed = speed

    def do_stop(self) -> None:
        """End the training where it is."""
        self.end()
        self.say("phase", phase="stopped")

    def do_drawing(self, image: str | None) -> None:
        """Read this drawing, uint8 [1, 28, 28] in base64, in every frame from now on."""
        self.drawing = None
        if image is not None:
            raw = np.frombuffer(base64.b64decode(image), np.uint8)
            self.drawing = raw.reshape(1, SIDE, SIDE)
        if self.observers and not self.running:
            self.frame()

    def do_export(self, run: int, path: str) -> None:
        """Write the net of a run as an ONNX file, which can be served."""
        try:
            fit = self.observers[run].fit
            self.say("exported", run=run, path=deliver.export(fit, path), step=fit.done)
        except Exception as error:  # the exporter's errors have no common class
            self.say("export-failed", run=run, path=path, error=f"{type(error).__name__}: {error}")

    # ---- Training

    def unfinished(self) -> list[Fit]:
        """Return the fits that have steps to take."""
        return [each.fit for each in self.observers if not each.fit.finished]

    def step(self) -> None:
        """Take a step of each run, and show a frame if it is time."""
        self.stepped_at = time.perf_counter()
        for fit in self.unfinished():
            fit.advance()
            if fit.done == fit.steps:  # the last evaluation follows the last step
                fit.advance()
        if not self.unfinished():
            self.running = False
            self.frame()
            self.say("final", runs=[observer.final() for observer in self.observers])
            self.say("phase", phase="done")
        elif self.running and time.perf_counter() - self.framed_at >= self.interval():
            self.frame()

    def interval(self) -> float:
        """Return the seconds from one frame to the next."""
        return max(FRAME_S, min(self.frame_s / MAX_FRAME_SHARE, SLOWEST_FRAME_S))

    def frame(self) -> None:
        """Measure the nets and write a frame."""
        if not self.observers:
            return
        self.framed_at = time.perf_counter()
        points, looks = zip(*(each.frame(self.drawing) for each in self.observers), strict=True)
        self.frame_s = time.perf_counter() - self.framed_at
        seconds = [round(each.fit.seconds, 3) for each in self.observers]
        self.say("frame", points=points, looks=looks, seconds=seconds)

    def end(self) -> None:
        """Forget the present training."""
        self.running = False
        for observer in self.observers:
            observer.fit.stop()
        self.observers = []


def _facts(fit: Fit) -> dict[str, object]:
    trainer = fit.trainer
    return {
        "steps": fit.steps,
        "batch_size": trainer.hparams.batch_size,
        "parameters": sum(p.numel() for p in fit.net.parameters()),
        "device": str(trainer.device),
        "precision": trainer.precision,
    }


def warm_up() -> None:
    """Load the data and take a step, which loads the rest and chooses the number of threads."""
    trainer = fits.prepare(RunOptions())
    if trainer.device.type == "cpu":
        threads.choose(trainer.first_step(), None)
    fit = Fit(trainer)
    fit.advance()
    Observer(fit).frame(None)
    fit.stop()


def main() -> None:
    """Listen and train."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no message
    classroom = Classroom(out)
    threading.Thread(target=classroom.listen, args=[sys.stdin], daemon=True).start()
    try:
        warm_up()
    except UserError as error:
        classroom.say("unable", error=str(error), code=error.code)
        return
    classroom.say("ready", threads=torch.get_num_threads())
    classroom.work()


if __name__ == "__main__":
    main()
