"""The one training of the page: who owns it, who waits, who watches, and what it has shown."""

from __future__ import annotations

import base64
import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from serve.refusals import refusal
from serve.tabs.learn.options import TrainRequest
from serve.tabs.learn.process import COMMAND, Message, Worker

UNWATCHED_S = 30.0  # until a training that nobody watches, or whose owner is gone, ends
IDLE_S = 300.0  # until the worker ends, if nobody watches
EXPORT_WAIT_S = 10.0  # the first export of a process takes seconds, on a busy machine a minute
MAX_WAITING = 50
TICK_S = 1.0
OWNER_ONLY = ("pause", "resume", "step", "speed", "stop")
ACTIVE = ("starting", "running", "paused")


@dataclass
class Training:
    """One training as its watchers see it.

    Attributes:
        owner: the client that started it.
        phase: starting, running, paused, done, stopped or failed.
        start: the message that describes the runs; None until it arrives.
        points: all measurements: of each frame, of each run.
        frame: the newest frame; `final`: the last evaluation.
    """

    id: str
    owner: str
    request: TrainRequest
    phase: str = "starting"
    start: Message | None = None
    points: list[object] = field(default_factory=list)
    frame: Message | None = None
    final: Message | None = None
    error: str = ""
    code: str = ""
    changed_at: float = field(default_factory=time.monotonic)  # of the phase


@dataclass
class Export:
    """An ONNX file that the worker writes; `error` if it could not."""

    arrived: threading.Event = field(default_factory=threading.Event)
    error: str = ""


class Live:
    """The page's trainings, one at a time; all methods may be called from any thread.

    Args:
        command: that starts the worker.
        clock: seconds.
    """

    def __init__(
        self, command: Sequence[str] = COMMAND, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.available = all(map(find_spec, ("torch", "experiments.training")))
        self.closed = False
        self.training: Training | None = None
        self.waiting: dict[str, TrainRequest] = {}  # client -> what it wants, in this order
        self.watchers: dict[str, float] = {}  # client -> when it was last seen
        self.is_ready, self.error = False, ""
        self._command, self._clock = command, clock
        self._worker: Worker | None = None
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._end = threading.Event()
        self._janitor: threading.Thread | None = None
        self._closing: threading.Thread | None = None
        self._exports: dict[str, Export] = {}  # path -> what the worker writes there
        self._folder = tempfile.TemporaryDirectory(prefix="learn-")

    # ---- What clients do

    def watch(self, client: str) -> None:
        """Note that a client watches, and start the worker, unless it has failed before."""
        with self._lock:
            self.watchers[client] = self._clock()
            if self.available and not self.closed and not self.error:
                self._open()

    def start(self, client: str, request: TrainRequest) -> None:
        """Start a training, or queue it while another client's runs.

        Raises:
            UserError: learn-unavailable, or page-busy, too many wait.
        """
        if not self.available:
            raise refusal("learn-unavailable", "none")
        with self._lock:
            self.watchers[client] = self._clock()
            if self.training and self.training.owner != client and self.training.phase in ACTIVE:
                if len(self.waiting) >= MAX_WAITING and client not in self.waiting:
                    raise refusal("page-busy", f"{MAX_WAITING} trainings that wait")
                self.waiting[client] = request
            else:
                self._begin(client, request)

    def command(self, client: str, do: str, **values: object) -> None:
        """Pause, resume, step, stop or change the speed of the client's own training."""
        with self._lock:
            if do == "stop" and client in self.waiting:
                del self.waiting[client]
                return
            mine = self.training is not None and self.training.owner == client
            if do not in OWNER_ONLY or not mine:
                raise refusal("training-foreign", "one of another visitor")
            if self._worker is not None:
                self._worker.send(do, **values)

    def draw(self, client: str, image: np.ndarray | None) -> None:
        """Let the nets read a drawing, uint8 [1, 28, 28], if the client owns the training."""
        with self._lock:
            mine = self.training is None or self.training.owner == client
            if mine and self._worker is not None:
                raw = None if image is None else base64.b64encode(image.tobytes()).decode()
                self._worker.send("drawing", image=raw)

    def export(self, training: str, run: int, timeout_s: float = EXPORT_WAIT_S) -> Path | None:
        """Return an ONNX file of a run's net as it is now; None if it takes longer: ask again.

        Raises:
            UserError: training-gone, or training-unexported.
        """
        with self._lock:
            present, worker = self.training, self._worker
            if present is None or worker is None or present.id != training or not present.points:
                raise refusal("training-gone", "another, or none")
            options = present.request.runs[min(run, len(present.request.runs) - 1)]
            name = f"{options.recipe}-{options.activation}-seed-{options.seed}"
            path = str(Path(self._folder.name) / f"{name}-training-{training}-{'AB'[run]}.onnx")
            if path not in self._exports:
                self._exports[path] = Export()
                worker.send("export", run=run, path=path)
            wanted = self._exports[path]
        if not wanted.arrived.wait(timeout_s):
            return None
        with self._lock:
            self._exports.pop(path, None)
        if wanted.error:
            raise refusal("training-unexported", wanted.error)
        return Path(path)

    def state(self, client: str) -> Mapping[str, object]:
        """Return what a client is sent besides the frames."""
        with self._lock:
            training = self.training
            waiting = list(self.waiting)
            position = waiting.index(client) + 1 if client in waiting else 0
            return {
                "available": self.available,
                "ready": self.is_ready,
                "phase": training.phase if training else "idle",
                "mine": training is not None and training.owner == client,
                "position": position,
                "waiting": len(waiting),
                "error": self.error or (training.error if training else ""),
                "code": "" if training is None else training.code,
            }

    # ---- The worker

    def _open(self) -> None:
        """Start the worker unless it runs, and the thread that ends what nobody watches."""
        if self._worker is None:
            self.is_ready, self.error = False, ""
            self._worker = Worker(self._receive, self._command)
        if self._janitor is None:
            self._janitor = threading.Thread(target=self._tidy, daemon=True)
            self._janitor.start()

    def _begin(self, client: str, request: TrainRequest) -> None:
        self._open()
        self.waiting.pop(client, None)
        self.training = Training(str(next(self._ids)), client, request, changed_at=self._clock())
        assert self._worker is not None
        self._worker.send("start", id=self.training.id, **request.model_dump())

    def _receive(self, worker: Worker, message: Message | None) -> None:
        """Take a message of the worker, or None when it has ended."""
        with self._lock:
            if worker is not self._worker:
                return
            if message is None:
                self._ended(worker)
            elif message["kind"] == "ready":
                self.is_ready = True
            elif message["kind"] == "unable":
                self.error = message["error"]
            elif message["kind"] in ("exported", "export-failed"):
                self._deliver(message["path"], message.get("error", ""))
            elif self.training is not None and message["id"] == self.training.id:
                self._show(self.training, message)
            self._next()

    def _show(self, training: Training, message: Message) -> None:
        kind = message["kind"]
        if kind == "start":
            training.start = message
        elif kind == "frame":
            training.points.append(message.pop("points"))
            training.frame = message
        elif kind == "final":
            training.final = message
        elif kind == "phase":
            training.phase, training.changed_at = message["phase"], self._clock()
        elif kind == "error":
            training.phase, training.changed_at = "failed", self._clock()
            training.error, training.code = message["error"], message["code"]

    def _ended(self, worker: Worker) -> None:
        """Note why the worker has ended; one that was at rest is not started again by itself."""
        self._worker, self.is_ready = None, False
        reason = self.error or str(refusal("training-ended", worker.last_error()))
        if self.training and self.training.phase in ACTIVE:
            self.training.phase, self.training.error = "failed", reason
            self.training.code = "training-ended"
        else:
            self.error = reason
        worker.close()
        for path in self._exports:
            self._deliver(path, "the training's process has ended")

    def _deliver(self, path: str, error: str) -> None:
        if path in self._exports:
            self._exports[path].error = error
            self._exports[path].arrived.set()

    def _next(self) -> None:
        """Begin the training of the first client that waits, if none runs."""
        if self.waiting and not (self.training and self.training.phase in ACTIVE):
            client, request = next(iter(self.waiting.items()))
            self._begin(client, request)

    # ---- What nobody watches

    def _tidy(self) -> None:
        while not self._end.wait(TICK_S):
            with self._lock:
                self.tidy()

    def tidy(self) -> None:
        """End what nobody watches: waiting requests, the training, in the end the worker."""
        now = self._clock()
        gone = {c for c, seen in self.watchers.items() if now - seen > UNWATCHED_S}
        for client in gone:
            self.waiting.pop(client, None)
        present = self.watchers.keys() - gone
        training = self.training
        if training and training.phase in ACTIVE and self._worker is not None:
            paused_s = now - training.changed_at if training.phase == "paused" else 0.0
            blocks = self.waiting and (training.owner in gone or paused_s > UNWATCHED_S)
            if blocks or not present:
                self._worker.send("stop")
                training.phase = "stopped"
                self._next()
        for client in [c for c, seen in self.watchers.items() if now - seen > IDLE_S]:
            del self.watchers[client]
        if not self.watchers and self._worker is not None:
            self.is_ready, self.training = False, None
            # in a thread: the worker's own one waits for the lock that this one has
            self._closing = threading.Thread(target=self._worker.close)
            self._closing.start()
            self._worker = None

    def close(self) -> None:
        """End the worker and all streams; nothing starts after that."""
        self.closed = True
        self._end.set()
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.close()
        for thread in (self._closing, self._janitor):
            if thread is not None:
                thread.join()
        self._folder.cleanup()
