"""Where things stand on disk: one root for scripts, MLflow's store and the data cache."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MNIST_CACHE = ROOT / "data" / "mnist"
STORE = ROOT / "mlflow.db"  # MLflow's, unless MLFLOW_TRACKING_URI names another
STATE = ROOT / "state"  # unfinished work, and the journals of named studies
CORRECTIONS = ROOT / "data" / "corrections"  # what people drew, and say that it was
DRAWINGS = ROOT / "tests" / "data"  # digits and letters in strokes, drawn for this project
ALBUM = "album"  # name of the folder of a fit's moments: for pictures, and nothing to go on from
