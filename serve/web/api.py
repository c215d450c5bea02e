"""For programs: two named endpoints, /healthz and /metrics."""

import copy
import inspect
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from anyio import CapacityLimiter, to_thread
from fastapi.exceptions import RequestValidationError
from gradio.route_utils import FnIndexInferError
from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from experiments.core.errors import UserError
from experiments.evaluation.calibration import FALSE_REJECT_RATE
from serve.refusals import refusal, response
from serve.strings import api as say
from serve.tabs.digit import inference, preprocess
from serve.tabs.gate.api import evaluate
from serve.web.errors import UPLOAD
from serve.web.metrics import Metrics

if TYPE_CHECKING:
    from serve.backends.onnx_backend import Predictor
    from serve.models.store import ModelStore

VERSION = "1"  # of the endpoints' names and shapes; it increases when they change
log = logging.getLogger("serve")
Endpoint = Callable[..., dict[str, object]]


def endpoints(store: "ModelStore") -> dict[str, Endpoint]:
    """Return name -> function of the endpoints; without a model they use the store's defaults."""

    def load(task: str, model: str) -> "Predictor":
        return store.load(model or store.defaults.get(task, ""), task)

    # gr.FileData makes Gradio's clients upload the file; what arrives is a dictionary.
    def classify_digit(image: gr.FileData, model: str = "") -> dict[str, object]:
        return digit(load("mnist", model), _uploaded(image))

    def evaluate_gate(gate: str, inputs: list[float], model: str = "") -> dict[str, object]:
        return {**evaluate(load("gate", model), gate, inputs)}

    return {"classify_digit": classify_digit, "evaluate_gate": evaluate_gate}


def build(store: "ModelStore") -> None:
    """Add the endpoints to the open Gradio context, for its clients and its list of them."""
    for name, function in endpoints(store).items():
        gr.api(function, api_name=name, api_description=say.ENDPOINTS[name], queue=False)


def digit(predictor: "Predictor", path: Path) -> dict[str, object]:
    """Return the answer of `/classify_digit` for an image file, or raise UserError."""
    prediction = inference.read(predictor, preprocess.from_file(path))
    focus, digits = prediction.focus, "".join(prediction.preds)
    score = prediction.outputs.get("score")
    return {
        "label": None if prediction.refused.any() else digits,
        "digit": digits,
        "probabilities": prediction.outputs["probabilities"][focus].tolist(),
        "score": None if score is None else float(score[focus]),
        "threshold": predictor.facts.get("score_threshold"),
        "false_reject_rate": predictor.facts.get(FALSE_REJECT_RATE),
        "unread": list(prediction.marks),
        "model": predictor.title,
    }


def _uploaded(image: object) -> Path:
    """Return the path of an uploaded file; raise UserError for anything else."""
    try:
        path = Path(image["path"] if isinstance(image, dict) else "").resolve(strict=True)
        if path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file():
            return path
    except (OSError, ValueError, LookupError, TypeError):
        pass
    raise refusal("file-not-uploaded", "something else")


def routes(store: "ModelStore", metrics: Metrics) -> list[Route]:
    """Return /healthz, /metrics and direct routes to the endpoints; they precede Gradio's."""
    limiter = CapacityLimiter(2)  # threads for /healthz when all of the page's are busy

    def health() -> Response:
        try:
            models = {task: store.load(key).title for task, key in [*store.defaults.items()]}
            if not models:
                raise copy.copy(store.problem) or refusal("model-missing", "none")
        except UserError as error:
            problem = {"error": str(error), "code": error.code}
            return JSONResponse({"status": "ill", **problem, "version": VERSION}, 503)
        return JSONResponse({"status": "ok", "models": models, "version": VERSION})

    async def healthz(_: Request) -> Response:
        return await to_thread.run_sync(health, limiter=limiter)

    direct = [route for each in endpoints(store).items() for route in _direct(*each)]
    return [Route("/healthz", healthz), Route("/metrics", metrics.response), *direct]


def _direct(name: str, function: Endpoint) -> list[Route]:
    """Return routes with the addresses and shapes of Gradio's endpoint, answered without Gradio.

    Outside a session Gradio describes the whole page for each call: ten times the work of
    classifying a digit.
    """
    signature = inspect.signature(function)

    def answer(body: bytes) -> dict[str, object]:
        try:
            values = signature.bind(*json.loads(body)["data"]).args
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            names = ", ".join(signature.parameters)
            raise refusal("request-invalid", type(error).__name__, values=names) from error
        try:
            return function(*values)
        except (LookupError, TypeError) as error:  # `_failed` takes these for Gradio's
            raise RuntimeError(f"{name} failed") from error

    async def run(request: Request) -> Response:
        return JSONResponse({"data": [await run_in_threadpool(answer, await request.body())]})

    paths = [f"/gradio_api/{kind}/{name}{end}" for kind in ("run", "api") for end in ("", "/")]
    return [Route(path, run, methods=["POST"]) for path in paths]


def _unreadable(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    messages = "; ".join(str(each.get("msg")) for each in error.errors()[:3])
    return response(refusal("request-invalid", messages, values="..."), status=422)


def _failed(request: Request, error: Exception) -> Response:
    """Return the response to a mistake of the client."""
    if isinstance(error, UserError):
        return response(error)
    path = request.url.path
    if path.rstrip("/") == UPLOAD:
        return response(refusal("files-missing", "another kind of form"))
    log.warning("%s: %s: %s", path, type(error).__name__, error)  # Gradio has no such event
    return response(refusal("endpoint-unknown", repr(path[:100])))


HANDLERS = {
    RequestValidationError: _unreadable,
    **dict.fromkeys((UserError, LookupError, TypeError, FnIndexInferError), _failed),
}
