"""The page's files that are generated: the canvas as a graph, and ten example digits.

Run: python -m export.page_assets
"""

from pathlib import Path

import numpy as np
from PIL import Image

from experiments.core.files import write
from experiments.data import mnist
from export import preprocessing

TAB = Path(__file__).resolve().parents[1] / "serve" / "tabs" / "digit"
ENLARGED = 5  # pixels of an example picture for each pixel of MNIST


def canvas_graph() -> bytes:
    """Return the canvas as the bytes of an ONNX graph: canvas -> image, box, ink."""
    return preprocessing.export_preprocessing().SerializeToString()


def examples() -> dict[str, np.ndarray]:
    """Return name -> picture, uint8 [140, 140], ink on white: the first of each digit in test."""
    data = mnist.load()
    first = [int(np.flatnonzero(data.test_labels == digit)[0]) for digit in range(10)]
    block = np.ones((ENLARGED, ENLARGED), np.uint8)
    return {
        f"{digit}.png": 255 - np.kron(data.test_images[index], block)
        for digit, index in enumerate(first)
    }


def main() -> None:
    """Write the files into serve/tabs/digit/."""
    write(canvas_graph(), TAB / "canvas.onnx")
    (TAB / "examples").mkdir(exist_ok=True)
    for name, picture in examples().items():
        Image.fromarray(picture).save(TAB / "examples" / name, optimize=True)


if __name__ == "__main__":
    main()
