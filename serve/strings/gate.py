"""The texts of the Gate tab; names in braces are filled in."""

INTRO = (
    "Drag the ring to change the input, edit a weight, define your own gate in the truth table, "
    "train it."
)
OWN = "your own gate"
NAMES = {"parity3": "parity3 (xor)", "parity4": "parity4 (xor)"}
GROUPS = {1: "One input", 2: "Two inputs", 3: "Three inputs", 4: "Four inputs"}

# Fixed texts of playground.html.
FRAME = {
    "intro": INTRO,
    "gate": "Gate",
    "source": "Network",
    "served": "Registered",
    "trained": "Trained here",
    "hidden": "Hidden units (1 to {max_hidden})",
    "activation": "Activation",
    "start": "Initialisation (1 to {starts})",
    "train": "Train",
    "another": "Next initialisation",
    "failing": "Failed initialisation",
    "surface": "Decision surface",
    "surface_legend": "Blue: 0. White: undecided. Orange: 1. Dashed lines: a hidden unit's sum is "
    "zero. Drag the ring, or focus it and use the arrow keys.",
    "ring": "Current input",
    "diagram": "Network and activations",
    "diagram_legend": "Lines are weights: orange and solid above 0, blue and dashed below 0, wider "
    "if larger. Nodes show the activations for this input. Click a line or a node to edit it.",
    "weight": "Weight",
    "value": "Value (−{max_weight} to {max_weight})",
    "slider": "Value, as a slider",
    "restore": "Undo edits",
    "table": "Truth table",
    "table_legend": "Click an output to change the gate, or a row to set the input.",
    "history": "Training history",
    "curve": "Loss per epoch",
    "epoch": "Epoch",
    "play": "Play",
    "pause": "Pause",
    "no_history": "Press Train to train this network here, then play or scrub its history.",
    "starts": "Initialisations that learned every row",
    "starts_legend": "One square per initialisation: filled if it learned every row, ringed if it "
    "is the one shown. Click a square to show it.",
}
# Texts that the scripts fill in as the state changes.
WORDS = {
    "answer": "{inputs} → {gate}: {output} (probability of 1: {probability})",
    "input": "Input {name}",
    "output_head": "{gate}",
    "network_head": "network",
    "check_head": "correct?",
    "toggle": "Output for {row}: {value}. Change it",
    "row": "Set the input to {row}",
    "rows_right": "{right} of {rows} rows correct.",
    "served": "Registered network {title}: {hidden} hidden units, {activation}.",
    "untrained": "this network",
    "not_served": "The registered model does not have this gate, so it is trained here.",
    "stale": "The network shown was not trained on this table. Press Train.",
    "edited": "With edited weights.",
    "linked": "The network is from the link.",
    "training": "Training ...",
    "result": "Initialisation {start} learned {right} of {rows} rows.",
    "success_rate": "{percent} % of {starts} initialisations learned all rows "
    "(95 % interval: {low} to {high} %).",
    "epoch": "epoch {epoch}: loss {loss}, {right} of {rows} rows correct",
    "held": "The other inputs are fixed at {inputs}.",
    "few": "Of {all} hidden units, the {shown} with the largest weights are drawn.",
    "hidden": "h{index}",
    "out": "out",
    "edge": "weight {source} → {target}",
    "bias": "bias of {node}",
    "failed": "The server did not respond; try again.",
    "loss": "loss",
    "epochs": "epochs",
    "play": FRAME["play"],
    "pause": FRAME["pause"],
    "own": OWN,
}

CIRCUIT_NAMES = {
    "half_adder": "Half adder",
    "full_adder": "Full adder",
    "multiplier": "2-bit multiplier",
}
# Fixed texts of circuits.html.
CIRCUIT_FRAME = {
    "title": "Circuits of trained gates",
    "intro": "Each gate is a trained network. Its output is 1 if its probability is above one "
    "half, and is the input of the next gate. Switch the inputs.",
    "circuit": "Circuit",
    "inputs": "Inputs",
    "diagram": "Diagram of the circuit with its signals",
    "rows": "All rows of the circuit",
    "diagram_legend": "Orange and solid: 1. Blue and dashed: 0.",
}
CIRCUIT_WORDS = {
    "sum": "{question} = {answer}",
    "right": "correct",
    "wrong": "wrong: it is {expected}",
    "all_right": "All {rows} rows correct.",
    "some_wrong": "{right} of {rows} rows correct.",
    "switch": "{name} = {value}",
    "question_head": "operation",
    "answer_head": "circuit",
    "check_head": "correct?",
    "in_words": "{name}: {inputs} give {outputs}",
}
ALL_SERVED = "All gates are from the registered model {title}."
SOME_TRAINED = "The registered model {title} lacks {gates}, so these are trained here, in numpy."
ALL_TRAINED = "No registered model is available: all gates are trained here, in numpy."
