"""How every command of the project ends: well, with one sentence, or interrupted."""

import atexit
import errno
import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from experiments.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130
COLLECT = 50_000, 20, 100  # objects made until garbage is looked for; younger, older, oldest
THE_DISKS = {
    errno.ENOSPC: "Make room on the disk, then give the same command again.",
    errno.EDQUOT: "Make room within the quota, then give the same command again.",
    errno.EROFS: "Make the folder writable, then give the same command again.",
    errno.EACCES: "Make it accessible to this user, then give the same command again.",
}
HOW_TO_TRAIN = "mlflow run . -e train -P task={task}"
HOW_TO_EXPORT = "python export/to_onnx.py --task {task}"


_interrupted = threading.Event()
_deferring = threading.Event()


def _interrupt(number: int, frame: FrameType | None) -> None:
    first = not _interrupted.is_set()
    _interrupted.set()
    if not (first and _deferring.is_set()):
        raise KeyboardInterrupt


def interrupted() -> bool:
    """Return whether this process was told to end."""
    return _interrupted.is_set()


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt if this process was told to end, and some library swallowed it.

    Libraries that try an import and go on after any failure do swallow it; so long work asks here.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def deferring() -> Iterator[None]:
    """Let the code inside finish what it is at when told to end: it must ask `interrupted`.

    Being told a second time ends it at once.
    """
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()


def main(command: click.Command) -> None:
    """Run `command`; a mistake of the user's ends in one sentence and exit code 2.

    torch and mlflow bring a million objects that are no garbage: looking through them at the usual
    pace, and once more at the end, takes seconds.
    """
    gc.set_threshold(*COLLECT)
    atexit.register(gc.freeze)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        command.main(standalone_mode=False)
    except (UserError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"Error: {text}", err=True)
        sys.exit(USER_ERROR)
    except OSError as error:
        if error.errno not in THE_DISKS:
            raise
        click.echo(f"Error: {error}. {THE_DISKS[error.errno]}", err=True)
        sys.exit(USER_ERROR)
    except (click.Abort, KeyboardInterrupt) as stop:
        click.echo(f"Interrupted. {stop.__cause__ or stop}".strip(), err=True)  # click wraps it
        sys.exit(INTERRUPTED)
