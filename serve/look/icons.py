"""The page's icons: each file of icons/ as a CSS variable, drawn in the colour of the text."""

from pathlib import Path
from urllib.parse import quote

FOLDER = Path(__file__).parent / "icons"


def css() -> str:
    """Return the variable --icon-NAME of each file NAME.svg, and a class glyph-NAME that has it."""
    files = sorted(FOLDER.glob("*.svg"))
    variables = [f'  --icon-{file.stem}: url("data:{_data(file)}");' for file in files]
    classes = [f".glyph-{file.stem} {{ --icon: var(--icon-{file.stem}); }}" for file in files]
    return "\n".join([":root {", *variables, "}", *classes])


def _data(file: Path) -> str:
    return f"image/svg+xml,{quote(file.read_text('utf-8').strip())}"
