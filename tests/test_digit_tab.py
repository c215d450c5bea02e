"""The Digit tab without a browser: predictions, views and corrections for the pad's values."""

import base64
import html
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.core.paths import DRAWINGS
from experiments.data import feedback, strokes
from experiments.evaluation.calibration import NO_DIGIT
from serve.strings import digit as texts
from serve.tabs.digit import tab
from serve.tabs.digit.segmentation import crop
from serve.web import api
from tests.expect import refused
from tests.test_playground import FileStore

Value = dict[str, str]


@pytest.fixture(scope="module")
def key(trained: Path) -> str:
    return str(trained / "model.onnx")


def drawn(label: str, name: str = "drawings") -> np.ndarray:
    """Return the first drawing with a label, uint8 [H, W], by the pad's pen."""
    drawing = next(d for d in strokes.load(DRAWINGS / f"{name}.json") if d.label == label)
    return strokes.render(drawing, tab.PEN_PX, tab.SIDE_PX)


def sent(drawing: np.ndarray) -> Value:
    """Return the pad's value for a drawing."""
    file = io.BytesIO()
    pixels = np.dstack([np.zeros((*drawing.shape, 3), np.uint8), drawing])
    Image.fromarray(pixels).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    return {"kind": "pen", "data": f"data:image/png;base64,{data}"}


def answer(value: Value | None, key: str) -> tuple[str, str]:
    """Return the state and the label of the answer."""
    text, _ = tab.predict(FileStore(), value, key)  # type: ignore[arg-type]
    match = re.search(r'data-state="([^"]*)" data-label="([^"]*)"', text)
    assert match is not None
    return match[1], match[2]


def test_each_digit_is_predicted(key: str) -> None:
    answers = [answer(sent(drawn(digit)), key) for digit in "0123456789"]
    assert answers == [("digit", digit) for digit in "0123456789"]


@pytest.mark.parametrize("letter", ["W", "H"])
def test_a_letter_is_refused(letter: str, key: str) -> None:
    assert answer(sent(drawn(letter, "letters")), key)[0] == "refused"


def test_digits_side_by_side_are_a_number(key: str) -> None:
    wide = np.concatenate([drawn(digit) for digit in "207"], 1)
    assert answer(sent(wide), key) == ("number", "207")


SIGNED = [[(60, 200), (110, 200)], [(170, 80), (330, 80), (230, 330)]]
DECIMAL = [
    [(40, 90), (110, 90), (75, 170), (110, 190), (110, 260), (40, 270)],
    [(160, 268), (166, 268)],
    [(240, 80), (240, 280)],
]
GAPPY_FOUR = [[(150, 80), (100, 220), (200, 220)], [(224, 130), (224, 320)]]


def line_drawing(lines: list[list[tuple[int, int]]]) -> np.ndarray:
    strokes_ = tuple(np.array(line, np.float32) / tab.SIDE_PX for line in lines)
    return strokes.render(strokes.Drawing("", "", strokes_), 16, tab.SIDE_PX)


@pytest.mark.parametrize(
    ("lines", "expected", "mark"),
    [
        (SIGNED, ("digit", "7"), "dash"),
        (DECIMAL, ("number", "31"), "point"),
        (GAPPY_FOUR, ("digit", "4"), None),
    ],
)
def test_page_and_endpoint_name_the_marks_they_do_not_read_and_join_a_digits_parts(
    lines: list[list[tuple[int, int]]],
    expected: tuple[str, str],
    mark: str | None,
    key: str,
    tmp_path: Path,
) -> None:
    drawing = line_drawing(lines)
    assert answer(sent(drawing), key) == expected
    text, _ = tab.predict(FileStore(), sent(drawing), key)  # type: ignore[arg-type]
    assert ("Not read" in text) == (mark is not None)
    assert mark is None or texts.MARKS[mark] in text
    Image.fromarray(255 - drawing).save(tmp_path / "drawing.png")
    result = api.digit(FileStore().load(key), tmp_path / "drawing.png")
    assert result["label"] == expected[1] and result["unread"] == ([mark] if mark else [])


def test_the_arcs_of_a_zero_are_one_digit_and_digits_that_touch_are_two(key: str) -> None:
    angles = np.linspace(0.25, np.pi - 0.25, 30)
    x, y = 75 * np.sin(angles), 120 * np.cos(angles)
    arcs = [[*zip(200 + side * x, 200 + y, strict=True)] for side in (-1, 1)]
    assert answer(sent(line_drawing(arcs)), key) == ("digit", "0")
    two, seven = crop(drawn("2")), crop(drawn("7"))
    touching = np.zeros((400, 40 + two.shape[1] + seven.shape[1]), np.uint8)
    for digit, left in ((two, 20), (seven, 16 + two.shape[1])):
        area = touching[30 : 30 + len(digit), left : left + digit.shape[1]]
        np.maximum(area, digit, out=area)
    assert answer(sent(touching), key) == ("number", "27")


def test_without_a_digit_the_answer_has_the_reason(key: str, trained: Path) -> None:
    blank = np.zeros((tab.SIDE_PX, tab.SIDE_PX), np.uint8)
    dot = blank.copy()
    dot[200:210, 200:210] = 255
    broken = {"kind": "file", "data": "data:image/png;base64,AAAA"}
    values = {"empty": None, "blank": sent(blank), "too-small": sent(dot)}
    for state, value in (values | {"picture-unreadable": broken}).items():
        assert answer(value, key)[0] == state
    assert answer(sent(drawn("7")), str(trained / "none"))[0] == "file-missing"


@pytest.mark.parametrize(
    ("view", "part"),
    [("input", "steps"), ("occlusion", "occlusion"), ("backends", "rows")],
)
def test_each_view_shows_the_drawing(view: str, part: str, key: str) -> None:
    def render(value: Value | None) -> str:
        text, is_waiting = tab.render_view(FileStore(), value, key, view)  # type: ignore[arg-type]
        assert not is_waiting
        return text

    assert texts.VIEW_EMPTY in render(None)
    seven, one = (render(sent(drawn(digit))) for digit in "71")
    assert f'class="{part}"' in seven and seven != one
    if view == "backends":
        assert re.findall("<td>(fp32|[0-9])</td>", seven) == ["fp32", "7"]


def test_a_correction_is_saved_with_its_drawing(key: str, tmp_path: Path) -> None:
    def correct(value: Value | None, label: str | None) -> str:
        return tab.correct(FileStore(), tmp_path, value, key, label)  # type: ignore[arg-type]

    seven = drawn("7")
    with refused("correction-incomplete", found="label"):
        correct(sent(seven), None)
    with refused("correction-incomplete", found="drawing"):
        correct(None, "1")
    with refused("correction-ambiguous", expected="one", found="2"):
        correct(sent(np.concatenate([seven, seven], 1)), "1")
    assert list(tmp_path.iterdir()) == []
    for count, label in enumerate(("1", NO_DIGIT), 1):
        message = texts.SAVED.format(pred="7", label=label, count=count)
        assert message in html.unescape(correct(sent(seven), label))
    first, second = feedback.load_all(tmp_path)
    assert (first.predicted, first.label, second.label) == ("7", "1", feedback.NONE)
    assert np.array_equal(first.ink, seven) and first.model.startswith("mnist/")
