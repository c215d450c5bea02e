"""Numbers to HTML and SVG: bars, the picture the network saw, tables, decision surfaces.

Colours are safe for colour-blind eyes and the same as in the project's figures.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

ZERO, ONE, PAPER = (0, 114, 178), (213, 94, 0), (247, 247, 247)

LEGEND = "Blue: 0. White: undecided. Orange: 1. Ring: the switches as they are now."
CSS = """
.answer { font-size: 1.1rem; margin: .2rem 0 .6rem; }
.answer b { font-size: 2.2rem; margin: 0 .4rem; }
.bars { display: grid; grid-template-columns: 2rem 1fr 4rem; gap: .3rem .6rem; }
.bars .track { background: color-mix(in srgb, currentColor 10%, transparent); height: 1.3rem; }
.bars .bar { background: #0072B2; height: 100%; }
.bars .bar.top { background: #D55E00; }
.bars .share { text-align: right; font-variant-numeric: tabular-nums; }
.seen img { width: 224px; height: 224px; image-rendering: pixelated; border: 1px solid #888; }
.seen .blank { width: 224px; height: 224px; border: 1px dashed #888; }
.rows { max-height: 22rem; overflow-y: auto; }
.rows table { border-collapse: collapse; width: 100%; }
.rows th, .rows td { padding: .3rem .7rem; text-align: center; font-variant-numeric: tabular-nums; }
.rows tr.present { outline: 2px solid #E69F00; outline-offset: -2px; font-weight: bold; }
.surface svg { width: 100%; max-width: 480px; }
.surface text { fill: currentColor; font-size: 15px; }
"""


def bars(labels: Sequence[str], probabilities: np.ndarray | None, *, refused: bool = False) -> str:
    """Return the answer and a bar for each label, in the labels' order; None: nothing yet.

    Args:
        refused: whether the network takes it for none of the labels.
    """
    shares = np.zeros(len(labels)) if probabilities is None else probabilities
    top = int(shares.argmax())
    head = "Draw a digit, and the answer appears here."
    if probabilities is not None:
        head = f"This is a <b>{html.escape(labels[top])}</b> with {shares[top]:.1%}"
    if refused:
        head = f"This looks like <b>no digit</b>; if it is one, then a {html.escape(labels[top])}"
    rows = "".join(
        f'<span>{html.escape(label)}</span><div class="track"><div class="bar'
        f'{" top" if probabilities is not None and index == top and not refused else ""}" '
        f'style="width:{share:.2%}"></div></div><span class="share">{share:.1%}</span>'
        for index, (label, share) in enumerate(zip(labels, shares, strict=True))
    )
    return f'<div class="answer" aria-live="polite">{head}</div><div class="bars">{rows}</div>'


def picture(image: np.ndarray | None) -> str:
    """Return the picture that the network saw, uint8 [28, 28], enlarged; None: a blank frame."""
    shown = '<div class="blank"></div>'
    if image is not None:
        shown = f'<img alt="the 28 by 28 pixels the network saw" src="{_png(image)}">'
    return f'<div class="seen"><p>What the network saw: 28 × 28 pixels</p>{shown}</div>'


def gate_answer(gate: str, names: Sequence[str], switches: Sequence[bool], share: float) -> str:
    """Return the output of `gate` for these switches; `share` is the probability of a 1."""
    given = ", ".join(f"{name} = {int(on)}" for name, on in zip(names, switches, strict=True))
    return (
        f'<div class="answer" aria-live="polite">{given} → {html.escape(gate)} says '
        f"<b>{int(share > 0.5)}</b> (probability of a 1: {share:.3f})</div>"
    )


def truth_table(
    gate: str,
    names: Sequence[str],
    rows: np.ndarray,
    truth: Sequence[int],
    probabilities: np.ndarray,
    present: int,
) -> str:
    """Return the truth table with the network's probability in each row.

    Args:
        rows: int [2^n, n], the inputs.
        truth: the gate's true output of each row.
        probabilities: float [2^n], of a 1.
        present: the row that the switches are in.
    """
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        f'<tr class="{"present" if index == present else ""}">'
        + "".join(f"<td>{value}</td>" for value in row)
        + f"<td>{target}</td><td>{share:.3f}</td><td>{'✓' if (share > 0.5) == target else '✗'}</td>"
        + "</tr>"
        for index, (row, target, share) in enumerate(zip(rows, truth, probabilities, strict=True))
    )
    return (
        f'<div class="rows"><table><tr>{head}<th>{html.escape(gate)}</th>'
        f"<th>network: probability of a 1</th><th></th></tr>{body}</table></div>"
    )


def surface(
    gate: str,
    names: Sequence[str],
    probabilities: np.ndarray,
    extent: tuple[float, float],
    corners: Mapping[tuple[int, int], int],
    switches: Sequence[bool],
) -> str:
    """Return the decision surface with its four corners and the present input ringed, as SVG.

    Args:
        probabilities: float [S, S] of a 1; the first input grows to the right, the second upwards.
        extent: the lowest and the highest value of both inputs.
        corners: (a, b) -> true output.
        switches: the present inputs, the first two of which are the axes.
    """
    low, high = extent
    side, left, top = 360, 60, 34

    def place(a: float, b: float) -> tuple[float, float]:
        scale = side / (high - low)
        return left + (a - low) * scale, top + side - (b - low) * scale

    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="11" fill="rgb{ONE if one else ZERO}" '
        f'stroke="white" stroke-width="2.5"><title>{a}, {b}: {one}</title></circle>'
        for (a, b), one in corners.items()
        for x, y in [place(a, b)]
    )
    x, y = place(*map(float, switches[:2]))
    ticks = "".join(
        f'<text x="{place(v, low)[0]:.1f}" y="{top + side + 20}" text-anchor="middle">{v}</text>'
        f'<text x="{left - 10}" y="{place(low, v)[1] + 5:.1f}" text-anchor="end">{v}</text>'
        for v in (0, 1)
    )
    title = f"{html.escape(gate)}: where the network says 1"
    held = [f"{name} = {int(on)}" for name, on in zip(names[2:], switches[2:], strict=True)]
    rest = f" The other inputs are held at {', '.join(held)}." if held else ""
    ring = f'cx="{x:.1f}" cy="{y:.1f}" r="18" fill="none"'
    return f"""<div class="surface"><svg viewBox="0 0 440 445" role="img"
aria-label="decision surface of {html.escape(gate)}">
<text x="{left + side / 2}" y="20" text-anchor="middle">{title}</text>
<image href="{_png(_colour(probabilities))}" x="{left}" y="{top}" width="{side}" height="{side}"
preserveAspectRatio="none"/>{dots}
<circle class="present" {ring} stroke="black" stroke-width="6"/>
<circle {ring} stroke="#F0E442" stroke-width="3"/>{ticks}
<text x="{left + side / 2}" y="{top + side + 42}" text-anchor="middle">{names[0]}</text>
<text x="{left - 38}" y="{top + side / 2}">{names[1]}</text>
</svg><p>{LEGEND}{rest}</p></div>"""


def _colour(share: np.ndarray) -> np.ndarray:
    """Return probabilities [H, W] as colours, uint8 [H, W, 3]: blue, white at 0.5, orange."""
    ends = np.where(share[..., None] > 0.5, np.array(ONE), np.array(ZERO))
    strength = np.abs(share[..., None] - 0.5) * 2
    return (np.array(PAPER) * (1 - strength) + ends * strength).round().astype(np.uint8)


def _png(pixels: np.ndarray) -> str:
    """Return uint8 [H, W] or [H, W, 3] as the address of a PNG that is part of the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
