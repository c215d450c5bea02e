"""The descriptions of the endpoints, in the list of them."""

ENDPOINTS = {
    "classify_digit": "Classify a handwritten digit in an image, dark on light or light on dark.",
    "evaluate_gate": "Evaluate a learned gate at any input values: the probability of 1.",
}
