"""Patches of Gradio: a fast import, no fetching, nothing kept, one sentence for every error.

Each patch states its reason and was needed with Gradio 6.31.0; tests/test_gradio_patches.py fails
once it is not needed any more, or has no effect. Gradio is imported inside the functions, since
`quick_import` must come first.
"""

import atexit
import inspect
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from experiments.core import process_env
from experiments.core.errors import UserError
from serve.refusals import broken, refusal
from serve.web.errors import CAUSES

if TYPE_CHECKING:
    import gradio
    from gradio.block_function import BlockFunction

# The page's own events: answered at once, without a public name; of several, only the last.
QUIET: dict[str, object] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "always_last",
}
QUEUED = {**QUIET, "queue": True}  # one after the other, without a time limit
MAX_QUEUED = 200  # waiting events
Event = tuple[
    Callable[..., object], Sequence[object], Sequence[object]
]  # function, inputs, outputs
SETTINGS = re.compile("GRADIO_|UVICORN_|WEB_CONCURRENCY$|FORWARDED_ALLOW_IPS$")
CLIENT = re.compile("(?i:(https?|all|no)_proxy)|SSL(_CERT_(FILE|DIR)|KEYLOGFILE)")  # of httpx
# Of gradio.processing_utils: everything that fetches an address calls one of these.
FETCHERS = ("async_ssrf_protected_get", "async_ssrf_protected_download", "unsafe_download")


def no_settings() -> list[str]:
    """Remove Gradio's and uvicorn's settings from this process's environment; return their names.

    Reason: they would open a public tunnel, start a second server without the password, show files
    or end the page with a traceback.
    """
    os.environ.update(process_env.REPORTS_NOTHING)
    own = process_env.REPORTS_NOTHING.keys()
    names = sorted(name for name in os.environ if SETTINGS.match(name) and name not in own)
    for name in names:
        del os.environ[name]
    return names


@contextmanager
def quick_import() -> Iterator[None]:
    """Import Gradio without its search for a stub file of each component, and without a proxy.

    Reason: the search takes half of the import's time; a component without a source file has none.
    A client that Gradio makes and the page never uses fails if the environment names a SOCKS proxy,
    or files or hosts that it cannot read.
    """

    def no_source_file(_: object) -> NoReturn:
        raise OSError

    if "GRADIO_TEMP_DIR" not in os.environ:  # the uploads of this process, deleted with it
        folder = tempfile.TemporaryDirectory(prefix="page-")
        atexit.register(folder.cleanup)
        os.environ["GRADIO_TEMP_DIR"] = folder.name
    clients = {name: os.environ.pop(name) for name in [*os.environ] if CLIENT.fullmatch(name)}
    original, inspect.getfile = inspect.getfile, no_source_file  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = original
        os.environ.update(clients)


def no_plots() -> None:
    """Hide matplotlib from Gradio.

    Reason: Gradio imports it at the first event, to set a backend; the page does not use it.
    """
    sys.modules["matplotlib"] = None  # type: ignore[assignment]


def no_outside() -> None:
    """Refuse every address in place of a file.

    Reason: Gradio would fetch it, so a client could make the server call any other.
    """
    import gradio as gr
    from gradio import processing_utils

    def refuse(*_: object, **__: object) -> NoReturn:
        error = refusal("address-forbidden", "an address; this server fetches nothing")
        raise gr.Error(str(error), print_exception=False) from error

    for name in FETCHERS:
        setattr(processing_utils, name, refuse)


def no_memory() -> None:
    """Store no values of a browser's session.

    Reason: Gradio stores the last value of each component, and these are as large as its pictures.
    """
    from gradio.state_holder import SessionState

    SessionState._update_value_in_config = lambda *_: None


def one_sentence(page: "gradio.Blocks") -> None:
    """Limit the queue of `page`, and turn every exception of its events into one sentence.

    Reason: Gradio hides the message of any exception but its own, and prints a traceback for each.
    A client's mistake prints nothing, a bug of the page its traceback.
    """
    import gradio as gr
    from gradio.exceptions import ComponentProcessingError, InvalidPathError

    page.queue(max_size=MAX_QUEUED)
    process, preprocess = page.process_api, page.preprocess_data
    mistakes = (ValueError, TypeError, LookupError, AttributeError, ComponentProcessingError)

    async def preprocess_data(
        block_fn: "BlockFunction", inputs: list[object], *args: object, **more: object
    ) -> object:
        try:
            return await preprocess(block_fn, inputs, *args, **more)
        except (gr.Error, InvalidPathError, UserError):
            raise
        except mistakes as error:
            raise refusal(
                "value-invalid",
                f"{len(inputs)} values, of which one is missing or of another kind",
                name=block_fn.name or "this event",
                expected=f"{len(block_fn.inputs)} values as listed at /gradio_api/info",
            ) from error

    async def process_api(*args: object, **more: object) -> object:
        try:
            return await process(*args, **more)
        except gr.Error as error:
            error.print_exception = False
            if isinstance(error.__cause__, UserError):  # of `no_outside`
                CAUSES.get([]).append(error.__cause__)
            raise
        except UserError as error:
            raise shown(error, is_bug=False) from error
        except InvalidPathError:
            other = refusal("file-not-uploaded", "another file")
            raise shown(other, is_bug=False) from other
        except Exception as error:
            hidden = broken(error)
            hidden.__cause__ = error
            raise shown(hidden, is_bug=True) from hidden

    def shown(error: UserError, is_bug: bool) -> gr.Error:
        CAUSES.get([]).append(error)
        return gr.Error(str(error), print_exception=is_bug)

    page.preprocess_data = preprocess_data
    page.process_api = process_api
