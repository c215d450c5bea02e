"""Gradio as this page wants it: imported quickly, fetching and keeping nothing, plain in faults.

Each function changes Gradio in its own process; a name of Gradio's that is gone raises at once.
"""

import atexit
import inspect
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from experiments.errors import UserError
from serve.texts import api as say

if TYPE_CHECKING:
    import gradio

# How an event of the page's own is answered: at once, by no public name; of several, the last.
QUIET: dict[str, Any] = {
    "queue": False,
    "show_progress": "hidden",
    "api_visibility": "private",
    "trigger_mode": "always_last",
}
QUEUED = {**QUIET, "queue": True}  # one after the other, and without a limit of time
MOST_QUEUED = 200  # events that wait for their turn
# What is done, with what, and what it changes.
Event = tuple[Callable[..., Any], Sequence[Any], Sequence[Any]]
FETCHERS = (  # of gradio.processing_utils: all that takes an address and asks for it
    "async_ssrf_protected_get",
    "async_ssrf_protected_download",
    "ssrf_protected_download",
    "save_url_to_cache",
    "unsafe_download",
)


@contextmanager
def quick_import() -> Iterator[None]:
    """Let Gradio be imported without its writing a stub beside each of its components.

    It does so at every import, which is half of the time that takes; a component whose file is
    not to be found has none. Without matplotlib, with which the page draws nothing, Gradio does
    not import it at the first event.
    """

    def unknown(_: object) -> NoReturn:
        raise OSError

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    if "GRADIO_TEMP_DIR" not in os.environ:  # uploads: of this page alone, and gone with it
        folder = tempfile.TemporaryDirectory(prefix="page-")
        atexit.register(folder.cleanup)
        os.environ["GRADIO_TEMP_DIR"] = folder.name
    sys.modules["matplotlib"] = None  # type: ignore[assignment]
    known, inspect.getfile = inspect.getfile, unknown  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.getfile = known


def no_outside() -> None:
    """Let Gradio fetch nothing: an address given in place of a file is refused with a sentence."""
    import gradio as gr
    from gradio import processing_utils

    def refuse(*_: Any, **__: Any) -> Any:
        raise gr.Error(say.NOTHING_OUTSIDE, print_exception=False)

    for name in FETCHERS:
        getattr(processing_utils, name)  # an AttributeError if Gradio has renamed it
        setattr(processing_utils, name, refuse)


def no_memory() -> None:
    """Let Gradio keep no values of a browser's session, which are as large as its pictures.

    It keeps the last ones of each component, for links to a page as somebody has left it.
    """
    from gradio.state_holder import SessionState

    SessionState._update_value_in_config  # noqa: B018  an AttributeError if it is renamed
    SessionState._update_value_in_config = lambda *_: None


def tame(page: "gradio.Blocks") -> None:
    """Bound the queue of `page`, and make every fault in an event of it arrive as one sentence.

    A mistake of the caller's leaves nothing on the console, a fault of ours its traceback.
    """
    import gradio as gr
    from gradio.exceptions import InvalidPathError

    page.queue(max_size=MOST_QUEUED)
    process = page.process_api
    page.preprocess_data = _checked(page.preprocess_data)

    async def process_api(*args: Any, **more: Any) -> Any:
        try:
            return await process(*args, **more)
        except gr.Error as error:
            error.print_exception = False
            raise
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error
        except InvalidPathError as error:
            raise gr.Error(say.NOT_UPLOADED, print_exception=False) from error
        except Exception as error:
            raise gr.Error(say.BROKEN.format(kind=type(error).__name__)) from error

    page.process_api = process_api


def _checked(preprocess: Callable[..., Any]) -> Callable[..., Any]:
    """Return Gradio's reading of an event's inputs, whose faults are the caller's mistakes."""
    import gradio as gr
    from gradio.exceptions import ComponentProcessingError, InvalidPathError

    wrong = (ValueError, TypeError, LookupError, AttributeError, ComponentProcessingError)

    async def checked(block_fn: Any, inputs: list[Any], *args: Any, **more: Any) -> Any:
        try:
            return await preprocess(block_fn, inputs, *args, **more)
        except (gr.Error, InvalidPathError, UserError):
            raise
        except wrong as error:
            counts = {"expected": len(block_fn.inputs), "found": len(inputs)}
            told = say.WRONG_INPUTS.format(name=block_fn.name or "This event", **counts)
            raise gr.Error(told, print_exception=False) from error

    return checked
