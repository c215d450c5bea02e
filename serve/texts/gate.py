"""The Gate tab's English; what stands in braces is filled in."""

INTRO = (
    "A logic gate, learned by a network so small that all of it can be seen. Drag the ring, bend "
    "a weight, click the truth table to make a gate of your own, and train it here."
)
OWN = "your own gate"
NAMES = {"parity3": "parity3 (xor)", "parity4": "parity4 (xor)"}
GROUPS = {1: "One input", 2: "Two inputs", 3: "Three inputs", 4: "Four inputs"}

# Fixed words of the tab's frame (serve/gate/lab.html).
FRAME = {
    "gate": "Gate",
    "source": "Network",
    "served": "Registered",
    "trained": "Trained here",
    "hidden": "Hidden units (1 to {most_hidden})",
    "activation": "Activation",
    "start": "Start (1 to {starts})",
    "train": "Train",
    "another": "Another start",
    "unlucky": "One that fails",
    "surface": "Where it says 1",
    "surface_legend": "Blue: 0. White: undecided. Orange: 1. Dashed: where a hidden unit's sum is "
    "zero. Drag the ring, or focus it and use the arrow keys.",
    "plot": "Decision surface",
    "ring": "Present input",
    "diagram": "The network and this input",
    "diagram_legend": "Line: a weight, orange and solid above 0, blue and dashed below; the wider, "
    "the larger. In the nodes: what this input makes of them. Click a line or a node to edit.",
    "weight": "Weight",
    "value": "Its value (−{most_weight} to {most_weight})",
    "slider": "Its value, as a slider",
    "restore": "Undo edits",
    "table": "Truth table",
    "table_legend": "Click an output to change the gate, or a row to set the input.",
    "course": "Its training",
    "curve": "Loss over the epochs",
    "epoch": "Epoch",
    "play": "Play",
    "pause": "Pause",
    "no_course": "Press Train: the network learns here, and its course can be played and scrubbed.",
    "luck": "Which starts learned every row",
    "luck_legend": "A square for each start: filled if it learned every row, ringed if it is the "
    "one shown. Click one to see it.",
}
# What lab.js says as things change.
WORDS = {
    "answer": "{inputs} → {gate} says {output} (probability of a 1: {probability})",
    "input": "Input {name}",
    "output_head": "{gate}",
    "network_head": "network",
    "check_head": "right?",
    "toggle": "Output for {row}: {value}. Change it",
    "row": "Set the input to {row}",
    "rows_right": "{right} of {rows} rows right.",
    "served": "Registered network {title}: {hidden} hidden units, {activation}.",
    "untrained": "this network",
    "not_served": "The registered model has no such gate: it is trained here.",
    "stale": "The network shown was not trained on this table. Press Train.",
    "edited": "With edited weights.",
    "training": "Training ...",
    "result": "Start {start} learned {right} of {rows} rows.",
    "luck": "Of {starts} starts of this kind {share} % learn all rows ({low} to {high} %).",
    "epoch": "epoch {epoch}: loss {loss}, {right} of {rows} rows right",
    "held": "The other inputs are held at {inputs}.",
    "few": "Of {all} hidden units the {shown} of the largest weights are drawn.",
    "hidden": "h{index}",
    "out": "out",
    "edge": "weight {source} → {target}",
    "bias": "bias of {node}",
    "failed": "The page's server did not answer; try again.",
    "loss": "loss",
    "epochs": "epochs",
    "play": FRAME["play"],
    "pause": FRAME["pause"],
    "own": OWN,
}

CIRCUITS = "Circuits of learned gates"
CIRCUITS_INTRO = (
    "Each gate is a trained network: it says 1 if its probability is above one half, and that is "
    "the next one's input. Switch the inputs."
)
CIRCUIT_NAMES = {
    "half_adder": "Half adder",
    "full_adder": "Full adder",
    "multiplier": "2-bit multiplier",
}
CIRCUIT_FRAME = {
    "circuit": "Circuit",
    "inputs": "Inputs",
    "diagram": "Diagram of the circuit with its signals",
    "rows": "Every row of the circuit",
    "diagram_legend": "Orange and solid: 1. Blue and dashed: 0.",
}
CIRCUIT_WORDS = {
    "sum": "{question} = {answer}",
    "right": "right",
    "wrong": "wrong: it is {expected}",
    "all_right": "All {rows} rows right.",
    "some_wrong": "{right} of {rows} rows right.",
    "switch": "{name} = {value}",
    "question_head": "question",
    "answer_head": "circuit",
    "check_head": "right?",
    "in_words": "{name}: {inputs} give {outputs}",
}
ALL_SERVED = "All gates are those of the registered model {title}."
SOME_TRAINED = "The registered model {title} lacks {gates}: trained here, in numpy, instead."
ALL_TRAINED = "No registered model is at hand: all gates were trained here, in numpy."

NO_GRAPH = (
    "{title} runs on torch, and its weights are drawn from an ONNX file only: choose its ONNX "
    "version to see it, or train a network here."
)
NOT_A_BANK = (
    "{title} is no bank of one-hidden-layer networks that can be drawn here; a network can still "
    "be trained here."
)
TOO_LARGE = (
    "{title} has {weights} weights, more than the {most} that can be drawn here; a network can "
    "still be trained here."
)
NO_GATES = "model: expected one of gates, found {title}; choose a gate model."
UNKNOWN_GATE = "gate: expected one of {gates}, found {found}."
NOT_A_LIST = "inputs: expected a list of {count} numbers, found {found}."
WRONG_COUNT = "inputs: expected {count} numbers for {gate}, found {found}."
NOT_A_NUMBER = "inputs: expected numbers from {low:g} to {high:g}, found {found}."
BAD_TABLE = "table: expected 2, 4, 8 or 16 outputs of 0 and 1, found {found}."
BAD_SETTING = "{name}: expected {expected}, found {found}."
WHOLE = "a whole number from {low} to {high}"
