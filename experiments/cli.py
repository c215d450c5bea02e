"""How every command of the project ends: well, with one sentence, or interrupted."""

import signal
import sys
import threading
from types import FrameType

import click

from experiments.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130
HOW_TO_TRAIN = "mlflow run . -e train -P task={task}"
HOW_TO_EXPORT = "python export/to_onnx.py --task {task}"


_interrupted = threading.Event()


def _interrupt(number: int, frame: FrameType | None) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt if this process was told to end, and some library swallowed it.

    Libraries that try an import and go on after any failure do swallow it; so long work asks here.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


def main(command: click.Command) -> None:
    """Run `command`; a mistake of the user's ends in one sentence and exit code 2."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        command.main(standalone_mode=False)
    except (UserError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"Error: {text}", err=True)
        sys.exit(USER_ERROR)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
