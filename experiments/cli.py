"""How every command of the project ends: well, with one sentence, or interrupted."""

import signal
import sys

import click

from experiments.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130
HOW_TO_TRAIN = "mlflow run . -e train -P task={task}"
HOW_TO_EXPORT = "python export/to_onnx.py --task {task}"


def main(command: click.Command) -> None:
    """Run `command`; a mistake of the user's ends in one sentence and exit code 2."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, runs as KILLED
    try:
        command.main(standalone_mode=False)
    except (UserError, click.ClickException) as error:
        text = error.format_message() if isinstance(error, click.ClickException) else str(error)
        click.echo(f"Error: {text}", err=True)
        sys.exit(USER_ERROR)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        sys.exit(INTERRUPTED)
