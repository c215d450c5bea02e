"""Pictures for the README and the gallery, kept small."""

from pathlib import Path

from experiments.paths import ROOT
from experiments.report_page import webp

IMAGES = ROOT / "docs" / "images"
WIDTH, QUALITY = 900, 88  # pixels, and WebP's measure: enough to read, small to keep


def shrink(png: bytes, target: Path) -> Path:
    """Keep a picture small, and return where: TARGET with another ending."""
    kept = target.with_suffix(".webp")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(webp(png, WIDTH, QUALITY))
    return kept
