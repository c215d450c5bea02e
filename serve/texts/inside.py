"""What the Digit tab says of the inside of the network."""

# Layers
CONVOLUTION = "Convolution {place}"
ACTIVATION = "Activation {place} ({function})"
HIDDEN = "Hidden layer"
OUTPUTS = "The eleven outputs"
NO_GRAPH = (
    "This model cannot be looked into: expected an ONNX graph with the one input image, "
    "found {found}; export it anew with python export/to_onnx.py."
)
ELSE, INPUTS = "something else", "the inputs {names}"
NO_FEATURES = (
    "This model ends in no matrix product, so that its hidden layer is not to be had; "
    "serve one that python export/to_onnx.py wrote."
)

# All of MNIST
NO_MNIST = (
    "MNIST is not on this machine, so there are no training digits to show; "
    "any training fetches it, and MNIST_DIR may name a folder with its four files."
)
OTHER_MNIST = (
    "This model was trained on other digits than those on this machine "
    "({theirs}, here {ours}), so its training digits cannot be shown; "
    "name their folder in MNIST_DIR."
)
WIDE = (
    "This model's hidden layer has {found} units, more than the {most} for which "
    "the page keeps all training digits in memory; serve a narrower one."
)
FAILED = (
    "The training digits could not be read for this model ({why}); "
    "python -m serve.digit.study {path} tells more."
)
EARLY, EXIT = "it ended early", "exit code {code}"
NOT_YET = "The training digits are not read yet for this model; ask again in a minute."
PROGRESS = "Reading the 55,000 training digits once for this model: {done:.0%}"

# From the drawing to 28x28
STEPS = (
    ("Drawing", "the drawing, its ink framed"),
    ("Cropped to its ink", "the ink within the frame"),
    ("Longer side scaled to 20 pixels", "the ink in 20 pixels"),
    ("Centre of mass in the middle of 28 × 28", "the 28 by 28 pixels the network saw"),
)
STRIP = "The last picture is all that the network saw: 784 numbers from 0, paper, to 255, ink."
SIZE = "{width} × {height} pixels"

# Feature maps
CHANNELS = "{count} channels of {width} × {height}"
UNITS = "{count} units"
LAYER_ALT = "{words}: {shape}, from {low:.1f} to {high:.1f}"
MAPS = (
    "What each layer makes of the picture, from the first to the last; "
    "orange is above zero, white is zero, blue is below. Each layer has its own scale."
)
LIMIT = "full colour: ±{limit:.1f}"
NONE = "none"
LOGITS = (
    "One for each digit, and one that it is none. The score compares the ten with the last; "
    "below its threshold the picture is refused."
)

# Which ink mattered
OCCLUSION = (
    "A patch of 5 × 5 pixels is wiped at each place that holds ink: the colour tells how much "
    "less sure of its answer the network then is. Full colour is {limit:.1f} in the logarithm of "
    "the odds."
)
OCCLUSION_ALT = (
    "the picture, its ink coloured: most for the answer {place_for}, most against {place_against}"
)
PLACES = (
    ("top left", "top", "top right"),
    ("left", "in the middle", "right"),
    ("bottom left", "bottom", "bottom right"),
)
NOWHERE = "nowhere"
FOR, NEITHER, AGAINST = "speaks for the answer", "makes no difference", "speaks against it"

# Training digits and mistakes
NEIGHBOURS = (
    "The training digits that the network finds most alike: those whose hidden layer is nearest "
    "by the cosine of the angle. 0 is the same direction."
)
NEIGHBOUR_ALT = "training digit number {index}, labelled {label}"
NEIGHBOUR = "number {index:,}<br>distance {distance:.3f}"
MISTAKES = (
    "The test digits that this model gets most wrong, the surest wrong answers first. "
    "Choose one to put it on the paper."
)
NO_MISTAKES = "This model makes no mistake on the test set."
MISTAKE = "test digit {index}: a {label}, read as {said} with {share:.0%}"
MISTAKE_SHORT = "{label} read as <b>{said}</b><br>{share:.1%}"

# A number
NUMBER = "Read as {number}, digit by digit:"
PART_ALT = "part {place} of {count}, as the network saw it"
REFUSED = "no digit"
UNKNOWN = "?"
