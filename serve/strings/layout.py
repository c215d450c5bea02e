"""The page around the tabs."""

TITLE = "Gates and digits"
LEAD = "Small neural networks for logic gates and handwritten digits, and views into them."
DIGIT, GATE, MODEL = "Digit", "Gate", "Model"
SERVING = "Serving {title}."
IGNORED = "Ignored from the environment: {names}. The options of serve/app.py decide."
OPEN = "Open {url} (stop with Ctrl-C)"
SERVED_MODEL = "Served model"
