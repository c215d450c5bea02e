"""Filters, feature maps, attributions and embedding: the numbers, and the figures of them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d

from experiments.core.errors import DataError
from experiments.figures.analysis import attribution, embedding, feature_maps
from experiments.figures.plots import attribution as attribution_plots
from experiments.figures.plots import embedding as embedding_plots
from experiments.figures.plots import feature_maps as plots
from experiments.figures.plots import style
from models.cnn import DigitCNN
from tests.expect import refused
from tests.figure_text import names, numbers, texts
from tests.nets import digit_net

NETS = (
    {"base_channels": 4, "convs_per_stage": 2, "hidden_dim": 16},
    {"base_channels": 40, "num_stages": 2, "pixel_unshuffle": 2, "activation": "relu"},
    {"base_channels": 1, "num_stages": 1, "hidden_dim": 1, "activation": "silu"},
)


def network(**config) -> DigitCNN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = digit_net(**{"convs_per_stage": 1} | config)
        for norm in net.modules():  # statistics that are not 0 and 1, as after training
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


@pytest.mark.parametrize("config", NETS)
def test_responses_are_the_kernels_convolved_with_the_image(config: dict) -> None:
    net, image = network(**config), drawing()[0]
    found = feature_maps.filters(net, image)
    beyond = torch.tensor(image / (255 * 0.3081), dtype=torch.float32)[None, None]
    kernels = torch.tensor(found.kernels)[:, None]
    expected = conv2d(beyond, kernels, stride=config.get("pixel_unshuffle", 1))[0]
    np.testing.assert_allclose(found.responses, expected.numpy(), atol=1e-4)
    assert (np.diff(abs(found.responses).mean((1, 2))) <= 0).all()
    assert found.total == config["base_channels"] and len(found.channels) == min(
        24, config["base_channels"]
    )
    figure = plots.filters(image, 1, found)
    assert numbers(figure.get_suptitle())[:3] == [found.channels[0], found.total, 1]
    assert [numbers(text) for text in texts(figure)] == [[c] for c in found.channels] * 2
    style.png(figure)


@pytest.mark.parametrize("config", NETS)
def test_activations_lead_to_the_nets_own_output(config: dict) -> None:
    net, image = network(**config), drawing()[0]
    found = feature_maps.activations(net, image)
    with torch.no_grad():
        own = net(torch.tensor(image)[None])[:, :10].softmax(1)[0].numpy()
        inner = net.hidden(torch.tensor(found.blocks[-1].maps.reshape(1, -1)))[0].numpy()
    np.testing.assert_allclose(found.probabilities, own, atol=1e-6)
    np.testing.assert_allclose(found.hidden, inner, atol=1e-5)
    assert len(found.blocks) == len(net.stages) and not net.hidden._forward_hooks
    assert found.blocks[0].steps[:3] == ("conv 3×3", "max pool", "batch norm")
    style.png(plots.feature_maps(image, 1, found))


def test_feature_maps_show_the_strongest_and_their_fraction() -> None:
    last = np.zeros((20, 3, 3))
    last[:, 0, 0] = np.arange(20)
    blocks = (feature_maps.Block(("conv 3×3",), last[::-1]),)
    probabilities = np.eye(10)[4] * 0.9 + 0.01
    found = feature_maps.Activations(blocks, np.array([-1.0, 2.0]), probabilities)
    figure = plots.feature_maps(drawing()[0], 9, found)
    fraction = sum(range(4, 20)) / sum(range(20))
    assert numbers(figure.get_suptitle()) == [9, 4, 91, 16, 20, round(100 * fraction)]
    _, answers, block, hidden, _ = figure.axes
    pitch = plots.TILE + 6
    image = block.images[0].get_array()
    assert [image[0, 0], image[pitch, 7 * pitch]] == [19, 4]  # the first, and the sixteenth
    assert block.images[0].get_clim() == (0, 19) and hidden.images[0].get_clim() == (0, 2)
    np.testing.assert_allclose([bar.get_width() for bar in answers.patches], probabilities)


def test_examples_are_the_most_confident_mistakes_then_a_digit_of_each_class() -> None:
    y = np.array([1, 1, 2, 3, 3, 0])
    probabilities = np.eye(10)[[1, 1, 2, 5, 6, 7]] * np.array([1, 1, 1, 2, 9, 5])[:, None]
    assert attribution.examples(y, probabilities, 4).tolist() == [4, 5, 0, 2]


def test_integrated_gradients_add_up_to_the_difference_of_logits() -> None:
    net, x, target = network(base_channels=4, num_stages=2), drawing(3), np.array([3, 0, 7])
    summed = attribution.attribute(net, x, target)["integrated gradients"].sum((1, 2))
    with torch.no_grad():
        rows = torch.arange(3), torch.tensor(target)
        gain = net(torch.tensor(x))[rows] - net(torch.zeros(3, 28, 28))[rows]
    assert abs(gain).min() > 0.01
    np.testing.assert_allclose(summed, gain.numpy(), rtol=0.02, atol=0.01)


def test_occlusion_is_the_fall_of_the_logit() -> None:
    net, x, target = network(base_channels=4, num_stages=2), drawing(1), np.array([3])
    falls = attribution.attribute(net, x, target)["occlusion"]
    size, by = attribution.WINDOW, attribution.STRIDE
    total, windows = np.zeros((28, 28)), np.zeros((28, 28))
    with torch.no_grad():
        whole = net(torch.tensor(x))[0, 3]
        for top in range(0, 28 - size + 1, by):
            for left in range(0, 28 - size + 1, by):
                window = np.s_[top : top + size, left : left + size]
                hidden = x[0].copy()
                hidden[window] = 0
                total[window] += float(whole - net(torch.tensor(hidden)[None])[0, 3])
                windows[window] += 1
    assert abs(total).max() > 0.01
    np.testing.assert_allclose(falls[0], total / windows, atol=1e-4)


def test_an_untrained_net_has_seeded_weights_and_leaves_the_global_generator_alone() -> None:
    net, before = network(base_channels=4), torch.random.get_rng_state()
    nets = (net, *(attribution.untrained(net, seed) for seed in (1, 1, 2)))
    assert torch.equal(before, torch.random.get_rng_state())
    own, one, same, other = (part.get_parameter("stages.0.conv.weight") for part in nets)
    assert torch.equal(one, same) and not torch.equal(one, other) and not torch.equal(own, one)
    assert not nets[1].get_buffer("stages.0.norm.running_mean").any()


def test_similarity_ranks_absolute_values_where_there_is_ink() -> None:
    first, where = np.zeros((3, 28, 28)), np.zeros((3, 28, 28), bool)
    where[:, 0, :4] = True
    second = first.copy()
    first[0, 0, :4], second[0, 0, :4] = (1, -2, 3, -4), (-10, 20, -30, 400)
    first[1, 0, :4], second[1, 0, :4] = (1, 2, 3, 4), (1, 2, 4, 3)
    second[1, 9] = 99  # off the ink
    first[2, 0, :4] = 1, 2, 3, 4  # the second is constant: not defined
    result = attribution.similarity(first, second, where)
    np.testing.assert_allclose(result, [1, 1 - 6 * 2 / (4 * 15), 0])


def test_attributions_show_both_nets_each_map_on_its_own_scale() -> None:
    x, y = drawing(3), np.array([1, 2, 3])
    probabilities = np.eye(10)[[1, 2, 7]] * 0.9
    trained, random = ({"occlusion": np.zeros((3, 28, 28))} for _ in range(2))
    trained["occlusion"][0, 2, 3], random["occlusion"][2, 5, 5] = -4, 0.5
    similarity = {"occlusion": np.array([-0.5, 0.1, 0.1])}
    figure = attribution_plots.attributions(x, y, probabilities, trained, random, similarity)
    title = figure.get_suptitle()
    assert numbers(title) == [-0.1] and names(title, ["occlusion"])
    captions = texts(figure)
    assert numbers(captions[2]) == [3, 7, 90] and "✓" in captions[0]  # label, prediction, %
    assert captions[3:] == ["±4", "±0", "±0", "±0", "±0", "±0.5"]
    down, across = 28 + attribution_plots.GAP[0], 28 + attribution_plots.GAP[1]
    digits, maps = (image.get_array() for image in figure.axes[0].images)
    assert digits[8, 10] == 200
    assert maps[down + 2, 3] == -1 and maps[2 * down + 5, 2 * across + 5] == 1
    similar = {"occlusion": np.ones(3)}
    other = attribution_plots.attributions(x, y, probabilities, trained, random, similar)
    assert other.get_suptitle().split(":")[0] != title.split(":")[0]


def clusters(count: int = 60, dimensions: int = 8) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(count) % 3
    noise = np.random.default_rng(0).normal(size=(count, dimensions))
    return (noise + 20 * np.eye(dimensions)[y]).astype(np.float32), y


def test_the_selection_is_balanced_and_includes_the_mistakes() -> None:
    y = np.repeat(np.arange(10), 100)
    pred = y.copy()
    pred[[5, 250, 999]] = 4, 7, 0
    chosen = embedding.select(y, pred, seed=1, count=200)
    assert {5, 250, 999} <= set(chosen) and (np.diff(chosen) > 0).all()
    assert np.bincount(y[chosen]).min() >= 20 and 200 <= len(chosen) <= 203
    assert np.array_equal(chosen, embedding.select(y, pred, seed=1, count=200))


def test_embedding_keeps_neighbours_and_is_the_same_for_the_same_seed() -> None:
    features, y = clusters()
    points = embedding.embed(features, 3)
    assert points.dtype == np.float32 and points.shape == (60, 2)
    assert np.array_equal(points, embedding.embed(features, 3))
    assert embedding.neighbors_agree(points, y).all()
    y[0] = 9  # its nearest other digit has another label
    assert not embedding.neighbors_agree(features, y)[0]


@pytest.mark.parametrize("shape", [(10, 4), (12, 1)])
def test_few_digits_and_a_single_unit_can_be_embedded(shape: tuple[int, int]) -> None:
    points = embedding.embed(np.random.default_rng(0).normal(size=shape), 0)
    assert points.shape == (shape[0], 2) and np.isfinite(points).all()


@pytest.mark.parametrize(
    ("features", "code"),
    [
        (np.ones((9, 4)), "data-too-few"),
        (np.ones((20, 4)), "features-invalid"),
        (np.full((20, 4), np.nan), "features-invalid"),
    ],
)
def test_features_that_cannot_be_embedded_are_refused(features: np.ndarray, code: str) -> None:
    with refused(code, DataError, what="features"):
        embedding.embed(features, 0)


def test_the_embedding_shows_every_digit_and_frames_the_mistakes() -> None:
    features, y = clusters()
    pred = y.copy()
    pred[[0, 3]] = 9
    agree = np.arange(60) >= 4  # neither of the two misclassified, all but two of the others
    figure = embedding_plots.embedding(features[:, :2], y, pred, agree, 8, 19.7, 3)
    assert numbers(figure.get_suptitle()) == [96.6, 58, 0, 2]  # % of the correct, % of the wrong
    (axes,) = figure.axes
    assert sum(len(part.get_offsets()) for part in axes.collections) == 58
    framed = [text for text in axes.texts if text.get_bbox_patch()]
    assert [text.get_position() for text in framed] == [tuple(features[i, :2]) for i in (0, 3)]
    assert {8, 19.7, 3, 60} <= set(numbers(figure.get_supxlabel()))
