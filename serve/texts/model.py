"""The Model tab, and what is said of versions and of the registry."""

# Of the registry
NO_ANSWER = (
    "The registry at {address} did not answer in {seconds} s; the page goes on with what it has."
)
NO_CLERK = "The registry at {address} could not be read ({why})."
NO_MLFLOW = (
    "Reading the registry needs the packages of requirements.txt ({why}); "
    "without them, name model files by --model."
)
BUSY = "The registry is being read for somebody else; try again in a moment."
NOT_EXPORTED = "The champion is {champion}, which is not exported yet: {how}"

# Of model files
NO_FILE = "{path}: there is no such model file; make one with python export/to_onnx.py."
LARGE_FILE = "{path}: expected at most {most} bytes, found more."
UNREADABLE = "{path}: the model file could not be read ({why}); see who may read it."
NO_ONNX = (
    "{path}: expected an ONNX model, found a file that onnxruntime refuses ({kind}); "
    "export it anew."
)
NOT_OURS = (
    "{path}: expected a model written by export/to_onnx.py, found one {found}; export it anew."
)
WITHOUT, NO_JSON = "without {names}", "whose labels or facts are no JSON"
FED = "with the input {names} (a merged one is for phones and browsers)"

# Of keys
NO_KEY = (
    "model: expected a registered version of this page's tasks, such as {examples}, "
    "or a file named at start; found {key!r}."
)
NO_VERSION = (
    "model: expected a version that the registry lists, found {key}; choose another, "
    "or try again in {seconds} s if it is new."
)
OTHER_TASK = "model: {key} is of task {task}, this tab is for task {wanted}; choose another."
NO_TAB = "model: {model} is of task {task}, which {why}."
HAS_NO_TAB, NAMED_TWICE = "has no tab on the page", "is named twice"
TORCH_FILE = (
    "model: the torch backend takes models:/NAME/VERSION, found {model!r}; "
    "serve a file with --backend onnxruntime."
)
FOREIGN = "model: {version} was not registered by this project's train."
NOT_LISTED = (
    "{title} is not in this registry, so there is no card, no curves and no picture of it; "
    "what its own file says stands above."
)

# Of the choices
FILE = "file {path}"
ALIAS = "{name}@{alias}: version {number}"
VERSION = "{name} version {number}"
RIGHT = "{share:.2%} right on test"

# The tab
TASKS = {"mnist": "Digits", "gate": "Gates"}
NONE_SERVED = "No model of this task is served; choose one, or name a file at start by --model."
REFRESH = "Refresh versions"
REFRESHED = "The registry has {count} versions of this task."
CHOSEN = "Now served: {title}."
OPENING, LISTING = "Opening this version ...", "Asking the registry ..."
NO_REPLY = "The page's server did not answer in time; try again."
ROWS = {
    "title": "Version",
    "key": "Address",
    "size": "Size",
    "precision": "Precision",
    "opset": "ONNX opset",
    "val_accuracy": "Right on validation",
    "test_accuracy": "Right on test",
    "data_name": "Trained on",
    "input": "Input",
}
BYTES = "{count:,} bytes"
TORCH_PROGRAM = "a torch program, no ONNX file"
NETRON = "Open in Netron"
NETRON_AT = "Netron shows {title} at {link}; it ends with the page."
NETRON_NOT_HERE = "Netron is offered only where the page is reached on the machine it runs on."
NETRON_NO_GRAPH = "Netron shows ONNX graphs; what is served is a torch program."
NETRON_FAILS = "Netron does not start ({why}); python -m pip install -r requirements.txt brings it."
WAITING = "Reading the card, the curves and the picture from the registry …"
CARD = "Card of the version"
CURVES = "Training"
PICTURE = "Architecture"
PICTURE_ALT = "The layers of the network with their shapes and numbers of parameters"
NO_CURVES = "The run has no curves."
EPOCH = "epoch"
LOSS, ACCURACY = "Loss (nats, logarithmic scale)", "Accuracy (%)"
TRAIN, VALIDATION = "training", "validation"
CURVE_LABEL = (
    "{what} over {epochs} epochs: {train} from {train_first} to {train_last}, "
    "{validation} from {val_first} to {val_last}"
)
CURVE_NOTES = {
    "mnist": "Training values are means over an epoch, of pictures that are warped and damaged "
    "where the recipe says so; so validation can be better.",
    "gate": "Training values are means over all restarts, validation is of the one that is kept.",
}

# Comparing
COMPARE = "Compare two versions on the current drawing"
OTHER = "Compare with"
NOTHING_CHOSEN = "Choose a second version to see both answers side by side."
NOTHING_DRAWN = "Draw a digit on the Digit tab, then come back: both versions answer here."
CLASS, ANSWER, SCORE = "class", "answer", "score"
SAYS = "{label} with {share}"
REFUSES = "no digit (else {label})"
SCORE_OF = "{score:.2f}, at least {threshold:.2f} asked"
SAME_VERSION = "Both are the same version."
SAME = "Both say {label}."
SAME_REFUSE = "Both take it for no digit."
DIFFERENT = "They differ: {first} says {one}, {second} says {two}."
NO_DIGIT = "no digit"
SURER = "{title} is surer of it, by {points:.1f} percentage points."
AS_SURE = "They are equally sure, to a tenth of a percentage point."
FURTHEST = "They differ most about {label}: {one:.1%} against {two:.1%}."
