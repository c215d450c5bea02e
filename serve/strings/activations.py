"""The views of the Digit tab."""

# Network input
STEPS = (
    ("Drawing", "the drawing, its strokes framed"),
    ("Cropped to its strokes", "the strokes within the frame"),
    ("Pen of 1.25 pixels, longer side of 20", "the strokes at 20 pixels"),
    ("Centre of mass moved to the centre of 28 × 28", "the 28 by 28 pixels of the network's input"),
)
INPUT = "The last image is the network's input: 784 values from 0, background, to 255, ink."
SIZE = "{width} × {height} pixels"

# A number
NUMBER = "Predicted number: {number}"
PART_ALT = "digit {position} of {count}, as the network's input"

# Occlusion map
OCCLUSION = (
    "A patch of 5 × 5 pixels is erased at each position. The colour shows how much the log-odds of "
    "the prediction fall: full colour is {limit:.1f}."
)
OCCLUSION_ALT = "the network's input, its ink coloured by its importance for the prediction"
FOR, NEUTRAL, AGAINST = "for the prediction", "no effect", "against it"

# Training digits and mistakes
PROGRESS = "Computing the features of the training digits, once for this model: {done:.0%}"
NEIGHBORS = (
    "The training digits with the nearest features: the activations of the hidden layer, or the "
    "votes of a circuit's gates, compared by cosine distance. 0 is the same direction."
)
NEIGHBOR_ALT = "training digit {index}, label {label}"
NEIGHBOR = "index {index}<br>distance {distance:.3f}"
MISTAKES = (
    "The misclassified test digits with the most probable predictions: label → prediction, and its "
    "probability. Choose one to open it on the canvas."
)
NO_MISTAKES = "This model makes no mistake on the test set."
MISTAKE = "test digit {index}: label {label}, prediction {pred} with probability {prob:.0%}"
MISTAKE_SHORT = "{label} → <b>{pred}</b><br>{prob:.1%}"
