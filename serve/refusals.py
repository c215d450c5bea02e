"""Every refusal of the page: one table of codes, HTTP statuses and texts."""

from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import JSONResponse

from experiments.core.errors import UserError


class Refusal(NamedTuple):
    """A kind of refusal; `refusal` fills in the names in braces."""

    status: int  # of the HTTP response
    what: str
    expected: str
    fix: str


START = 0  # instead of a status: the command refuses to start the page
BROKEN = "server-failed"  # a bug of the page, not a mistake of the client
EXPORT = "Export it again with python export/to_onnx.py."
OTHER = "Choose another."
BUSY, RETRY_S = (429, 503), 5  # statuses; seconds until a client may try again
REFUSALS = {
    # Models
    "backend-mismatch": Refusal(
        START, "model", "models:/NAME/VERSION", "Serve a file with --backend onnxruntime."
    ),
    "champion-unexported": Refusal(
        START, "task {task}", "the graph of its champion, {champion}", "Export it: {command}."
    ),
    "file-missing": Refusal(
        400, "{file}", "a model file", "Make one with python export/to_onnx.py."
    ),
    "file-too-large": Refusal(400, "{file}", "a model file of at most {limit} bytes", OTHER),
    "file-unreadable": Refusal(
        400, "{file}", "a model file that can be read", "Check who may read it."
    ),
    "input-mismatch": Refusal(400, "{file}", "a model with the input {name}", EXPORT),
    "key-invalid": Refusal(
        400, "model", "a registered version, such as models:/mnist-onnx/1, or a served file", OTHER
    ),
    "metadata-invalid": Refusal(400, "{file}", "labels and facts as JSON", EXPORT),
    "metadata-missing": Refusal(400, "{file}", "a model of this project", EXPORT),
    "model-missing": Refusal(
        400, "model", "a served model", "Train and export one, or choose another."
    ),
    "model-repeated": Refusal(START, "model", "one of task {task}", OTHER),
    "model-unregistered": Refusal(
        400, "{model}", "a version in this registry", "The metadata of the file is shown above."
    ),
    "registry-busy": Refusal(400, "registry", "one reading at a time", "Try again in a moment."),
    "registry-timeout": Refusal(
        400, "{registry}", "an answer within {seconds:g} s", "Open models stay open; try again."
    ),
    "registry-unreadable": Refusal(
        400,
        "{registry}",
        "an answer of its process",
        "Check MLFLOW_TRACKING_URI and the packages of requirements.txt.",
    ),
    "task-mismatch": Refusal(400, "model", "one of task {task}", OTHER),
    "version-unknown": Refusal(
        400, "model", "a version in the registry's list", "Try again in {seconds:g} s if it is new."
    ),
    # Tabs
    "circuit-missing": Refusal(
        400, "{model}", "a circuit of logic gates", "Choose one, or train one: {command}."
    ),
    "circuit-too-large": Refusal(400, "{model}", "at most {limit} gates", OTHER),
    "correction-ambiguous": Refusal(400, "correction", "one digit", "Draw a single digit."),
    "correction-incomplete": Refusal(
        400, "correction", "a drawing and its correct label", "Draw a digit and choose its label."
    ),
    "gate-unknown": Refusal(400, "gate", "one of {gates}", "Correct it; see docs/api.md."),
    "graph-missing": Refusal(400, "{model}", "an ONNX graph", "Choose an exported version."),
    "graph-unsuitable": Refusal(
        400, "{model}", "a bank of one-hidden-layer networks", "Choose another, or train one here."
    ),
    "layers-unreadable": Refusal(
        400, "{model}", "a chain of convolutions and linear layers", "Choose another to see it."
    ),
    "learn-unavailable": Refusal(
        400,
        "training",
        "PyTorch on this machine",
        "Play a recorded run, or start the page locally.",
    ),
    "training-ended": Refusal(400, "training", "a process that goes on", "Train again."),
    "training-foreign": Refusal(400, "training", "one of your own", "Start one, or wait for it."),
    "training-gone": Refusal(400, "training", "the one on the screen", "Train it again."),
    "training-unexported": Refusal(400, "network", "an ONNX file of it", "Try again."),
    "mnist-mismatch": Refusal(
        400,
        "training digits",
        "those of this model, with the digest {digest}",
        "Name the folder of this model's digits in MNIST_DIR.",
    ),
    "netron-failed": Refusal(
        400, "Netron", "a server on this machine", "Install the packages of requirements.txt."
    ),
    "netron-remote": Refusal(
        400, "Netron", "a page for this machine", "Start it without --host and --allowed-host."
    ),
    "network-too-large": Refusal(
        400, "{model}", "at most {limit} weights", "Choose another, or train one here."
    ),
    # Lessons
    "lessons-invalid": Refusal(
        START, "{file}, {where}", "{expected}", "Correct it; see docs/lessons.md."
    ),
    # Requests
    "address-forbidden": Refusal(400, "file", "an uploaded file", "Upload the file itself."),
    "answer-late": Refusal(504, "answer", "an answer within {seconds:g} s", "Try again."),
    "auth-invalid": Refusal(START, "auth", "USER:PASSWORD", "Correct --auth, or PAGE_AUTH."),
    "auth-missing": Refusal(401, "request", "user name and password of --auth", "Log in."),
    "endpoint-unknown": Refusal(404, "request", "a known endpoint", "See /gradio_api/info."),
    "file-not-uploaded": Refusal(400, "file", "an uploaded file", "Upload it to this page first."),
    "files-missing": Refusal(400, "upload", "a form with a file in files", "See docs/api.md."),
    "host-foreign": Refusal(400, "request", "a host of this page", "Pass --allowed-host {host}."),
    "host-invalid": Refusal(START, "host", "NAME or NAME:PORT", "Correct --allowed-host."),
    "host-unknown": Refusal(START, "host", "an IPv4 address of this machine", "Correct --host."),
    "http-invalid": Refusal(400, "request", "HTTP, its head at most 64 kB", "Correct it."),
    "option-unknown": Refusal(START, "serve.app", "options only", "Name model files by --model."),
    "origin-foreign": Refusal(403, "request", "this page or a program", "Use the page itself."),
    "page-busy": Refusal(503, "page", "a free slot", "Try again in a few seconds."),
    "page-exposed": Refusal(START, "host {host}", "{options}", "Pass them, or serve locally only."),
    "port-taken": Refusal(START, "port {port} on {host}", "a free port", "Pass another --port."),
    "request-incomplete": Refusal(408, "request", "a body within {seconds:g} s", "Send it again."),
    "request-invalid": Refusal(400, "request", 'JSON {{"data": [{values}]}}', "Correct it."),
    "request-too-large": Refusal(413, "request", "at most {limit_mb:g} MB", "Send a smaller file."),
    "root-path-invalid": Refusal(START, "root path", "a path, /NAME", "Correct --root-path."),
    "value-invalid": Refusal(400, "{name}", "{expected}", "Correct it; see docs/api.md."),
    BROKEN: Refusal(500, "server", "an answer", "The page keeps running; try something else."),
}


def refusal(code: str, found: object, **fields: object) -> UserError:
    """Return the error with this code; `fields` are the names in braces in the code's row."""
    row = REFUSALS[code]
    what, expected, fix = (text.format(**fields) for text in (row.what, row.expected, row.fix))
    return UserError(code, what, expected, found, fix)


def broken(error: Exception) -> UserError:
    """Return the error that reports a bug of the page without its details."""
    return refusal(BROKEN, f"an internal error ({type(error).__name__})")


def response(
    error: UserError, status: int | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return an error as JSON; the status is by default that of its code, else 400."""
    if status is None:
        status = REFUSALS[error.code].status if error.code in REFUSALS else 400
    passed = {**retry_after(status), **(headers or {})}
    return JSONResponse({"error": str(error), "code": error.code}, status, passed)


def retry_after(status: int) -> dict[str, str]:
    """Return the header that says when to try again, if the status is that of a busy page."""
    return {"Retry-After": str(RETRY_S)} if status in BUSY else {}
