"""What a page shows of figures, tables and pictures: the data, a number, a caption, and a text in their place."""

import base64
import io
import json

import numpy as np
import pandas as pd
import pytest
from lxml import html as parser
from matplotlib import pyplot as plt
from PIL import Image

from satstudy.core.errors import InputError
from satstudy.report import html, style


def opened(text: str):
    return parser.fromstring(text)


def pixels_of(image) -> np.ndarray:
    data = base64.b64decode(image.get("src").partition("base64,")[2])
    return np.array(Image.open(io.BytesIO(data)).convert("RGB"))


@pytest.fixture
def drawn():
    figure, axes = plt.subplots(figsize=(3, 2))
    axes.plot([0.1, 1], [25, 35], label="AVIF")
    axes.plot([0.5], [28], label="JPEG")
    axes.set(xlabel="rate in bpp", ylabel="PSNR in dB")
    figure.set_label("Quality & rate.")
    yield figure
    plt.close(figure)


def test_a_figure_has_number_caption_size_and_a_text_that_says_what_it_shows(drawn):
    tree = opened(html.figure(drawn, 7))
    assert tree.tag == "figure"
    assert tree.get("id") == "figure-7"
    assert tree.xpath("string(figcaption)") == "Figure 7. Quality & rate."
    (image,) = tree.xpath(".//img")
    assert "PSNR in dB against rate in bpp" in image.get("alt")
    assert "AVIF from (0.1, 25) to (1, 35)" in image.get("alt")
    assert "JPEG at (0.5, 28)" in image.get("alt")
    height, width, _ = pixels_of(image).shape
    assert (int(image.get("width")), int(image.get("height"))) == (width // 2, height // 2)


def test_the_mark_of_synthetic_data_is_in_the_picture_and_in_its_text_and_not_in_the_figure(drawn):
    plain, marked = (opened(html.figure(drawn, 1, mark)).xpath(".//img")[0] for mark in ("", "synthetic scenes"))
    assert marked.get("alt").startswith("Synthetic scenes. ")
    assert "ynthetic" not in plain.get("alt")
    more = pixels_of(marked).shape[0] - pixels_of(plain).shape[0]
    assert more > 5, "a line of text above"
    assert not drawn.texts


def _heat_map(axes):
    axes.figure.colorbar(axes.pcolormesh(np.eye(2)))
    axes.set_title("JPEG")
    axes.set_yticks([0.5, 1.5], ["dam", "port"])
    axes.figure.supxlabel("answered")
    axes.figure.supylabel("true class")


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda axes: axes.imshow(np.zeros((4, 4))) and axes.set_title("JPEG"), "Picture: JPEG"),
        (lambda axes: axes.set_title("nothing else"), "Chart of nothing else"),
        (lambda axes: None, "Picture"),
        (_heat_map, "Table of true class by answered: JPEG. dam; port"),
    ],
)
def test_what_a_figure_shows_is_said_whatever_it_is(draw, words):
    figure, axes = plt.subplots()
    draw(axes)
    assert html.describe(figure) == words
    plt.close(figure)


def test_a_table_is_the_frame_without_row_numbers_and_its_csv(tmp_path):
    frame = pd.DataFrame({"codec": ["JPEG", "a <b>"], "bpp": [0.5, np.nan]})
    frame.attrs["caption"] = "Rates."
    tree = opened(html.table(frame, 3))
    assert tree.get("id") == "table-3"
    assert tree.xpath("string(figcaption)").startswith("Table 3. Rates.")
    assert [cell.text for cell in tree.xpath(".//th")] == ["codec", "bpp"]
    cells = [[cell.text for cell in row.xpath("td")] for row in tree.xpath(".//tbody/tr")]
    assert cells == [["JPEG", "0.5"], ["a <b>", "–"]]
    (link,) = tree.xpath(".//a[@download]")
    kept = pd.read_csv(io.BytesIO(base64.b64decode(link.get("href").partition("base64,")[2])))
    pd.testing.assert_frame_equal(kept, frame)
    assert not tree.xpath(".//details")


def test_a_named_index_is_the_first_column_and_a_long_table_is_folded():
    frame = pd.DataFrame({"AVIF": range(20)}, index=pd.Index([f"c{i}" for i in range(20)], name="bits of"))
    frame.columns.name = "against"
    tree = opened(html.table(frame, 1))
    assert [cell.text for cell in tree.xpath(".//th")] == ["bits of \\ against", "AVIF"]
    assert tree.xpath(".//tbody/tr[2]/td[1]")[0].text == "c1"
    assert tree.xpath("string(.//details/summary)") == "20 rows"


def test_pictures_are_kept_pixel_by_pixel(picture):
    shown = [html.Picture("original", picture(20, 30)), html.Picture("JPEG", picture(20, 30, 1), "0.30 bpp")]
    tree = opened(html.pictures(html.Pictures(shown, "a river", "Look.", zoom=4), 2, "synthetic scenes"))
    images = tree.xpath(".//img")
    for image, one in zip(images, shown, strict=True):
        np.testing.assert_array_equal(pixels_of(image), one.pixels)
        assert (image.get("width"), image.get("height")) == ("120", "80")
    assert [image.get("alt") for image in images] == ["a river: original", "a river: JPEG, 0.30 bpp"]
    assert tree.xpath("string(figcaption)") == "Figure 2. Synthetic scenes. Look."
    with pytest.raises(InputError, match="give pictures of one size"):
        html.pictures(html.Pictures([*shown, html.Picture("x", picture(8, 8))], "a", "b"), 1)


def test_curves_carry_their_points_and_looks(drawn):
    frame = pd.DataFrame({"codec": ["avif", "avif", "jpeg"], "setting": ["quality=1", "quality=9", "</script>"],
                          "bpp": [0.1, 0.5, 0.25], "psnr": [25, 30.123, 28]})  # fmt: skip
    tree = opened(html.curves(html.Curves({"scenes": frame}, drawn, "Curves."), 1))
    (script,) = tree.xpath(".//script")
    data = json.loads(script.text)
    assert data["sets"]["scenes"]["avif"] == [[0.1, 25, "quality=1"], [0.5, 30.12, "quality=9"]]
    assert data["sets"]["scenes"]["jpeg"] == [[0.25, 28, "</script>"]]
    lines = style.codec_lines(["avif", "jpeg"])
    for codec, line in lines.items():
        look = data["looks"][codec]
        assert (look["label"], look["colour"], look["marker"]) == (line.label, line.colour, line.look.marker)
    assert tree.xpath(".//img"), "for readers without scripts"
