"""The frames of a gate's replay: the still parts are drawn once, the moving ones in each frame."""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

from experiments.plots import gate_network, gate_planes, style

LEVELS = 27  # flat steps of the surface's colour: clean with few colours, and they pack well
MOST_BYTES = 600_000
SECONDS, HOLD = 0.1, 1.5  # of a frame and of the last one
THICKEST = 6.0  # line width of the greatest weight of the whole training, in points


class Film:
    """One figure, drawn once; `frame` draws what moves onto it.

    Args:
        label: name of the gate.
        title: the finding.
        weights: of all steps, as in `gate_learning.replay`.
        cut: name of the surface's plane, "a, b" or "a, b | c=1".
    """

    def __init__(self, label: str, title: str, weights: Mapping[str, np.ndarray], cut: str) -> None:
        self.weights = weights
        self.kept = gate_planes.strongest(weights["weight2"][-1])
        made = style.figure(8.2, 3.5, title)
        made.set_layout_engine("constrained", w_pad=0.1)
        self.canvas = FigureCanvasAgg(made)
        self.surface, self.curve, self.net = made.subplots(1, 3, width_ratios=(1, 0.9, 1.15))
        pair, _, rest = cut.partition(" | ")
        first, second = pair.split(", ")
        style.tidy(self.surface, " ", f"input {first}" + f"  ({rest})" * bool(rest), second)
        self.surface.set_ylabel(f"input {second}")
        self.moving: list[Artist] = []
        self.background = None
        self._prepare_net()

    def draw_loss(self, steps: Sequence[int], loss: np.ndarray, since: int | None) -> None:
        """Draw the curve of the loss, float [T], over all steps."""
        axes = style.tidy(self.curve, " ", "epoch", "loss (nats)")
        axes.plot(steps, loss, color=style.GREY, lw=2)
        axes.set_xscale("symlog", linthresh=1)
        axes.set_yscale("log")
        axes.set_ylim(10 ** np.floor(np.log10(max(loss.min(), 1e-12))), 1.4 * loss.max())
        axes.set_xlim(-0.2, max(steps[-1], 1) * 1.3)
        axes.set_xticks([0, *10 ** np.arange(1 + int(np.log10(max(steps[-1], 1))))])
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        if since:
            axes.axvline(since, color=style.GREEN, linestyle="--", lw=1.5)
            axes.text(since * 0.88, 0.03, "all right", **_beside(axes))
        (self.cursor,) = axes.plot([], [], "o", color=style.VERMILION, markersize=9)

    def draw_corners(self, target: np.ndarray, line: np.ndarray) -> None:
        """Prepare the surface, its lines and its corners; target is float [4]."""
        axes, step = self.surface, (line[1] - line[0]) / 2
        ends = (line[0] - step, line[-1] + step)
        self.image = axes.imshow(
            np.zeros((len(line), len(line))),
            cmap=style.DIVERGING.resampled(LEVELS),
            vmin=0,
            vmax=1,
            origin="lower",
            extent=(*ends, *ends),
            interpolation="bilinear",
            interpolation_stage="data",
        )
        nothing = np.zeros((0, 2, 2))
        self.lines, self.ticks = gate_planes.draw_units(axes, nothing, nothing)
        self.corners = []
        for place, one in zip(gate_planes.CORNERS, target > 0.5, strict=True):
            marker, color = gate_planes.LOOKS[bool(one)]
            look = {"color": color, "markersize": 10, "mec": style.PAPER, "mew": 1.5}
            self.corners += axes.plot(*place, marker, **look)
        axes.set(xlim=ends, ylim=ends, xticks=(0, 1), yticks=(0, 1))
        axes.spines[:].set_visible(False)

    def frame(
        self,
        place: int,
        step: int,
        loss: float,
        probability: np.ndarray,
        plane: Mapping[str, np.ndarray],
        line: np.ndarray,
    ) -> np.ndarray:
        """Return the picture of recorded step `place`: uint8 [height, width, 3].

        Args:
            step: its epoch.
            probability: float [S, S].
            plane: weights of two inputs, of all steps.
        """
        self.image.set_data(probability)
        weight1, bias1 = (plane[name][place][self.kept] for name in ("weight1", "bias1"))
        lines, ticks = gate_planes.zero_lines(weight1, bias1, line[0], line[-1])
        self.lines.set_segments(list(lines))
        self.ticks.set_segments(list(ticks))
        self.cursor.set_data([step], [loss])
        self.epoch.set_text(f"epoch {step}")
        self.reading.set_text("loss " + np.format_float_positional(loss, 2, fractional=False))
        self._move_net(place)
        on_surface: list[Artist] = [self.image, self.lines, self.ticks, *self.corners]
        if probability.min() < 0.5 < probability.max():
            contour = self.surface.contour(
                line, line, probability, [0.5], colors=style.INK, linewidths=2.2
            )
            on_surface.insert(1, contour)
        picture = self._shoot(on_surface)
        if len(on_surface) > 3 + len(self.corners):
            contour.remove()
        return picture

    def _prepare_net(self) -> None:
        axes = style.bare(self.net, "weights: vermilion adds,\nblue subtracts")
        places = gate_network.columns(self.weights["weight1"].shape[-1], len(self.kept))
        count = len(self.kept) * (len(places[0]) + 1)
        self.edges = gate_network.edges(axes, places, np.ones(count), np.ones(count, bool))
        self.edges.set_linestyle("-")
        at = [(0, y) for y in places[0]] + [(1, y) for y in places[1]] + [(2, 0.0)]
        self.nodes = axes.scatter(
            [x for x, _ in at], [y for _, y in at], s=260, edgecolors=style.INK, zorder=3
        )
        for i, y in enumerate(places[0]):
            axes.text(-0.2, y, chr(97 + i), ha="right", va="center", fontsize=11)
        axes.set(xlim=(-0.45, 2.2), ylim=(-1.25, 1.2))
        self.most = max(float(abs(self.weights[f"weight{i}"]).max()) for i in (1, 2))
        self.most_bias = max(float(abs(self.weights[f"bias{i}"]).max()) for i in (1, 2))
        hidden = self.weights["bias1"].shape[-1]
        some = f"{len(self.kept)} of {hidden} hidden units\n" * (hidden > len(self.kept))
        axes.set_xlabel(f"{some}neuron's colour: its bias", fontsize=10)
        look = {"ha": "center", "va": "bottom", "fontsize": 12, "fontweight": "bold"}
        self.epoch = self.surface.text(0.5, 1.03, "", transform=self.surface.transAxes, **look)
        self.reading = self.curve.text(0.5, 1.03, "", transform=self.curve.transAxes, **look)

    def _move_net(self, place: int) -> None:
        weight1, weight2, bias1 = (
            self.weights[name][place][self.kept] for name in ("weight1", "weight2", "bias1")
        )
        widths, adds = gate_network.looks(weight1, weight2, THICKEST, self.most)
        self.edges.set(linewidth=widths, color=gate_network.colors(adds))
        biases = np.append(bias1, self.weights["bias2"][place])
        shades = style.DIVERGING(0.5 + biases / max(self.most_bias, 1e-9) / 2)
        plain = np.ones((weight1.shape[1], 4))
        self.nodes.set_facecolor(np.concatenate([plain, shades]))

    def _shoot(self, on_surface: list[Artist]) -> np.ndarray:
        moving = [*on_surface, self.cursor, self.epoch, self.reading, self.edges, self.nodes]
        for artist in moving:
            artist.set_animated(True)
        if self.background is None:
            self.canvas.draw()  # once: the layout and all that stands still
            self.background = self.canvas.copy_from_bbox(self.canvas.figure.bbox)
        self.canvas.restore_region(self.background)
        for artist in moving:
            self.canvas.figure.draw_artist(artist)
        return np.array(self.canvas.buffer_rgba())[..., :3]


def gif(frames: Sequence[np.ndarray], seconds: float = SECONDS) -> bytes:
    """Return pictures, uint8 [height, width, 3] each, as a GIF that loops for ever.

    If it has more than `MOST_BYTES`, every other picture is left out and the rest stay twice
    as long.
    """
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    flat = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    shown = [seconds] * (len(flat) - 1) + [HOLD]
    raw = BytesIO()
    flat[0].save(
        raw,
        "GIF",
        save_all=True,
        append_images=flat[1:],
        duration=[round(1000 * each) for each in shown],
        loop=0,
        optimize=True,  # a pixel that stays is left out of the next frame
    )
    if raw.tell() > MOST_BYTES and len(frames) > 2:
        return gif([*frames[:-1:2], frames[-1]], 2 * seconds)
    return raw.getvalue()


def _palette() -> list[int]:
    """Return 128 colours: the surface's own, greys, and what lies between lines and grounds."""
    surface = style.DIVERGING.resampled(LEVELS)(np.arange(LEVELS))[:, :3]
    ink, paper = np.array(to_rgb(style.INK)), np.ones(3)
    pairs = [(ink, paper, 27), (np.array(to_rgb(style.GREY)), paper, 8)]
    for color in (style.VERMILION, style.BLUE, style.GREEN):
        pairs += [(np.array(to_rgb(color)), paper, 9), (ink, np.array(to_rgb(color)), 7)]
    mixes = [np.linspace(a, b, count) for a, b, count in pairs]
    colors = np.concatenate([surface, *mixes])
    return (colors * 255).round().astype(int).ravel().tolist()


def _beside(axes: Axes) -> dict:
    return {
        "transform": axes.get_xaxis_transform(),
        "rotation": 90,
        "ha": "right",
        "va": "bottom",
        "fontsize": 10,
        "color": style.GREEN,
    }
