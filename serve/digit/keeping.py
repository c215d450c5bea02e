"""Corrections, kept on this machine's disk: what was drawn, said and meant."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import corrected, hashes
from serve.digit.reading import Reading
from serve.predictor import Predictor
from serve.texts import digit as say


@dataclass(frozen=True)
class Keeper:
    """Writes corrections into a folder."""

    folder: Path

    def keep(self, ink: np.ndarray, read: Reading, true: str, predictor: Predictor) -> str:
        """Keep one; return a sentence that says so.

        Args:
            ink: uint8 [H, W], of one digit.
            read: what the model read from it.
            true: what a person says it is, in the page's words.

        Raises:
            UserError: it cannot be kept.
        """
        said = corrected.NONE if read.refused[0] else read.said[0]
        true = corrected.NONE if true == say.NO_DIGIT else true
        corrected.keep(
            ink,
            said=said,
            true=true,
            probability=float(read.shares[0]),
            score=float(read.outputs["score"][0]) if "score" in read.outputs else None,
            model=predictor.title,
            graph=hashes.of_bytes(predictor.graph) if predictor.graph else "",
            folder=self.folder,
        )
        count = sum(1 for _ in self.folder.glob("*.png"))
        text = say.KEPT.format(said=said, true=true, count=count)
        return f'<p role="status">{html.escape(text)}</p>'
