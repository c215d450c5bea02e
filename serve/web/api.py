"""For programs: named endpoints among Gradio's, and two addresses beside them."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from anyio import CapacityLimiter, to_thread
from fastapi.exceptions import RequestValidationError
from gradio.utils import get_upload_folder
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from experiments.calibration import REFUSED, refuses
from experiments.errors import UserError
from serve.digit import ink
from serve.gate.calls import evaluate
from serve.texts import api as say
from serve.web import doors
from serve.web.meters import Meters

if TYPE_CHECKING:
    from serve.model.shelf import Shelf
    from serve.predictor import Predictor

VERSION = "1"  # of the endpoints' names and shapes; a change of them makes it 2


def endpoints(shelf: "Shelf") -> dict[str, Callable[..., dict[str, Any]]]:
    """Return name -> function of the endpoints.

    Args:
        shelf: of the models; its first ones answer requests that name none.
    """

    def chosen(task: str, model: Any) -> "Predictor":
        if not isinstance(model, str | None):
            raise UserError(say.NO_TEXT.format(found=type(model).__name__))
        key = model or shelf.first.get(task)
        if key is None:
            raise UserError(say.NO_MODEL)
        return shelf.get(key, task)

    # gr.FileData makes Gradio's clients upload the file; what arrives is a dictionary.
    def classify_digit(image: gr.FileData, model: str = "") -> dict[str, Any]:
        return digit(chosen("mnist", model), _uploaded(image))

    def evaluate_gate(gate: str, inputs: list[float], model: str = "") -> dict[str, Any]:
        return evaluate(chosen("gate", model), gate, inputs)

    return {"classify_digit": classify_digit, "evaluate_gate": evaluate_gate}


def build(shelf: "Shelf") -> None:
    """Put the endpoints into the open Gradio context, for its clients and its list of them."""
    for name, function in endpoints(shelf).items():
        about = say.ENDPOINTS[name]
        gr.api(function, api_name=name, api_description=about, queue=False)


def digit(predictor: "Predictor", path: Path) -> dict[str, Any]:
    """Return what `/classify_digit` answers for the image file at `path`.

    Raises:
        UserError: it is no picture that can be read.
    """
    told = predictor(ink.to_image(ink.from_file(path)))
    probabilities = [float(p) for p in told["probabilities"][0]]
    likeliest = predictor.labels[int(told["probabilities"][0].argmax())]
    return {
        "label": None if refuses(told, predictor.facts)[0] else likeliest,
        "digit": likeliest,
        "probabilities": probabilities,
        "score": float(told["score"][0]) if "score" in told else None,
        "threshold": predictor.facts.get("score_threshold"),
        "refused_digits": predictor.facts.get(REFUSED),
        "model": predictor.title,
    }


def _uploaded(image: Any) -> Path:
    """Return where an uploaded file lies.

    Raises:
        UserError: it is no file, or one that was not uploaded here.
    """
    given = image.get("path") if isinstance(image, Mapping) else None
    if not isinstance(given, str):
        raise UserError(say.NO_FILE.format(found=type(image).__name__))
    try:
        path = Path(given).resolve(strict=True)
    except (OSError, ValueError) as error:
        raise UserError(say.NOT_UPLOADED) from error
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or not path.is_file():
        raise UserError(say.NOT_UPLOADED)
    return path


def app_kwargs(
    shelf: "Shelf",
    hosts: Sequence[str] = (),
    auth: str | None = None,
    framers: Sequence[str] = ("'self'",),
) -> dict[str, Any]:
    """Return what `launch(app_kwargs=...)` takes: doors, addresses of our own, plain errors.

    Args:
        shelf: of the models.
        hosts, auth, framers: as of `doors.middleware`.
    """
    meters = Meters()
    return {
        "middleware": doors.middleware(hosts, auth, meters, framers),
        "routes": routes(shelf, meters),
        "exception_handlers": {HTTPException: _refused, RequestValidationError: _misread},
    }


def routes(shelf: "Shelf", meters: Meters) -> list[Route]:
    """Return /healthz, /metrics and a short way to the endpoints; all come before Gradio's own."""
    own = CapacityLimiter(2)  # threads of its own, for when the page's are all at work

    def health() -> Response:
        try:
            models = {task: shelf.get(key).title for task, key in [*shelf.first.items()]}
            if not models:
                raise UserError(shelf.problem or say.NO_MODEL)
        except UserError as error:
            return JSONResponse({"status": "ill", "error": str(error), "version": VERSION}, 503)
        return JSONResponse({"status": "ok", "models": models, "version": VERSION})

    async def healthz(_: Request) -> Response:
        return await to_thread.run_sync(health, limiter=own)

    async def metrics(_: Request) -> Response:
        return meters.answer()

    direct = [_direct(name, function) for name, function in endpoints(shelf).items()]
    return [Route("/healthz", healthz), Route("/metrics", metrics), *direct]


def _direct(name: str, function: Callable[..., dict[str, Any]]) -> Route:
    """Return Gradio's address of an endpoint, with its shapes, answered without Gradio.

    Gradio describes the whole page anew for each call outside a session: ten times the work of
    reading a digit.
    """
    signature = inspect.signature(function)

    def answer(raw: bytes) -> dict[str, Any]:
        try:
            data = json.loads(raw)["data"]
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UserError(say.NOT_JSON.format(found=type(error).__name__)) from error
        try:
            given = signature.bind(*data)
        except TypeError as error:
            expected = ", ".join(signature.parameters)
            raise UserError(say.WRONG_VALUES.format(name=name, expected=expected)) from error
        try:
            return function(*given.args)
        except (LookupError, TypeError) as error:  # which of Gradio's mean a wrong address
            raise RuntimeError(f"{name} failed") from error

    async def run(request: Request) -> Response:
        raw = await request.body()
        return JSONResponse({"data": [await run_in_threadpool(answer, raw)]})

    return Route(f"/gradio_api/run/{name}", run, methods=["POST"])


def _refused(_: Request, error: Any) -> Response:
    """Return Gradio's own refusal; `error` holds it, too, as in all other answers."""
    told = {"detail": error.detail, "error": f"{str(error.detail).rstrip('.')}."}
    return JSONResponse(told, error.status_code, error.headers)


def _misread(_: Request, error: Any) -> Response:
    found = "; ".join(str(fault.get("msg")) for fault in error.errors()[:3])
    return JSONResponse({"error": say.NOT_JSON.format(found=found)}, 422)
