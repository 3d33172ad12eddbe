"""The sentences of the summary say what the tables hold."""

import pandas as pd

from satstudy import findings

BD = pd.DataFrame(
    {
        "codec": ["avif", "learned", "webp"],
        "reference": ["jpeg2000"] * 3,
        "bd_rate": [-20.04, -12.5, float("nan")],
        "low": [-22.0, -13.0, float("nan")],
        "high": [-18.0, -12.0, float("nan")],
        "images": [20, 20, 20],
    }
)


def seams(*overlaps: int) -> pd.DataFrame:
    rows = [("blend", "mean", o, 1.0 + o / 100, 30.0) for o in overlaps]
    rows.append(("seamless", "none", 0, 0.9, 30.25))
    return pd.DataFrame(rows, columns=["tiling", "weighting", "overlap", "bpp", "psnr"])


def test_rates_name_codec_interval_and_images():
    text = findings.rate(BD)
    assert "learned -12.5 % [-13.0, -12.0]" in text
    assert "AVIF -20.0 % [-22.0, -18.0]" in text
    assert "WebP has no range of PSNR in common with JPEG 2000" in text
    assert "20 images" in text
    assert text.index("learned") < text.index("AVIF")
    assert findings.of_codec(BD, "jpeg") == "was not measured"
    assert "No codec" in findings.rate(BD.iloc[:0])


def test_blending_takes_the_overlap_nearest_to_the_papers():
    text = findings.blending(seams(2, 8, 32))
    assert "16.7 % fewer bits than blending with an overlap of 8 pixels, at +0.25 dB" in text
    assert "overlap of 2 pixels" in findings.blending(seams(2))
    assert "not both measured" in findings.blending(seams())
    worse = seams(8).assign(bpp=[1.0, 1.1])
    assert "10.0 % more bits" in findings.blending(worse)


def test_classifiers_compare_the_diagonal_with_the_rest():
    matrix = pd.DataFrame(
        {
            "trained_on": ["a", "a", "b", "b"],
            "validated_on": ["a", "b", "a", "b"],
            "accuracy": [0.8, 0.3, 0.2, 0.6],
        }
    )
    text = findings.classifiers(matrix, {"uniform": 0.1})
    assert "70.0 % on the condition they were trained on and 25.0 % on another" in text
    assert "guessing gives 10.0 %" in text
    assert findings.classifiers(matrix[:1], {}).count("%") == 1
    assert findings.summary(BD, seams(8), matrix, {}).count("\n- ") == 2
