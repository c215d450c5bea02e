"""What programs are told, and anybody whom the page does not let in."""

FOREIGN_HOST = (
    "This page is not served under the name {host!r}; "
    "add --allowed-host {host} to its command if it should be."
)
FOREIGN_ORIGIN = "This request comes from a page of {origin!r}, which may not use this one."
NO_AUTH = "This page asks for the user name and password that were given to it by --auth."
NOTHING_OUTSIDE = "This server fetches nothing from other addresses; upload the file itself."
TOO_LARGE = "Expected at most {most} MB in one request; send a smaller file."
NO_BODY = "The rest of this request did not come within {seconds} seconds; send it again."
BUSY = "The page has as much work as it can do at once; try again in a few seconds."
TOO_LATE = "The answer took more than {seconds} seconds, so the page gave it up; try again."
BROKEN = "Something went wrong in the server ({kind}); the page goes on, try something else."
NO_ENDPOINT = "There is no such endpoint or parameter; /gradio_api/info lists those there are."
NOT_JSON = 'Expected a JSON object {{"data": [...]}}, found something else: {found}.'
NOT_UPLOADED = "This file was not uploaded here; upload it first, by POST /gradio_api/upload."
WRONG_VALUES = "{name} expects the values {expected}, in this order; the last may be left out."
NO_FILE = 'image: expected an uploaded file, {{"path": ...}}, found {found}; docs/api.md shows how.'
WRONG_INPUTS = (
    "{name} expects {expected} values, each of the kind that /gradio_api/info lists; "
    "among the {found} found, one is missing or of another kind."
)
NO_TEXT = "model: expected a text such as models:/mnist-onnx@champion, or none, found {found}."
NO_MODEL = "No model for this is served."
EXPOSED = (
    "host: {host} can be reached from other machines, so it needs {missing}; "
    "or keep the page to this machine."
)
AUTH_FORM = "auth: expected USER:PASSWORD, both not empty, found something else."
ENDPOINTS = {
    "classify_digit": "Read a handwritten digit from an image file, dark on light or the reverse.",
    "evaluate_gate": "Give inputs (any numbers) to a learned gate and return how surely it says 1.",
}
