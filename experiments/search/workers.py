"""Several worker processes of one machine for the trials of one study."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING

from tqdm import tqdm

from experiments.core.errors import UserError
from experiments.core.paths import ROOT

if TYPE_CHECKING:
    from experiments.search.study import Study
    from experiments.training.config import RunConfig

POLL_S = 0.5  # between two checks of the study


def work(request: RunConfig, study: Study) -> None:
    """Start `request.workers` processes on the study's trials, and wait until they end.

    They divide the processors. If one ends early, the others run its trials.

    Raises:
        UserError: all ended before the study was finished; with the last line of each that failed.
    """
    with ExitStack() as stack:
        started = [stack.enter_context(_worker(request)) for _ in range(request.workers)]
        bar = stack.enter_context(
            tqdm(total=request.trials, desc="search", unit="trial", disable=None)
        )
        while any(process.poll() is None for process, _ in started):
            bar.update(study.finished() - bar.n)
            time.sleep(POLL_S)
        bar.update(study.finished() - bar.n)
        finished = study.finished()
        if finished < request.trials:
            lines = [_last_line(log) for process, log in started if process.returncode]
            raise UserError(
                "worker-failed",
                "workers",
                expected=f"{request.trials} finished trials",
                found=f"{finished} when the last worker ended: {'; '.join(lines)}",
                fix="Rerun the same command to resume.",
            )


@contextmanager
def _worker(request: RunConfig) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """Start a worker, and terminate it with the context; its log is a file."""
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


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "a worker without output"
