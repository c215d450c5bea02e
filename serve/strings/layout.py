"""The page around the tabs."""

TITLE = "Gates and digits"
DIGIT, GATE, LEARN, MODEL = "Digit", "Gate", "Learn", "Model"
SERVED_MODEL = "Served model"
SERVED = "Served models"
SWITCHES = "Appearance"
SWITCH = (  # name, label, explanation
    ("projector", "Large type", "Larger type, for a projector"),
    ("dark", "Dark", "Dark background"),
)
SERVING = "Serving {title}."
IGNORED = "Ignored from the environment: {names}. The options of serve/app.py decide."
OPEN = "Open {url} (stop with Ctrl-C)"
