"""The page: Gradio on onnxruntime, or on the torch model.

python serve/app.py --backend onnxruntime --host 127.0.0.1 --port 7860
"""

import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder: this file's own gives way to the root
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from experiments import cli
from experiments.errors import UserError
from experiments.paths import CORRECTIONS
from serve.texts import page as say

if TYPE_CHECKING:
    import gradio

TASKS = ("mnist", "gate")  # that the page has tabs for
PLATFORM = "https://huggingface.co"  # shows the page of a Space in a frame
SESSIONS = 500  # of browsers, that are remembered: each takes 0.1 MB


@click.command("serve.app", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--backend",
    type=click.Choice(["onnxruntime", "torch"]),
    default="onnxruntime",
    show_default=True,
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="PATH ...",
    help="ONNX files, or registered versions (models:/NAME/VERSION).  [default: the champions]",
)
@click.option(
    "--auth",
    metavar="USER:PASSWORD",
    envvar="PAGE_AUTH",
    help="Ask for it; needed when --host is not this machine's own. Or in PAGE_AUTH.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A name by which browsers may call the page, beside --host; may be repeated.",
)
@click.option(
    "--corrections/--no-corrections",
    default=True,
    show_default=True,
    help="Keep what people say that a drawing was, on this machine's disk.",
)
@click.argument("more", nargs=-1, metavar="")
def command(models: tuple[str, ...], more: tuple[str, ...], **options: Any) -> None:
    """Serve the page; without --model, the champion of each task."""
    if more and not models:
        raise UserError(say.OPTIONS_ONLY.format(found=more[0]))
    run([*models, *more], **options)


def run(
    models: Sequence[str],
    *,
    backend: str = "onnxruntime",
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: str | None = None,
    allowed_hosts: Sequence[str] = (),
    corrections: bool = True,
    public: bool = False,
) -> None:
    """Serve the page until it is interrupted.

    Args:
        models: ONNX files or registered versions; none: the champions.
        auth: USER:PASSWORD that everybody must know.
        allowed_hosts: names by which browsers may call the page, beside `host`.
        corrections: whether to keep them.
        public: let anybody in, wherever it listens; for a platform that does the rest.

    Raises:
        UserError: a model that was asked for cannot be served, or the page cannot listen there.
    """
    from serve.model.shelf import Shelf
    from serve.web import doors, tamed

    check_host(host)
    if not public:
        doors.check_exposure(host, auth, allowed_hosts)
    pending = Shelf.begin(models, backend, TASKS)
    with tamed.quick_import():
        import gradio  # noqa: F401

    from serve import page
    from serve.digit import reading
    from serve.digit.keeping import Keeper
    from serve.web import api

    tamed.no_outside()
    tamed.no_memory()
    shelf = pending.finish()
    if not shelf.first and not shelf.problem:  # without a registry, gates can still be trained
        raise UserError(" ".join(dict.fromkeys(shelf.notes.values())))
    shelf.local = not doors.exposed(host, allowed_hosts)
    for task in shelf.first:
        click.echo(say.SERVING.format(title=shelf.get(shelf.first[task]).title))
    for line in dict.fromkeys(shelf.notes.values()):
        click.echo(line)
    built = page.build(shelf, Keeper(CORRECTIONS) if corrections else None)
    tamed.tame(built)
    hosts, framers = [host, *allowed_hosts], ("'self'", *([PLATFORM] if public else []))
    launch(built, host, port, api.app_kwargs(shelf, hosts, auth, framers))
    click.echo(say.OPEN.format(url=f"http://{next(iter(allowed_hosts), host)}:{port}"))
    if "mnist" in shelf.first:  # now that the page can be opened
        with suppress(Exception):  # whatever it is, a stroke says it
            reading.warm_up(shelf.get(shelf.first["mnist"]))
    built.block_thread()


def check_host(host: str) -> None:
    """Raise UserError unless the page can listen on `host`."""
    try:
        socket.gethostbyname(host)  # IPv4, as all that Gradio can listen on
    except OSError:
        raise UserError(say.NO_SUCH_HOST.format(host=host)) from None


def launch(page: "gradio.Blocks", host: str, port: int, app_kwargs: dict[str, Any]) -> None:
    """Serve `page`, in a thread of its own."""
    import gradio as gr

    from serve.page import behaviour, looks
    from serve.web.limits import LARGEST_FILE

    try:
        page.launch(
            server_name=host,
            server_port=port,
            quiet=True,
            prevent_thread_lock=True,
            theme=gr.themes.Default(
                primary_hue="blue", font=["system-ui", "sans-serif"], font_mono=["monospace"]
            ),
            css=looks(),
            js=behaviour(),
            footer_links=[],
            run_history=False,  # it would keep what is drawn, and may ask outside hosts
            max_file_size=LARGEST_FILE,
            state_session_capacity=SESSIONS,
            app_kwargs=app_kwargs,
        )
    except OSError:
        raise UserError(say.PORT_TAKEN.format(port=port, host=host)) from None


if __name__ == "__main__":
    cli.main(command)
