"""The network under the pen, on the Digit tab."""

LAYERS = {
    "convolution": "Convolution {number}",
    "hidden": "Hidden layer",
    "outputs": "Logits",
}

# The steps of the walk, one sentence for each thing that happens. {low} is paper, {high} is ink.
STEPS = {
    "drawing": (
        "The drawing is cropped to its strokes, scaled to 20 pixels, and moved so that its centre "
        "of mass is the centre of 28 × 28 pixels: 784 numbers from 0 to 255."
    ),
    "normalise": (
        "Normalisation: each pixel less the mean of MNIST's pixels, {mean:.1f}, divided by their "
        "standard deviation, {std:.1f}. Paper becomes {low:.2f} (blue), ink up to {high:.2f} "
        "(orange)."
    ),
    "unshuffle": (
        "Pixel unshuffle: each square of 2 × 2 pixels becomes one pixel of {channels} channels, "
        "{side} × {side} each."
    ),
    "convolution": (
        "Convolution: {outputs} kernels of {side} × {side} slide over {channels}. At each place "
        "the pixels below a kernel are multiplied by its weights and added up: one pixel of a map."
    ),
    "hidden": (
        "Hidden layer: {outputs} units, each a weighted sum of all pixels of all {inputs} maps."
    ),
    "outputs": (
        "Logits: one weighted sum of the {inputs} hidden units for each class. The largest is the "
        "answer; softmax turns them into probabilities."
    ),
    "pool": "Max pooling: of {pool} × {pool} results only the largest is kept, then normalised.",
    "relu": "ReLU: what is negative becomes 0.",
    "gelu": "GELU: what is negative becomes almost 0.",
    "silu": "SiLU: what is negative becomes almost 0.",
    "tanh": "tanh: the result lies between -1 and 1.",
}
ONE_CHANNEL = "the image"
CHANNELS = "{inputs} channels at once"

FRAME = {
    "title": "The network under the pen",
    "walk": "Step through",
    "back": "Back",
    "next": "Next",
    "end": "Show all",
    "negative": "negative",
    "positive": "positive",
    "region": "The network, from the input on the left to the logits on the right",
    "pixel": "Pixel of the map; arrow keys move it",
    "unpin": "Unpin",
    "products": "Patch × kernel = product, for the channels with the largest sums",
    "arithmetic": "How this number is computed",
}

# In braces: filled in by the page's script.
WORDS = {
    "empty": "Draw a digit: every layer of the network shows what it computes from it.",
    "lit": "Lit: the strongest paths to {label}. Orange raises its logit, blue lowers it. Point at "
    "or tap a map to see how it is computed; click another class to light its paths.",
    "step": "Step {number} of {count}.",
    "strongest": "On this drawing map {map} responds most: up to {value}.",
    "strongest_unit": "On this drawing unit {map} responds most: {value}.",
    "answer": "On this drawing {label} has the largest: {value}.",
    "input": "Input",
    "input_note": "28 × 28 pixels",
    "channel": "Normalised",
    "channels": "Unshuffled",
    "maps": "{count} maps, {side} × {side}",
    "units": "{count} units",
    "classes": "{count} classes",
    "layer": "{title}: {note}. Arrow keys choose, Enter pins.",
    "map": "map {number} of {count}",
    "unit": "unit {number} of {count}",
    "class": "{label}",
    "adds": "adds {value} to the logit of {label}",
    "row_source": "input",
    "row_patch": "patch",
    "row_kernel": "kernel",
    "row_patch_unit": "activation",
    "row_kernel_unit": "weight",
    "row_product": "product",
    "pixel": "pixel {column}, {row}",
    "largest_is": "largest value {value}",
    "value_is": "value {value}",
    "sums": "{shown} of {count} channels with the largest sums",
    "sums_units": "{shown} of {count} units with the largest products",
    "others": "{count} others",
    "bias": "bias",
    "sum": "sum",
    "pool": "sum, the largest of {count}",
    "norm": "normalised: × {scale} {shift}",
    "temperature": "divided by the temperature: × {scale}",
    "relu": "ReLU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
    "outside": "zeros outside the map",
    "digits": "The test digits that excite unit {number} most:",
    "digit": "test digit {index}, label {label}: {value}",
    "digits_hint": "Press Enter or click a unit to see the test digits that excite it most.",
    "failed": "The page's server does not answer.",
}
PROGRESS = "Reading MNIST's digits once for this model: {done:.0%}"
SILENT = "No test digit excites this unit: it is 0 for all of them."
ROUNDED = (
    "This graph rounds between its layers ({precision}): sums agree with the network's values "
    "approximately."
)
