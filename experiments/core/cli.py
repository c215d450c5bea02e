"""How every command ends: normally, with one sentence for a user's mistake, or interrupted."""

import atexit
import codecs
import errno
import gc
import io
import locale
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from experiments.core.errors import UserError

USER_ERROR, INTERRUPTED = 2, 130
GC_THRESHOLD = 50_000, 20, 100  # new objects before a collection; of younger, older, oldest
DISK_ERRORS = {
    errno.ENOSPC: "Make room, or set TMPDIR to a folder with room, then rerun the same command.",
    errno.EDQUOT: "Make room within the quota, then rerun the same command.",
    errno.EROFS: "Make the folder writable, then rerun the same command.",
    errno.EACCES: "Make it accessible to this user, then rerun the same command.",
}
NO_TEMPORARY = "No usable temporary directory"  # in tempfile's error
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
    """Return whether this process received a signal to end."""
    return _interrupted.is_set()


def stop_if_interrupted() -> None:
    """Raise KeyboardInterrupt if this process received a signal to end.

    Long work calls it, since libraries that try an import and ignore any failure may suppress the
    first KeyboardInterrupt.
    """
    if _interrupted.is_set():
        raise KeyboardInterrupt


@contextmanager
def deferring() -> Iterator[None]:
    """Defer the first signal to end, for which the code inside asks `interrupted`."""
    _deferring.set()
    try:
        yield
    finally:
        _deferring.clear()


def _fail(sentence: str, code: str) -> NoReturn:
    """End the process with a line for people; its last word, in brackets, is for programs."""
    click.echo(f"Error: {sentence} [{code}]", err=True)
    sys.exit(USER_ERROR)


class WholeNumber(click.IntRange):
    """A whole number in any usual spelling: 5, 5.0, 1e1; or auto, if that is the default."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if param and param.default == "auto" and value in ("", "auto"):
            return "auto"  # type: ignore[return-value]  # the command decides
        number = whole(value)
        assert self.min is not None and self.max is not None
        if not (isinstance(number, int) and self.min <= number <= self.max):
            name = str(param.name) if param else "value"
            expected = f"a whole number from {self.min:,} to {self.max:,}"
            raise UserError("value-invalid", name, expected, repr(value), f"Correct {name}.")
        return number


def whole(value: object) -> object:
    """Return the whole number that a text writes, as 5, 5.0 or 1e1; else `value` as it is."""
    with suppress(ValueError):
        number = float(str(value))
        return int(number) if number.is_integer() else value
    return value


class UserPath(click.ParamType[Path]):
    """A path, `~` included, which no shell expands in -P out=~/FILE."""

    name = "path"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        return user_path(value, str(param.name) if param else "path")


def user_path(text: str | Path, option: str) -> Path:
    """Return the path that a user has given, with the home folder for `~`.

    Raises:
        UserError: path-invalid, there is no such home, or the name is not UTF-8.
    """
    try:
        path = Path(text).expanduser()
        str(path).encode()
    except (RuntimeError, UnicodeEncodeError) as error:
        found = f"{os.fsencode(text)!r}: {error}"
        raise UserError(
            "path-invalid", option, "a path in UTF-8", found, "Give another path."
        ) from None
    return path


def _use_utf8() -> None:
    """Write UTF-8 in any locale; libraries' files, too, for which Python has to start again."""
    encoding = codecs.lookup(locale.getpreferredencoding(False)).name
    if encoding != "utf-8" and "utf8" not in sys._xoptions:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def main(command: click.Command) -> None:
    """Run `command`; a mistake of the user's prints one sentence and its code, and exits with 2."""
    _use_utf8()
    # torch and mlflow bring a million objects that are never garbage: collect rarely
    gc.set_threshold(*GC_THRESHOLD)
    atexit.register(gc.freeze)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        command.main(standalone_mode=False)
    except UserError as error:
        _fail(str(error), error.code)
    except click.ClickException as error:
        _fail(error.format_message(), "usage")
    except OSError as error:
        if NO_TEMPORARY in str(error):
            _fail(f"{error}. Make room in one of them, or set TMPDIR.", "temporary-missing")
        if error.errno not in DISK_ERRORS:
            raise
        code = f"disk-{errno.errorcode[error.errno].lower()}"
        _fail(f"{error}. {DISK_ERRORS[error.errno]}", code)
    except (click.Abort, KeyboardInterrupt) as stop:
        click.echo(f"Interrupted. {stop.__cause__ or stop}".strip(), err=True)  # click wraps it
        sys.exit(INTERRUPTED)
