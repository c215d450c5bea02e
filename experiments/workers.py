"""Several processes of one machine at the trials of one study."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from experiments.errors import UserError
from experiments.paths import ROOT

if TYPE_CHECKING:
    from experiments.options import Request
    from experiments.studies import Study

POLL = 0.5  # seconds between two looks at the study


def work(request: Request, study: Study) -> None:
    """Let `request.workers` processes finish the study's trials, and wait for them.

    The processors are divided among them. A worker that ends early leaves its share to the others.

    Raises:
        UserError: all workers ended before the study was finished; what the last of them said.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(_worker(request)) for _ in range(request.workers)]
        bar = stack.enter_context(tqdm(total=request.trials, desc="search", unit="trial"))
        while any(process.poll() is None for process, _ in started):
            bar.update(study.finished() - bar.n)
            time.sleep(POLL)
        bar.update(study.finished() - bar.n)
        if study.finished() < request.trials:
            said = [_last_line(log) for process, log in started if process.returncode]
            raise UserError("; ".join(said) or "all workers ended before the study was finished")


@contextmanager
def _worker(request: Request) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start a worker, and end it if it outlives the context; its log is a file."""
    line = [sys.executable, "-m", "experiments.tune", *request.as_arguments(workers=1)]
    threads = max(1, len(os.sched_getaffinity(0)) // request.workers)
    env = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    env |= {"OMP_NUM_THREADS": str(threads)} | request.secrets()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            line, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            yield process, log
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()


def _last_line(log: Any) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else "a worker ended without a word"
