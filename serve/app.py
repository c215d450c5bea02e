"""The page: Gradio on onnxruntime, or on the torch model.

python serve/app.py --backend onnxruntime --host 127.0.0.1 --port 7860
"""

import os
import sys
from pathlib import Path

if not __package__:  # started as a script, from any folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from experiments import cli
from experiments.errors import UserError

if TYPE_CHECKING:
    import gradio

    from serve.predictor import Predictor

TASKS = ("mnist", "gate")
HOW_TO_TRAIN = "mlflow run . -e train -P task={task}"
HOW_TO_EXPORT = "python export/to_onnx.py --task {task}"
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
    predictors, problems = find_predictors(backend, [*models, *more])
    if not predictors:
        raise UserError(" ".join(problems.values()))
    for predictor in predictors.values():
        click.echo(f"Serving {predictor.title}")
    serve(build(predictors, problems), host, port)


def find_predictors(
    backend: str, models: list[str]
) -> tuple[dict[str, "Predictor"], dict[str, str]]:
    """Return task -> predictor, and task -> what to do about it where there is none.

    Raises:
        UserError: a model that was asked for by name cannot be served.
    """
    if models:
        found = [_open(backend, model) for model in models]
        return {p.task: p for p in found}, {}
    predictors, problems = {}, {}
    for task in TASKS:
        try:
            predictors[task] = _champion(backend, task)
        except UserError as error:
            problems[task] = str(error)
    return predictors, problems


def _champion(backend: str, task: str) -> "Predictor":
    from experiments import tracking

    train = HOW_TO_TRAIN.format(task=task)
    champion = f"@{tracking.CHAMPION}"
    if backend == "torch":
        tracking.find(f"models:/{task}{champion}", train)
        return _open(backend, f"models:/{task}{champion}")
    export = HOW_TO_EXPORT.format(task=task)
    tracking.find(f"models:/{task}{champion}", f"{train} && {export}")
    tracking.find(f"models:/{task}-onnx{champion}", export)
    return _open(backend, f"models:/{task}-onnx{champion}")


def _open(backend: str, model: str) -> "Predictor":
    registered = model.startswith("models:/")
    if backend == "torch":
        if not registered:
            raise UserError(
                f"model: the torch backend takes models:/NAME/VERSION, found {model!r}; "
                "serve a file with --backend onnxruntime."
            )
        from experiments import tracking
        from serve.torch_backend import TorchPredictor

        return TorchPredictor(tracking.find(model))
    from serve.predictor import OnnxPredictor

    if registered:
        from experiments import tracking

        return OnnxPredictor(tracking.onnx_file(tracking.find(model)))
    return OnnxPredictor(Path(model))


def build(predictors: Mapping[str, "Predictor"], problems: Mapping[str, str]) -> "gradio.Blocks":
    """Return the page: a tab for each task, with a sentence in it where there is no model."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr

    from serve import digit_tab, gate_tab

    tabs = {"mnist": ("Digit", digit_tab.build), "gate": ("Gate", gate_tab.build)}
    with gr.Blocks(title="Gates and digits") as page:
        gr.Markdown("# Gates and digits\nSmall neural networks that you can look into.")
        for task, (name, fill) in tabs.items():
            with gr.Tab(name, id=task):
                if task in predictors:
                    fill(predictors[task])
                    gr.Markdown(f"Model: {predictors[task].title}")
                else:
                    gr.Markdown(problems.get(task, "No model of this task is served."))
        page.load(None, js=BRUSH)
    return page


def serve(page: "gradio.Blocks", host: str, port: int) -> None:
    """Serve `page` until it is interrupted; only requests for this host's names are answered."""
    import gradio as gr
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from serve.markup import CSS

    names = ["127.0.0.1", "localhost", "[::1]", host]
    click.echo(f"Open http://{host}:{port} (Ctrl-C ends it)")
    try:
        page.launch(
            server_name=host,
            server_port=port,
            quiet=True,
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


if __name__ == "__main__":
    cli.main(command)
