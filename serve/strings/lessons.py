"""Links, saved views and lessons; names in braces are filled in."""

# Fixed texts of tools.html.
FRAME = {
    "tools": "Links, pictures and lessons",
    "lessons": "Lessons",
    "copy": "Copy link",
    "copy_why": "A link that opens the page as it is now; nothing is sent to a server",
    "save": "Save view",
    "save_why": "A part of this tab as a PNG or SVG file",
    "address": "Link to the page as it is now",
    "close": "Close",
    "close_lessons": "Close the lessons",
    "no_views": "This tab has no view to save yet.",
    "unfold": "Show the answer",
    "all": "All lessons",
    "back": "Back",
}
# Texts that the scripts fill in.
WORDS = {
    "lessons": FRAME["lessons"],
    "next": "Next",
    "finish": "Finish",
    "step": "Step {step} of {steps}",
    "copied": "Link copied: {length} characters.",
    "copy_yourself": "The browser does not allow copying here: copy the link below with Ctrl+C.",
    "too_large": "This drawing is too large for a link; save the view as a picture instead.",
    "save_as": "{label} as {kind}",
    "saved": "Saved as {name}.",
    "failed": "That failed; the page keeps running, try again.",
    # Links that cannot be opened
    "link_foreign": "This link is not one of this page, so it was not opened.",
    "link_broken": "This link is cut off or changed, so it was not opened: copy it again in full.",
    "link_long": "This link is too long for one of this page, so it was not opened.",
    "link_invalid": "This link does not fit this page, so it was not opened: {fault}.",
    "no_tab": "This page has no tab {name}.",
    "no_part": "This page cannot show: {names}. The rest is shown.",
    "state": "the state",
    "expected_kind": "{name} must be of the kind {kind}",
    "expected_limit": "{name} does not keep to {keyword} {limit}",
    "expected_field": "{name} is missing",
    "unknown_field": "{name} is unknown",
    "expected_sizes": "the gate has {inputs} inputs, and x or the weights have another number",
}
# The parts of the page that a lesson's step can outline and that can be saved.
PARTS = {
    "surface": "Decision surface",
    "diagram": "Network and activations",
    "history": "Training history",
    "table": "Truth table",
    "circuit": "Circuit",
    "pad": "Drawing",
    "network": "Network",
    "arithmetic": "Arithmetic of a pixel",
    "gates": "Circuit that reads the digit",
    "answer": "Prediction",
    "view": "View",
    "architecture": "Architecture",
}
