"""A gate's training as an animated GIF: decision surface, loss and weights."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from experiments.evaluation.arrays import Array
from experiments.figures.analysis.gate_slices import Slice
from experiments.figures.analysis.gates import Weights, take
from experiments.figures.plots import mlp_diagram, style, surface_grid
from experiments.figures.spec import Animation

LEVELS = 27  # flat steps of the surface's colour: they compress well
FRAME_S, LAST_FRAME_S = 0.1, 1.5
COLORS = 128  # of the GIF


def animate(
    label: str,
    epochs: Sequence[int],
    loss: Float[Array, " T"],
    cut: Slice,
    probability: Float[Array, "T S S"],
    weights: Weights,
    plane: Weights,
    since: int | None,
) -> Animation:
    """Return one gate's training, a frame for each recorded epoch.

    Args:
        label: name of the gate.
        loss: in nats.
        cut: the slice on which the surface is.
        probability: of a 1, from `gates.surfaces`.
        weights: of networks of shape (T,).
        plane: the same on the slice.
        since: the epoch from which on every row is correct, None for never.
    """
    title = f"{label}: {surface_grid.learned(since)}"
    fig = style.figure(8.2, 3.5, title)
    fig.set_layout_engine("constrained", w_pad=0.1)
    canvas = FigureCanvasAgg(fig)
    panels = fig.subplots(1, 3, width_ratios=(1, 0.9, 1.15))
    surface, curve, network = panels
    units = mlp_diagram.strongest(weights["weight2"][-1])
    hidden = weights["bias1"].shape[-1]
    largest: style.Look = {
        f"max_{kind}": max(float(abs(weights[f"{kind}{i}"]).max()) for i in (1, 2))
        for kind in ("weight", "bias")
    }

    # 1. What does not move.
    style.tidy(surface, " ", *cut.axes)
    _draw_loss(style.tidy(curve, " ", "epoch", "loss (nats)"), epochs, loss, since)
    style.bare(network, "vermilion: positive weight;\nblue, dashed: negative")
    some = f"{len(units)} of {hidden} hidden units\n" if hidden > len(units) else ""
    network.set_xlabel(f"{some}colour of a neuron: its bias", fontsize=10)
    still = {artist for axes in panels for artist in axes.get_children()}

    def draw(i: int) -> list[Artist]:
        """Draw what moves, at recorded epoch `i`; return its artists from back to front."""
        image = surface_grid.draw_surface(surface, probability[i], cut.target, take(plane, i))
        image.set(cmap=style.DIVERGING.resampled(LEVELS), interpolation_stage="data")
        curve.plot(epochs[i], loss[i], "o", color=style.VERMILION, ms=9)
        where: style.Look = {"transform": curve.transAxes, "ha": "center", "fontweight": "bold"}
        text = f"epoch {epochs[i]}, loss {style.two_digits(loss[i])}"
        curve.text(0.5, 1.03, text, fontsize=11, **where)
        mlp_diagram.draw_network(network, take(weights, i), units, size=260, **largest)
        moving = [a for axes in panels for a in axes.get_children() if a not in still]
        return sorted(moving, key=lambda artist: artist.get_zorder())

    # 2. The layout and the background, drawn once.
    for artist in draw(0):
        artist.remove()
    canvas.draw()
    background = canvas.copy_from_bbox(fig.bbox)
    # 3. Each frame is the background and what moves.
    frames = []
    for i in range(len(epochs)):
        canvas.restore_region(background)
        for artist in draw(i):
            fig.draw_artist(artist)
            artist.remove()
        frames.append(np.array(canvas.buffer_rgba())[..., :3])
    return Animation(title, gif(frames))


def _draw_loss(
    axes: Axes, epochs: Sequence[int], loss: Float[Array, " T"], since: int | None
) -> None:
    """Draw the loss over all epochs, and the epoch from which on every row is correct."""
    axes.plot(epochs, loss, color=style.GREY, lw=2)
    axes.set_xscale("symlog", linthresh=1)
    axes.set_yscale("log")
    axes.set_ylim(10 ** np.floor(np.log10(max(loss.min(), 1e-12))), 1.4 * loss.max())
    axes.set_xlim(-0.2, max(epochs[-1], 1) * 1.3)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.minorticks_off()
    if since:
        axes.axvline(since, color=style.GREEN, linestyle="--", lw=1.5)
        look: style.Look = {"color": style.GREEN, "ha": "right", "va": "bottom", "rotation": 90}
        axes.text(since * 0.88, 0.03, "all correct", transform=axes.get_xaxis_transform(), **look)


def gif(frames: Sequence[UInt8[Array, "height width 3"]]) -> bytes:
    """Return pictures as a GIF that loops for ever."""
    # One palette for all, from some of them: a pixel that stays is left out of the next frame.
    some = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 5)]))
    palette = some.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE)
    first, *rest = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    )
    duration = [round(1000 * FRAME_S)] * len(rest) + [round(1000 * LAST_FRAME_S)]
    options: style.Look = {"append_images": rest, "duration": duration, "loop": 0, "optimize": True}
    raw = BytesIO()
    first.save(raw, "GIF", save_all=True, **options)
    return raw.getvalue()
