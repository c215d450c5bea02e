"""The view Circuit of the Digit tab; names in braces are filled in."""

# A gate's function by its truth table, ab = 00 first: name, symbols.
FUNCTIONS = (
    ("always 0", "0"),
    ("AND", "a ∧ b"),
    ("a and not b", "a ∧ ¬b"),
    ("a passed on", "a"),
    ("b and not a", "¬a ∧ b"),
    ("b passed on", "b"),
    ("XOR: exactly one", "a ⊕ b"),
    ("OR", "a ∨ b"),
    ("NOR: neither", "¬(a ∨ b)"),
    ("XNOR: both the same", "¬(a ⊕ b)"),
    ("not b", "¬b"),
    ("a or not b", "a ∨ ¬b"),
    ("not a", "¬a"),
    ("b or not a", "¬a ∨ b"),
    ("NAND: not both", "¬(a ∧ b)"),
    ("always 1", "1"),
)
# Fixed texts of circuit.html.
FRAME = {
    "map": "All gates of the circuit",
    "map_legend": "Every small square is a gate: orange is 1, blue is 0; strong if the ink has "
    "changed it, pale if it is the same on blank paper. Gates lie where their pixels lie on the "
    "paper; those of the last layer are votes, sorted into a bar for each class. Choose a class, "
    "or click any gate or pixel: lines lead back to its pixels, and on to the votes that depend "
    "on it.",
    "classes": "Classes and their votes",
    "tree": "One gate, back to the pixels",
    "tree_legend": "Orange and solid: 1. Blue and dashed: 0. Grey: not used by this function. "
    "Click a gate, or move with the arrow keys.",
    "vote": "Vote",
    "previous": "Previous vote",
    "next": "Next vote",
    "only": "only votes that are 1",
    "detail": "The chosen gate",
    "back": "Back",
}
WORDS = {
    "most": "Most votes: {label}, by {votes} of {all}; next {second}, {seconds}. "
    "{on} of all {gates} gates are 1.",
    "none": "no digit",
    "class": "{label}: {votes} of {all} votes",
    "pixels": "28 × 28 pixels",
    "layer": "layer {layer}: {gates} gates",
    "votes": "layer {layer}: {gates} votes",
    "place": "{place} of {all} for {label}",
    "gate": "Gate {gate} of layer {layer}",
    "vote": "Vote {gate} for {label}",
    "bit": "Pixel in row {row}, column {column}",
    "tree_label": "{name}: {function}. It is {value}.",
    "bit_label": "{name}: brightness {brightness}, brighter than {threshold}? It is {value}.",
    "function": "{name}: {symbols}",
    "formula": "In numbers: {formula}",
    "now_one": "It is 1.",
    "now_zero": "It is 0.",
    "vote_one": "It is 1: a vote for {label}.",
    "vote_zero": "It is 0: no vote for {label}.",
    "row": "present row",
    "output": "output",
    "inputs": "Its inputs",
    "input": "{side} = {value}: {name}",
    "unused": "{side} = {value}, not used: {name}",
    "readers": "Read by {count} gates",
    "reader": "Read by 1 gate",
    "no_readers": "No gate reads it.",
    "brightness": "Brightness {brightness} of 255. Is it brighter than {threshold}?",
    "yes": "Yes: 1.",
    "no": "No: 0.",
    "failed": "The server did not respond; choose the view again.",
    "blank": "A circuit of logic gates, on blank paper. Draw a digit to see its gates change.",
    "other": "Digits are also read by a circuit of logic gates.",
    "to_logic": "Switch to the circuit, {title}",
    "to_mnist": "Back to the network, {title}",
    "loading": "Reading the circuit ...",
}
