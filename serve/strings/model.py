"""The texts of the Model tab and of the list of versions; names in braces are filled in."""

from experiments.evaluation.calibration import NO_DIGIT

# The list of versions
FILE = "file {path}"
TRAINED = "trained on this page: {name}"
ALIAS = "{name}@{alias}: version {number}"
VERSION = "{name} version {number}"
TEST_ACCURACY = "test accuracy {accuracy:.2%}"

# The tab
TASKS = {"mnist": "Digits", "gate": "Gates"}
NONE_SERVED = "No model of this task is served. Choose one, or start the page with --model."
REFRESH = "Refresh versions"
REFRESHED = "The list of versions is up to date."
CHOSEN = "Now serving {title}."
OPENING, LISTING = "Opening this version ...", "Reading the registry ..."
NO_REPLY = "The server did not respond in time; try again."
ROWS = {
    "title": "Version",
    "key": "Address",
    "size": "Size",
    "precision": "Precision",
    "opset": "ONNX opset",
    "val_accuracy": "Validation accuracy",
    "test_accuracy": "Test accuracy",
    "data_name": "Trained on",
    "input": "Input",
}
BYTES = "{count:,} bytes"
TORCH_PROGRAM = "a torch program, no ONNX file"
NETRON = "Open in Netron"
NETRON_AT = "Netron shows {title} at {link} until the page stops."
WAITING = "Reading the card, the curves and the architecture from the registry …"
CARD = "Model card"
CURVES = "Training curves"
PICTURE = "Architecture"
PICTURE_ALT = "The layers of the network with their shapes and numbers of parameters"
NO_CURVES = "This run has no curves: they need at least two epochs."
EPOCH = "epoch"
LOSS, ACCURACY = "Loss (nats)", "Accuracy (%)"
SPLIT, TRAIN, VALIDATION = "split", "training", "validation"
CURVE_NOTES = {
    "mnist": "Training values are means over an epoch of augmented images, so validation can be "
    "better.",
    "gate": "Training values are means over all restarts; validation values are of the best one.",
}

# Comparing
COMPARE = "Compare two versions on the current drawing"
OTHER = "Second version"
NOTHING_CHOSEN = "Choose a second version to compare its prediction."
NOTHING_DRAWN = "Draw a digit on the Digit tab to compare both predictions here."
CLASS, PREDICTION, SCORE = "class", "prediction", "score (threshold)"
PREDICTED = "{label} ({prob})"
REJECTED = f"{NO_DIGIT} (otherwise {{label}})"
SCORE_OF = "{score:.2f} ({threshold:.2f})"
SAME_VERSION = "Both are the same version."
SAME = "Both predict {label}."
BOTH_REJECT = f"Both reject the drawing as {NO_DIGIT}."
DIFFERENT = "They disagree: {first} predicts {one}, {second} predicts {two}."
MORE_CONFIDENT = "{title} is more confident, by {points:.1f} percentage points."
EQUALLY_CONFIDENT = "Their confidence is equal, to a tenth of a percentage point."
LARGEST_DIFFERENCE = "The largest difference is for {label}: {one:.1%} and {two:.1%}."
