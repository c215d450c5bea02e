"""The page: Gradio on onnxruntime, or on the torch model.

python serve/app.py --backend onnxruntime --host 127.0.0.1 --port 7860

Gradio, onnxruntime and NumPy are imported inside the functions, so that --help is immediate and
`quick_import` comes first.
"""

import sys
from pathlib import Path

if not __package__:  # started as a script: the root replaces this file's folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from experiments.core import cli
from experiments.core.paths import CORRECTIONS
from serve.refusals import refusal
from serve.strings import layout as say
from serve.web import hosts

if TYPE_CHECKING:
    import gradio

    from serve.models.store import ModelStore

TASKS = ("mnist", "gate")  # with a tab
PLATFORM = "https://huggingface.co"  # shows the page of a Space in a frame
MAX_SESSIONS = 500  # stored browser sessions; each takes 0.1 MB
BACKENDS = ["onnxruntime", "torch"]


@dataclass(frozen=True)
class PageConfig:
    """How the page is served.

    Attributes:
        auth: USER:PASSWORD that every request must send.
        allowed_hosts: host names of the page, besides `host`.
        root_path: path below which a proxy shows the page; "" for none.
        corrections: the folder to store them in; None stores none.
        public: allow everybody without a password; for a platform with its own access control.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    auth: str | None = None
    allowed_hosts: Sequence[str] = ()
    root_path: str = ""
    corrections: Path | None = None
    public: bool = False


@click.command("serve.app", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--backend", type=click.Choice(BACKENDS), default=BACKENDS[0], show_default=True)
@click.option("--host", default=PageConfig.host, show_default=True)
@click.option("--port", type=cli.WholeNumber(1, 65535), default=PageConfig.port, show_default=True)
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
    help="Require it; mandatory when other machines can reach the page. Or in PAGE_AUTH.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    callback=lambda _context, _option, names: tuple(map(hosts.host_name, names)),
    help="Another host name of the page; may be repeated.",
)
@click.option(
    "--root-path",
    metavar="/PATH",
    default="",
    callback=lambda _context, _option, path: hosts.clean_root_path(path),
    help="Path below which a proxy shows the page.",
)
@click.option(
    "--corrections/--no-corrections",
    default=True,
    show_default=True,
    help="Store the labels that visitors correct, on this machine's disk.",
)
@click.argument("more", nargs=-1, metavar="")
def command(
    backend: str,
    host: str,
    port: int,
    models: tuple[str, ...],
    auth: str | None,
    allowed_hosts: tuple[str, ...],
    root_path: str,
    corrections: bool,
    more: tuple[str, ...],
) -> None:
    """Serve the page; without --model, the champion of each task."""
    if more and not models:
        raise refusal("option-unknown", repr(more[0]))
    folder = CORRECTIONS if corrections else None
    run([*models, *more], PageConfig(host, port, auth, allowed_hosts, root_path, folder), backend)


def run(models: Sequence[str], config: PageConfig, backend: str = BACKENDS[0]) -> None:
    """Serve the page until it is interrupted.

    Args:
        models: ONNX files or registered versions; none: the champions.
    """
    from serve.models.store import ModelStore
    from serve.web import gradio_patches

    try:
        socket.gethostbyname(config.host)  # IPv4
    except OSError:
        raise refusal("host-unknown", repr(config.host)) from None
    if not config.public:
        hosts.check_exposure(config.host, config.auth, config.allowed_hosts)
    pending = ModelStore(models, backend, TASKS)  # reads the registry while Gradio is imported
    gradio_patches.no_plots()
    if ignored := gradio_patches.no_settings():
        click.echo(say.IGNORED.format(names=", ".join(ignored)))
    with gradio_patches.quick_import():
        import gradio  # noqa: F401

    from serve.tabs.digit import inference

    store = pending.open()
    if not store.defaults and not store.problem:  # without a registry, gates can still be trained
        raise next(iter(store.notes.values()))
    for key in dict.fromkeys(store.defaults.values()):
        click.echo(say.SERVING.format(title=store.load(key).title))
    for note in dict.fromkeys(map(str, store.notes.values())):
        click.echo(note)
    page = start(store, config)
    name = next(iter(config.allowed_hosts), config.host)
    name = f"[{name}]" if ":" in name else name
    click.echo(say.OPEN.format(url=f"http://{name}:{config.port}{config.root_path}"))
    if "mnist" in store.defaults:
        with suppress(Exception):  # the first stroke shows the error
            inference.warm_up(store.load(store.defaults["mnist"]))
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    page.close(verbose=False)  # it ends the browsers' streams, too


def start(store: "ModelStore", config: PageConfig) -> "gradio.Blocks":
    """Serve the page in a thread of its own and return it; its `close` ends that.

    Raises:
        UserError: the page cannot listen there.
    """
    import gradio as gr
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from serve import layout
    from serve.look import theme
    from serve.tabs.learn import routes as learn_routes
    from serve.tabs.learn.live import Live
    from serve.web import api, gradio_patches, limits, middleware
    from serve.web.metrics import Metrics
    from serve.web.server import PageServer

    gradio_patches.no_outside()
    gradio_patches.no_memory()
    store.local = not hosts.public_names(config.host, config.allowed_hosts)
    page = layout.build(store, config.corrections)
    gradio_patches.one_sentence(page)
    page.state_session_capacity = MAX_SESSIONS
    page.has_launched = True  # Gradio then reads uploaded files only
    metrics, live = Metrics(), Live()
    names, framers = [config.host, *config.allowed_hosts], ["'self'"]
    if config.public:
        framers.append(PLATFORM)
    app = Starlette(
        routes=[*api.routes(store, metrics), *learn_routes.routes(live, store.add_file)],
        middleware=middleware.middleware(metrics, names, config.auth, framers, config.root_path),
        exception_handlers=api.HANDLERS,
    )
    gr.mount_gradio_app(  # what is not named here would follow the environment
        app,
        page,
        path="/",
        server_name=config.host,
        server_port=config.port,
        root_path=config.root_path,
        app_kwargs={"exception_handlers": api.HANDLERS},
        theme=theme.theme(),
        css=layout.looks(),
        js=layout.behaviour(),
        footer_links=[],
        run_history=False,  # it would store drawings, and may call other servers
        max_file_size=limits.MAX_FILE_BYTES,
        show_error=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        ssr_mode=False,
    )
    [page.app] = [route.app for route in app.routes if isinstance(route, Mount)]
    page.server = PageServer(app, config.host, config.port, live.close)
    return page


if __name__ == "__main__":
    cli.main(command)
