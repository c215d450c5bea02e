"""The Digit tab."""

from experiments.evaluation.calibration import NO_DIGIT

PAD = {
    "tools": "Drawing tools",
    "pen": "Pen",
    "eraser": "Eraser",
    "undo": "Undo",
    "clear": "Clear",
    "wide": "Wide canvas",
    "wide_why": "Room for several digits in a row, predicted as a number",
    "width": "Pen width",
    "width_label": "Width of the pen, in pixels of the canvas",
    "canvas": "Canvas: draw a digit",
    "how": "Ways to draw",
    "keys": "Draw with mouse, finger or pen. By keyboard: arrows move the pen, Space puts it down "
    "and lifts it, Ctrl+Z undoes, Delete clears.",
    "upload": "Open a picture",
    "upload_hint": "A picture can also be dropped here or pasted: ink and ground of any two "
    "colours, also a photo of plain, ruled or squared paper.",
    "too_large": "This file has more than {megabytes} MB; choose a smaller picture.",
}

# The prediction
EMPTY = "Draw a digit to see the prediction."
BLANK = "This picture is <b>blank</b>: it has no strokes."
TOO_SMALL = "This drawing is <b>too small</b> for a digit; draw it larger."
ANSWER = "Prediction <b>{pred}</b> probability {prob}"
REFUSED = f"Prediction <b>{NO_DIGIT}</b> the most probable digit is {{pred}}"
NUMBER = "Predicted number <b>{number}</b>"
UNKNOWN = "?"  # in place of a digit that is refused
MARKS = {"point": "a point", "dash": "a dash", "line": "a line below"}
UNREAD = "Not read, because it is no digit: {marks}."
FOCUS = "The bars and the view below show the least certain digit, number {number} from the left."
BARS = "Calibrated probability of each digit: {probs}"
SCORE = "Score <b>{score:.2f}</b>, refused below {threshold:.2f}"
SCORE_MEANING = (
    "The score is the log-odds of a digit against no digit. A drawing with a score below the "
    "threshold is refused as no digit."
)
FALSE_REJECT_RATE = " It refuses {rate:.1%} of MNIST's validation digits."
DRAWN_REJECT_RATE = " It refuses {rate:.1%} of digits that simulated hands drew."
NO_SCORE = "This model has no score that tells digits from other drawings."

# The views
VIEW = "View"
VIEWS = {
    "input": "Network input",
    "occlusion": "Occlusion map",
    "neighbors": "Nearest training digits",
    "backends": "Backends compared",
    "torch": "Backends with torch",
}
VIEW_EMPTY = "Draw a digit first."
BACKENDS_HEAD = ("backend", "prediction", "probability", "score", "time", "bytes")
BACKENDS = (
    "The same trained network in each registered form. The time is the median of {runs} runs on "
    "this image, on one thread of this machine."
)
ONE_BACKEND = (
    "This model has no other registered form. To export one: "
    "python export/to_onnx.py --precision int8 --out int8.onnx"
)

# Examples and mistakes
EXAMPLES = "Examples from MNIST's test set"
EXAMPLE = "Example: test digit {label}"
CORRECTION = "Correct this prediction"
MISTAKES = "Worst mistakes on the test set"

# Feedback
CORRECT_LABEL = "Correct label"
SAVE = "Save correction"
SAVED = (
    "Saved on this machine: predicted {pred}, correct label {label}. Corrections saved: {count}. "
    "To list, export or score them: python -m experiments.feedback"
)
