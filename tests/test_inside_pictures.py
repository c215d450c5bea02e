"""What goes on inside the digit network: the numbers, and the pictures that show them."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from torch.nn.functional import conv2d

from experiments.errors import DataError
from experiments.interpret import attribution, embedding, maps
from experiments.plots import attribution as attribution_plots
from experiments.plots import embedding as embedding_plots
from experiments.plots import inside, style
from models.cnn import DigitCNN

NETS = (
    {"width": 4, "depth": 2, "hidden": 16},
    {"width": 40, "stages": 2, "fold": 2, "activation": "relu"},
    {"width": 1, "stages": 1, "hidden": 1, "activation": "silu"},
)


def network(**config) -> DigitCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = DigitCNN(**config)
        for norm in net.modules():  # as if it had been trained: statistics that are not 0 and 1
            if isinstance(norm, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                norm.running_mean.normal_()
                norm.running_var.uniform_(0.01, 0.1)
        return net.eval()


def drawing(count: int = 1) -> np.ndarray:
    """Bars of ink, each in another place: uint8 [count, 28, 28]."""
    x = np.zeros((count, 28, 28), np.uint8)
    for index in range(count):
        x[index, 8 : 20 - index, 10 + index : 14 + index] = 200 + index
    return x


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts if t.get_text()]


@pytest.mark.parametrize("config", NETS)
def test_kernels_lie_on_the_pictures_own_pixels(config: dict) -> None:
    net, image = network(**config), drawing()[0]
    shown = maps.filters(net, image)
    beyond = torch.tensor(image / (255 * 0.3081), dtype=torch.float32)[None, None]
    kernels = torch.tensor(shown.kernels)[:, None]
    expected = conv2d(beyond, kernels, stride=config.get("fold", 1))[0]
    np.testing.assert_allclose(shown.responses, expected.numpy(), atol=1e-4)
    strength = abs(shown.responses).mean((1, 2))
    assert (np.diff(strength) <= 0).all() and shown.total == config["width"]
    assert len(shown.channels) == min(32, config["width"])


@pytest.mark.parametrize("config", NETS)
def test_the_passage_ends_at_the_nets_own_answer(config: dict) -> None:
    net, image = network(**config), drawing()[0]
    seen = maps.passage(net, image)
    with torch.no_grad():
        own = net(torch.tensor(image)[None])[:, :10].softmax(1)[0].numpy()
        again = net.output(torch.tensor(seen.hidden))[:10].softmax(0).numpy()
        inner = net.hidden(torch.tensor(seen.blocks[-1].maps.reshape(1, -1)))[0].numpy()
    np.testing.assert_allclose(seen.probabilities, own, atol=1e-6)
    np.testing.assert_allclose(again, own, atol=1e-5)
    np.testing.assert_allclose(seen.hidden, inner, atol=1e-5)
    assert len(seen.blocks) == len(net.stages)
    assert seen.blocks[0].steps[:3] == ("conv 3×3", "max pool", "batch norm")
    assert not net.hidden._forward_hooks


def test_a_picture_of_another_shape_is_refused() -> None:
    for look in (maps.filters, maps.passage):
        with pytest.raises(DataError, match=r"28x28 pixels, got shape \(2, 28, 28\)"):
            look(network(), drawing(2))


def test_a_mosaic_holds_every_tile_and_nothing_between() -> None:
    tiles = np.arange(12.0).reshape(3, 2, 2)
    laid = inside.mosaic(tiles, 2, (1, 3))
    assert laid.shape == (2 * 3, 2 * 5)
    assert (laid[:2, 5:7] == tiles[1]).all() and (laid[3:5, :2] == tiles[2]).all()
    assert np.isnan(laid).sum() == laid.size - tiles.size
    assert (inside.enlarge(tiles[:1], 4)[0, ::2, ::2] == tiles[0]).all()


def test_filters_are_drawn_on_symmetric_scales_with_their_numbers() -> None:
    kernels = np.zeros((3, 3, 3))
    kernels[0, 0, 0], kernels[1, 2, 2] = -2, 1
    responses = np.stack([np.full((26, 26), value) for value in (-6.0, 3.0, 1.0)])
    channels = np.array([7, 0, 4])
    figure = inside.filters(drawing()[0], 5, channels, kernels, responses, 9)
    title = "Channel 7 of 9 reacts most to this 5: 2.0 times the median of those shown"
    assert figure.get_suptitle() == title
    assert texts(figure) == ["channel 7", "channel 0", "channel 4"]
    weights, outputs = figure.axes[1].images
    assert (weights.get_clim(), outputs.get_clim()) == ((-2, 2), (-6, 6))
    shown = np.ma.filled(np.ma.masked_invalid(weights.get_array()), 0)
    assert shown[0, 0] == -2 and shown[: inside.TILE].max() == 1
    assert "3 strongest of 9" in figure.axes[1].get_title()
    both = np.isfinite(np.ma.filled(weights.get_array(), np.nan))
    assert not (both & np.isfinite(np.ma.filled(outputs.get_array(), np.nan))).any()


def test_feature_maps_show_the_strongest_and_their_share() -> None:
    last = np.zeros((20, 3, 3))
    last[:, 0, 0] = np.arange(20)
    blocks = [SimpleNamespace(steps=("conv 3×3",), maps=last[::-1])]
    probabilities = np.eye(10)[4] * 0.9 + 0.01
    figure = inside.feature_maps(drawing()[0], 9, blocks, np.array([-1.0, 2.0]), probabilities)
    share = sum(range(4, 20)) / sum(range(20))
    assert figure.get_suptitle() == (
        "A 9 is read as 4 (91.0%): the 16 strongest of 20 maps\n"
        f"of the last block carry {share:.0%} of its activation"
    )
    _, block, hidden, answers, _ = figure.axes
    image = block.images[0]
    pitch = inside.TILE + 6
    assert [image.get_array()[0, 0], image.get_array()[7 * pitch, pitch]] == [19, 4]
    assert image.get_clim() == (0, 19) and hidden.images[0].get_clim() == (0, 2)
    assert block.get_xlabel() == "16 of 20 maps\nmax 19\nconv 3×3"
    np.testing.assert_allclose([bar.get_width() for bar in answers.patches], probabilities)


@pytest.mark.parametrize("config", NETS)
def test_every_architecture_can_be_drawn(config: dict) -> None:
    net, image = network(**config), drawing()[0]
    seen, first = maps.passage(net, image), maps.filters(net, image)
    drawn = (
        inside.feature_maps(image, 1, seen.blocks, seen.hidden, seen.probabilities),
        inside.filters(image, 1, first.channels, first.kernels, first.responses, first.total),
    )
    for figure in drawn:
        style.png(figure)
        assert figure.get_size_inches()[0] <= 13


def test_examples_are_the_surest_mistakes_then_new_digits() -> None:
    y = np.array([1, 1, 2, 3, 3, 0])
    logits = np.eye(10)[[1, 1, 2, 5, 6, 7]] * np.array([1, 1, 1, 2, 9, 5])[:, None]
    assert attribution.examples(y, logits, mistakes=2).tolist() == [4, 5, 0, 2, 1]
    assert attribution.examples(y, logits, mistakes=2, most=3).tolist() == [4, 5, 0]
    assert attribution.examples(y[:3], logits[:3]).tolist() == [0, 2, 1]


def test_integrated_gradients_add_up_to_the_difference_of_logits() -> None:
    net, x, target = network(width=4, stages=2), drawing(3), np.array([3, 0, 7])
    summed = attribution.attribute(net, x, target)["integrated gradients"].sum((1, 2))
    with torch.no_grad():
        rows = torch.arange(3), torch.tensor(target)
        gain = net(torch.tensor(x))[rows] - net(torch.zeros(3, 28, 28))[rows]
    assert abs(gain).min() > 0.01
    np.testing.assert_allclose(summed, gain.numpy(), rtol=0.02)


def test_occlusion_is_the_fall_of_the_logit_and_nothing_on_blank_paper() -> None:
    net, x, target = network(width=4, stages=2), drawing(2), np.array([3, 8])
    falls = attribution.attribute(net, x, target)["occlusion"]
    blank = (falls[:, :4], falls[:, :, 20:])  # a batch rounds otherwise than one picture does
    assert max(abs(part).max() for part in blank) < 1e-4 * abs(falls).max()
    size, by = attribution.WINDOW, attribution.STRIDE
    total, windows = np.zeros((28, 28)), np.zeros((28, 28))
    with torch.no_grad():
        whole = net(torch.tensor(x[:1]))[0, 3]
        for top in range(0, 28 - size + 1, by):
            for left in range(0, 28 - size + 1, by):
                window = np.s_[top : top + size, left : left + size]
                hidden = x[0].copy()
                hidden[window] = 0
                total[window] += float(whole - net(torch.tensor(hidden)[None])[0, 3])
                windows[window] += 1
    assert abs(total).max() > 0.01
    np.testing.assert_allclose(falls[0], total / windows, atol=1e-4)


def test_attribution_refuses_targets_that_do_not_fit() -> None:
    for x, target in ((drawing(2), np.array([1])), (drawing(0), np.array([], int))):
        with pytest.raises(DataError, match="as many digits, M at least 1; got"):
            attribution.attribute(network(), x, target)


def test_an_untrained_net_is_fresh_seeded_and_leaves_the_global_generator_alone() -> None:
    net, before = network(width=4), torch.random.get_rng_state()
    one, same, other = (attribution.untrained(net, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [part.get_parameter("stages.0.conv.weight") for part in (net, one, same, other)]
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[3]) and not torch.equal(weights[0], weights[1])
    assert one.config == net.config and not one.training
    assert not one.get_buffer("stages.0.norm.running_mean").any()


def test_similarity_ranks_absolute_values_where_there_is_ink() -> None:
    first, where = np.zeros((3, 28, 28)), np.zeros((3, 28, 28), bool)
    where[:, 0, :4] = True
    second = first.copy()
    first[0, 0, :4], second[0, 0, :4] = (1, -2, 3, -4), (-10, 20, -30, 400)
    first[1, 0, :4], second[1, 0, :4] = (1, 2, 3, 4), (1, 2, 4, 3)
    second[1, 9] = 99  # off the ink
    first[2, 0, :4] = 1, 2, 3, 4  # the second is constant: not defined
    found = attribution.similarity(first, second, where)
    np.testing.assert_allclose(found, [1, 1 - 6 * 2 / (4 * 15), 0])


def test_attributions_show_both_nets_each_on_its_own_scale() -> None:
    x, y = drawing(3), np.array([1, 2, 3])
    probabilities = np.eye(10)[[1, 2, 7]] * 0.9
    trained, untrained = ({"occlusion": np.zeros((3, 28, 28))} for _ in range(2))
    trained["occlusion"][0, 2, 3], untrained["occlusion"][2, 5, 5] = -4, 0.5
    similarity = {"occlusion": np.array([-0.5, 0.1, 0.1])}
    figure = attribution_plots.attributions(x, y, probabilities, trained, untrained, similarity)
    verdict = (
        "Trained and random weights mark different pixels:\nrank correlation −0.10 (occlusion)"
    )
    assert figure.get_suptitle() == verdict
    said = texts(figure)
    assert {"1 ✓\n90.0%", "is 3, read 7\n90.0%", "±4", "±0.5", "±0"} <= set(said)
    assert {"trained:\nocclusion", "random:\nocclusion"} <= set(said)
    left, right, _ = figure.axes
    pitch = 28 + attribution_plots.GAP[1]
    assert left.images[1].get_array()[2, pitch + 3] == -1
    assert right.images[1].get_array()[5, 2 * pitch + 5] == 1
    assert left.images[1].get_clim() == (-1, 1)
    assert left.images[0].get_array()[8, 10] == 200
    assert "−0.50 to 0.10" in figure.get_supxlabel()


def test_attributions_that_outlive_the_weights_are_called_so() -> None:
    same = {"occlusion": np.ones((1, 28, 28))}
    figure = attribution_plots.attributions(
        drawing(), np.array([0]), np.eye(10)[:1], same, same, {"occlusion": np.ones(1)}
    )
    assert figure.get_suptitle().startswith("Trained and random weights mark much the same")
    assert len(figure.axes) == 2
    style.png(figure)


def clusters(count: int = 60, dimensions: int = 8) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(count) % 3
    noise = np.random.default_rng(0).normal(size=(count, dimensions))
    return (noise + 20 * np.eye(dimensions)[y]).astype(np.float32), y


def test_the_selection_is_balanced_and_keeps_the_mistakes() -> None:
    y = np.repeat(np.arange(10), 100)
    predicted = y.copy()
    predicted[[5, 250, 999]] = 4, 7, 0
    chosen = embedding.select(y, predicted, seed=1, most=200)
    right = chosen[predicted[chosen] == y[chosen]]
    assert {5, 250, 999} <= set(chosen) and (np.diff(chosen) > 0).all()
    assert np.bincount(y[right]).min() >= 19 and 200 <= len(chosen) <= 203
    assert np.array_equal(chosen, embedding.select(y, predicted, seed=1, most=200))
    assert not np.array_equal(chosen, embedding.select(y, predicted, seed=2, most=200))
    assert len(embedding.select(y, (y + 1) % 10, 0, most=0)) == embedding.MOST_MISTAKES


def test_embedding_keeps_neighbours_and_is_the_same_for_the_same_seed() -> None:
    features, y = clusters()
    places = embedding.embed(features, 3)
    assert places.dtype == np.float32 and places.shape == (60, 2)
    assert np.array_equal(places, embedding.embed(features, 3))
    assert embedding.neighbours_agree(places, y).all()


def test_neighbours_are_the_nearest_in_all_dimensions() -> None:
    random = np.random.default_rng(4)
    features, y = random.normal(size=(80, 5)).astype(np.float32), random.integers(0, 3, 80)
    nearest = cKDTree(features).query(features, 2)[1][:, 1]
    assert embedding.neighbours_agree(features, y).tolist() == (y[nearest] == y).tolist()
    with pytest.raises(DataError, match="at least 2 digits to compare, got 1"):
        embedding.neighbours_agree(features[:1], y[:1])


@pytest.mark.parametrize("shape", [(10, 4), (12, 1)])
def test_few_digits_and_a_single_unit_can_be_embedded(shape: tuple[int, int]) -> None:
    places = embedding.embed(np.random.default_rng(0).normal(size=shape), 0)
    assert places.shape == (shape[0], 2) and np.isfinite(places).all()
    assert embedding.perplexity(shape[0]) == (shape[0] - 1) / 3


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (np.ones((9, 4)), r"at least 10 digits, got shape \(9, 4\)"),
        (np.ones((20, 4)), "constant or not finite"),
        (np.full((20, 4), np.nan), "constant or not finite"),
    ],
)
def test_what_cannot_be_embedded_is_refused(features: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=said):
        embedding.embed(features, 0)


def test_the_embedding_shows_every_digit_and_frames_the_mistakes() -> None:
    features, y = clusters()
    points, predicted = features[:, :2] * [1, 2], y.copy()
    predicted[[0, 3]] = 9
    agree = np.arange(60) >= 4  # of the two misread neither, of the others all but two
    figure = embedding_plots.embedding(points, y, predicted, agree, 8, 19.7, 3)
    assert figure.get_suptitle() == (
        "Of 58 digits read right 96.6% have one of their own kind nearest,\nof the 2 misread 0%"
    )
    axes = figure.axes[0]
    drawn = np.concatenate([part.get_offsets() for part in axes.collections])
    crosses = np.column_stack(axes.lines[0].get_data())
    assert len(drawn) == 58 and len(crosses) == 2
    scale = np.ptp(points, axis=0).max()  # one for both axes: distances are not bent
    expected = (points[0] - points[3]) / scale
    np.testing.assert_allclose(crosses[0] - crosses[1], expected, atol=1e-6)
    labels = np.array([text.get_position() for text in axes.texts if text.get_bbox_patch()])
    gaps = np.hypot(*(labels[:, None] - crosses).transpose(2, 0, 1))
    assert gaps.min() > 0.03  # no cross lies under a label
    framed = [text.get_text() for text in axes.texts if text.get_bbox_patch()]
    assert framed == ["0", "0"]
    assert {text.get_text() for text in axes.texts} == {"0", "1", "2"}
    below = figure.get_supxlabel()
    for part in ("perplexity 19.7", "seed 3", "60 digits, 2 of them mistakes", "mean little"):
        assert part in below


def test_classes_differ_in_colour_and_marker_together() -> None:
    looks = {(embedding_plots.COLORS[d], embedding_plots.MARKERS[d]) for d in range(10)}
    assert len(looks) == len(embedding_plots.MARKERS) == 10
    assert style.VERMILION not in embedding_plots.COLORS
    often = ((4, 9), (2, 7), (3, 8), (3, 5), (5, 8))
    assert all(embedding_plots.COLORS[a] != embedding_plots.COLORS[b] for a, b in often)


def test_labels_are_spread_apart() -> None:
    crowd, name = np.full((6, 2), 0.5), np.array([[0.5, 0.5]])
    moved = embedding_plots.spread(crowd, 0.03, name)
    gaps = np.hypot(*(moved[:, None] - np.concatenate([moved, name])).transpose(2, 0, 1))
    assert gaps[gaps > 0].min() >= 0.03
    far = np.array([[0.1, 0.1], [0.9, 0.9]])
    np.testing.assert_allclose(embedding_plots.spread(far, 0.03), far, atol=1e-3)
    assert embedding_plots.spread(np.empty((0, 2)), 0.03).shape == (0, 2)


def test_one_class_without_mistakes_is_drawn() -> None:
    points, y = np.zeros((12, 2)), np.full(12, 6)
    figure = embedding_plots.embedding(points, y, y, y > 0, 1, 3.7, 0)
    assert "0 of them mistakes. " in figure.get_supxlabel()
    assert "1 dimension," in figure.get_supxlabel() and "none is misread" in figure.get_suptitle()
    assert texts(figure) == ["6"]
    style.png(figure)
