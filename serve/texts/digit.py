"""The Digit tab."""

PAD = {
    "tools": "Drawing tools",
    "pen": "Pen",
    "eraser": "Eraser",
    "undo": "Undo",
    "clear": "Clear",
    "wide": "Wide paper",
    "wide_why": "Room for several digits side by side, read as a number",
    "width": "Pen width",
    "width_label": "Width of the pen, in pixels of the paper",
    "canvas": "Paper: draw a digit",
    "how": "Ways to draw",
    "keys": "Draw with mouse, finger or pen. By keyboard: arrows move the pen, Space puts it down "
    "and lifts it, Ctrl+Z undoes, Delete clears.",
    "upload": "Open a picture",
    "upload_hint": "A picture can also be dropped here or pasted: dark on light or light on dark, "
    "a photo of paper, too.",
    "too_large": "This file has more than {megabytes} MB; choose a smaller picture.",
}
NO_PICTURE = (
    "This file is no picture that can be read; try a JPEG of at most {jpeg} megapixels, "
    "or a PNG of at most {most}."
)
BUSY = "Other large pictures are being read; try again in a few seconds, or a smaller one."
NOTHING = "Draw a digit, and the answer appears here."
BLANK = "There is <b>no ink</b> here: the picture is blank, or all paper."
TOO_LITTLE = "That is <b>too little ink</b> to be a digit; draw it larger."
ANSWER = "This is {digit}, probability {share}"
MORE_THAN = "more than "
REFUSED = "This looks like <b>no digit</b>; if it is one, then {digit}"
NUMBER = "This reads as <b>{number}</b>"
NO_NUMBER = "?"
OF_SEVERAL = "The bars and the views below are of the least sure one, number {place} from the left."
BARS = "Probability of each digit, after calibration: {shares}"
ANSWERED = "Answered by {title}."
SCORE = (
    "Score {score:.2f}: how much more the network takes it for a digit than for none, as a "
    "logarithm of odds. Below {threshold:.2f} it is refused"
)
FALSE_REFUSALS = ", and so are {share:.1%} of MNIST's validation digits, by mistake."
NO_SCORE = "This model has no score to tell digits from anything else."
VIEW = "Look inside"
VIEWS = {
    "seen": "What it saw",
    "maps": "Feature maps",
    "ink": "Which ink mattered",
    "near": "Nearest training digits",
    "sides": "Side by side",
    "torch": "Side by side, with torch",
}
VIEW_NOTHING = "Draw something first."
NO_GRAPH = "This view looks into an ONNX graph; the model that is served is a torch program."
NO_SIBLINGS = (
    "Only this one form of the model is at hand. Registered versions have more: "
    "python export/to_onnx.py --precision int8 --out int8.onnx"
)
SIDES_HEAD = ("form", "says", "probability", "score", "time", "bytes")
SIDES = (
    "The same trained network in each form it is registered in; the time is the median of "
    "{runs} runs for this one picture, on one thread, on this machine now."
)
EXAMPLES = "Examples from MNIST's test set"
EXAMPLE = "Example: {digit} of the test set"
MISTAKES = "Show this model's worst mistakes on the test set"
CORRECT = "It was a ..."
NO_DIGIT = "no digit"
KEEP = "Keep this correction"
KEPT = (
    "Kept on this machine's disk: the model said {said}, you say {true}. Now {count}; "
    "python -m experiments.corrections lists, exports and scores them."
)
KEEP_ONE = "A correction is of one digit: draw it alone, then say what it was."
KEEP_WHAT = "Choose what it was, and draw something, before you keep a correction."


def a(label: str) -> str:
    """Return a digit, in bold or not, with its article."""
    return f"{'an' if label.removeprefix('<b>').startswith('8') else 'a'} {label}"
