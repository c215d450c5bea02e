"""The page: Gradio on onnxruntime, or on the torch model.

python serve/app.py --backend onnxruntime --host 127.0.0.1 --port 7860
"""

import os
import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import socket
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

import click

from experiments import cli
from experiments.errors import UserError

if TYPE_CHECKING:
    import gradio

    from serve.predictor import Predictor

TABS = {"mnist": ("Digit", "serve.digit_tab"), "gate": ("Gate", "serve.gate_tab")}
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only if asked for, and said aloud
# The pad starts, and comes back from a clear, without a tool: take the brush whenever none is.
BRUSH = """() => setInterval(() => {
    if (!document.querySelector('#pad button.highlight'))
        document.querySelector('#pad button[aria-label=Brush]')?.click();
}, 250)"""


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
@click.argument("more", nargs=-1, metavar="")
def command(
    backend: str, host: str, port: int, models: tuple[str, ...], more: tuple[str, ...]
) -> None:
    """Serve the page; without --model, the champion of each task."""
    if more and not models:
        raise UserError(f"expected options only, found {more[0]!r}; name model files by --model.")
    check_host(host)
    predictors, notes = find_predictors(backend, [*models, *more])
    if not predictors:
        raise UserError(" ".join(notes.values()))
    for line in (*(f"Serving {p.title}." for p in predictors.values()), *notes.values()):
        click.echo(line)
    serve(build(predictors, notes), host, port)


def check_host(host: str) -> None:
    """Raise UserError unless the page can listen on `host`."""
    try:
        socket.gethostbyname(host)  # IPv4, as all that Gradio can listen on
    except OSError:
        raise UserError(
            f"host: expected a name or an IPv4 address of this machine, found {host!r}."
        ) from None


def find_predictors(
    backend: str, models: list[str]
) -> tuple[dict[str, "Predictor"], dict[str, str]]:
    """Return task -> predictor, and task -> a sentence where a model is missing or not the newest.

    Raises:
        UserError: a model that was asked for by name cannot be served.
    """
    predictors: dict[str, Predictor] = {}
    notes: dict[str, str] = {}
    for model in models:
        predictor = _open(backend, model)
        if predictor.task not in TABS or predictor.task in predictors:
            why = "has no tab on the page" if predictor.task not in TABS else "is named twice"
            raise UserError(f"model: {model} is of task {predictor.task}, which {why}.")
        predictors[predictor.task] = predictor
    for task in TABS if not models else ():
        try:
            predictors[task] = _champion(backend, task, notes)
        except UserError as error:
            notes[task] = str(error)
    return predictors, notes


def _champion(backend: str, task: str, notes: dict[str, str]) -> "Predictor":
    """Return the task's champion; note it if the exported one is not the present one."""
    from experiments import versions

    train, export = (h.format(task=task) for h in (cli.HOW_TO_TRAIN, cli.HOW_TO_EXPORT))
    name = f"models:/{task}@{versions.CHAMPION}"
    champion = versions.find(name, train if backend == "torch" else f"{train} && {export}")
    if backend == "torch":
        return _open(backend, name)
    exported = versions.find(f"models:/{task}-onnx@{versions.CHAMPION}", export)
    if exported.tags.get("torch_model") != champion.uri:
        notes[task] = f"The champion is {champion}, which is not exported yet: {export}"
    return _open(backend, exported.uri)


def _open(backend: str, model: str) -> "Predictor":
    registered = model.startswith("models:/")
    if backend == "torch":
        if not registered:
            raise UserError(
                f"model: the torch backend takes models:/NAME/VERSION, found {model!r}; "
                "serve a file with --backend onnxruntime."
            )
        from experiments import versions
        from serve.torch_backend import TorchPredictor

        version = versions.find(model)
        if "task" not in version.metadata:
            raise UserError(f"model: {version} was not registered by this project's train.")
        return TorchPredictor(version)
    from serve.predictor import OnnxPredictor

    if registered:
        from experiments import artifacts, versions

        version = versions.find(model)
        return OnnxPredictor(Path(version.uri), artifacts.onnx_graph(version))
    return OnnxPredictor(Path(model))


def build(predictors: Mapping[str, "Predictor"], notes: Mapping[str, str]) -> "gradio.Blocks":
    """Return the page: a tab for each task, with a sentence in it where something is amiss."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    with gr.Blocks(title="Gates and digits") as page:
        gr.Markdown("# Gates and digits\nSmall neural networks that you can look into.")
        for task, (name, module) in TABS.items():
            with gr.Tab(name, id=task):
                if task in predictors:
                    import_module(module).build(predictors[task])
                    gr.Markdown(f"Model: {predictors[task].title}")
                if task in notes or task not in predictors:
                    gr.Markdown(notes.get(task, "No model of this task is served."))
        page.load(None, js=BRUSH)
    return page


def serve(page: "gradio.Blocks", host: str, port: int) -> None:
    """Serve `page` until it is interrupted; only requests for this host's names are answered."""
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from serve.markup import CSS

    names = ["*"] if host == EVERYWHERE else ["127.0.0.1", "localhost", host]
    try:
        page.launch(
            server_name=host,
            server_port=port,
            quiet=True,
            prevent_thread_lock=True,
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            css=CSS,
            footer_links=[],
            max_file_size="10mb",
            app_kwargs={"middleware": [Middleware(TrustedHostMiddleware, allowed_hosts=names)]},
        )
    except OSError:
        raise UserError(
            f"port {port} on {host} is taken, or not yours to use; choose another with --port."
        ) from None
    if host == EVERYWHERE:
        click.echo("Anyone who reaches this machine can use the page.")
    click.echo(f"Open http://{host}:{port} (Ctrl-C ends it)")
    page.block_thread()


if __name__ == "__main__":
    cli.main(command)
