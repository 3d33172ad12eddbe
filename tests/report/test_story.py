"""What the book says first: computed from the kept tables, with verdicts that follow from the numbers."""

import re

import numpy as np
import pandas as pd
import pytest
from scripts import ROOT

from satstudy.codecs import registry
from satstudy.report import paper, story

KEPT = ROOT / "results" / "reference"


@pytest.fixture(scope="module")
def kept():
    return story.read(KEPT)


def comparison(codec, reference, value, low, high, images=9):
    return {"codec": codec, "reference": reference, "bd_rate": value, "low": low, "high": high, "images": images,
            "compared": images, "shared_low": 25.0, "shared_high": 33.0,
            "of_means": value, "of_means_low": low, "of_means_high": high}  # fmt: skip


@pytest.fixture
def roles():
    """The learned codec and the pair of twins, as the registry has them."""
    return registry.main_codec(registry.names()), story.twins(registry.names())


def tables(*rows):
    return {"bd_rate": pd.DataFrame([comparison(*row) for row in rows])}


def numbers(text: str) -> list[float]:
    """The numbers of a text that have a decimal; names such as JPEG 2000 and sizes of images have none."""
    return [float(found.replace("−", "-")) for found in re.findall(r"−?\d+\.\d+", text)]


def test_each_number_of_a_finding_stands_in_a_tracked_table(kept):
    """Read anew here, by the standard library's CSV reader: a number of the page is one of a table, rounded."""
    import csv

    known = set()
    for path in KEPT.glob("*.csv"):
        if path.name.startswith(("bd_rate", "accuracy", "domain_gains")):
            for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
                for cell in row:
                    try:
                        known |= {round(abs(float(cell)), 1), round(abs(100 * float(cell)), 1)}
                    except (ValueError, OverflowError):
                        continue
    found = story.findings(kept["results"])
    assert len(found) == 4
    for finding in found:
        assert numbers(finding.number), finding
        for number in numbers(finding.number):
            if finding.title != "Classifiers":  # means over a matrix, which no cell holds
                assert round(abs(number), 1) in known, (finding.title, number)


@pytest.mark.parametrize(
    ("interval", "meaning"),
    [
        ((-9, -12, -5), "fewer bits than with any"),
        ((-1, -4, 2), "no difference is seen"),
        ((7, 3, 9), "fewer bits with it"),
    ],
)
def test_what_a_rate_means_follows_from_its_interval(roles, interval, meaning):
    codec, _ = roles
    results = tables((codec, "jpeg2000", -30, -40, -20), (codec, "avif", *interval))
    (finding,) = story.findings(results)
    assert finding.title == "Rate"
    assert meaning in finding.meaning
    words = "fewer bits than AVIF" if interval[0] < 0 else "more bits than AVIF"
    assert words in finding.number
    assert "30.0 % [20.0, 40.0] fewer bits than JPEG 2000" in finding.number


@pytest.mark.parametrize(
    ("more", "agrees", "meaning"),
    [
        ((40, 30, 50), "yes", "lost on photographs"),
        ((6, 3, 9), "partly", "lost on photographs"),
        ((1, -4, 2), "no", "and a loss on photographs is"),
        ((-3, -5, -1), "no", "Photographs train a better codec"),
    ],
)
def test_the_verdict_on_the_domain_follows_from_its_interval(roles, more, agrees, meaning):
    """The more bits a training on photographs needs on overhead imagery, the better for the paper's claim."""
    codec, _ = roles
    gains = pd.DataFrame(
        [("overhead", "both", 9, 8, 10), ("overhead", "natural", *more), ("natural", "overhead", 8, 7, 9)],
        columns=["tested_on", "test", "value", "low", "high"],
    )
    results = tables((codec, "jpeg2000", -30, -40, -20))
    results |= {"domain_gains": gains, "domain": pd.DataFrame({"seed": [0, 1, 1]})}
    claims = {claim.claim: claim for claim in story.claims(results)}
    (finding,) = [finding for finding in story.findings(results) if finding.title == "Domain"]
    assert meaning in finding.meaning
    assert f"{abs(more[0]):.1f} %" in finding.number
    assert "8.0 % [7.0, 9.0] more bits than the former" in finding.number
    assert finding.limit.startswith("2 trainings a side")
    assert claims["Training on the domain saves bits"].agrees == agrees
    assert claims["Learned compression needs fewer bits than JPEG 2000"].agrees == "yes"


def test_large_images_come_first_and_what_is_not_measured_is_left_out(roles):
    codec, _ = roles
    small = pd.DataFrame([comparison(codec, "jpeg2000", -30, -40, -20)])
    large = pd.DataFrame([comparison(codec, "jpeg2000", 11, 8, 14)])
    results = {"bd_rate": small, "bd_rate_mosaics": large}
    (finding,) = story.findings(results)
    assert "mosaics" in finding.number
    assert "11.0 % [8.0, 14.0] more bits" in finding.number
    (claim,) = story.claims(results)
    assert claim.agrees == "partly", "on one of two sets"
    assert claim.here.endswith("; −30.0 % to +11.0 % over 2 sets")
    assert finding.limit.endswith("Against JPEG 2000 on other images: −30.0 % on 1 set.")
    assert story.findings({}) == []


def test_each_set_has_a_line_of_the_bits_against_its_rivals(kept, roles):
    codec, _ = roles
    table = story.by_set(kept["results"], ["jpeg2000", "bpg"])
    frame = kept["results"]["bd_rate_naip"]
    row = frame[(frame["codec"] == codec) & (frame["reference"] == "jpeg2000")].iloc[0]
    line = table[table["bits against, in %"] == story.SETS["_naip"]].iloc[0]
    assert float(line["JPEG 2000"].replace("−", "-")) == round(row["bd_rate"], 1), "one place has no interval"
    assert int(line["images"]) == row["images"]
    assert list(table.columns) == ["bits against, in %", "images", "JPEG 2000"], "what was not measured has no column"
    every = story.by_set(kept["results"])
    assert set(every.columns) > {"AVIF", "JPEG", "JPEG 2000"}
    assert len(every) == len([name for name in story.SETS if f"bd_rate{name}" in kept["results"]])


def test_bits_without_headers_are_those_of_the_table(kept):
    text = story.without_headers(kept["results"])
    bare = pd.read_csv(KEPT / "bd_rate_bare_neon.csv").set_index(["codec", "reference"]).loc["learned", "avif"]
    assert f"NEON images of 200×200 pixels {bare['bd_rate']:+.1f} % [{bare['low']:.1f}, {bare['high']:.1f}]" in text
    assert "Without the bytes of an empty image (*learned* 47, AVIF 297)" in text
    assert story.without_headers(kept["results"], "bpg") == ""


def test_ranges_are_those_of_the_first_set_that_has_all_rivals(kept):
    table = pd.read_csv(KEPT / "bd_rate_mosaics.csv").set_index(["codec", "reference"])
    rows = [table.loc["learned-refined", name] for name in ("avif", "jpeg2000")]
    low, high = ([f"{row[name]:.0f}" for row in rows] for name in ("shared_low", "shared_high"))
    assert story.ranges(kept["results"], ["avif", "jpeg2000"], refined=True) == (
        f"mosaics of 1024×1024 pixels: {low[0]} to {high[0]} dB against AVIF, "
        f"{low[1]} to {high[1]} dB against JPEG 2000"
    )
    assert story.ranges(kept["results"], ["bpg"]) == ""


def test_refined_files_have_lines_of_their_own(roles):
    codec, _ = roles
    both = pd.DataFrame([comparison(codec, "avif", 5, 4, 6), comparison(f"{codec}-refined", "avif", -1, -2, 0.5)])
    results = {"bd_rate": both, "bd_rate_naip": both[:1]}
    assert story.by_set(results, ["avif"], refined=True)["AVIF"].tolist() == ["−1.0 [−2.0, 0.5]"]
    assert story.by_set(results, ["avif"])["AVIF"].tolist() == ["+5.0 [4.0, 6.0]"] * 2


def test_twins_differ_in_their_domain_alone(roles):
    codec, (overhead, natural) = roles
    kinds = [registry.find(name).learned for name in (codec, overhead, natural)]
    assert [kind.domain for kind in kinds] == ["overhead", "overhead", "natural"]
    assert not any(kind.refined for kind in kinds)
    assert story.twins(["jpeg"]) is None
    assert registry.main_codec(["jpeg"]) is None


def test_every_number_of_the_papers_tables_is_on_its_page(kept):
    page = story.numbers(kept["results"], kept["crops"])
    for line in paper.TABLE_2:
        for value in line:
            assert f"<td>{value:.2f}</td>" in page or f"<td>{value:g}</td>" in page, value
    for _, psnr, bpp in paper.TABLE_1:
        assert f"<td>{psnr:.2f}</td>" in page
        assert f"<td>{bpp:.2f}</td>" in page
    for bpp in (*paper.FIGURE_5_LEARNED, *paper.FIGURE_5_JPEG):
        assert f"{bpp:g}" in page
    for size in paper.SPLIT_SIZES.values():
        assert f"<td>{size:,}</td>" in page
    # Of 36 patches of 256 pixels on 1496 pixels, by hand.
    coded = 36 * 256**2
    assert f"{100 * (coded - 1496**2) / coded:.2f} %" in page
    assert f"{100 * (coded / 1496**2 - 1):.2f} %" in page


def test_other_readings_are_computed_from_the_papers_numbers(kept):
    text = story.readings(kept["results"])
    # 32.92 dB is 20·log10(255) − 10·log10(MSE); with 255 in place of 255² it is 10·log10(255) less.
    assert f"{32.92 - 10 * np.log10(255):.2f} dB" in text
    shares = {f"{100 * k / 378:.2f}" for k in range(379)}
    run = sum(f"{value:.2f}" in shares for line in paper.TABLE_2 for value in line)
    assert f"{run} of 32 percentages are multiples of 1/378" in text


def test_curves_have_every_class_and_the_means_of_the_table(kept):
    drawn = story.curves(kept["results"])
    frame = pd.read_csv(KEPT / "rate_distortion.csv")
    assert len(drawn.sets) >= frame["category"].nunique() + 1
    part = frame[(frame["category"] == "river") & (frame["codec"] == "jpeg")]
    expected = part.groupby("setting")[["bpp", "psnr"]].mean()
    shown = drawn.sets["class river"]
    shown = shown[shown["codec"] == "jpeg"].set_index("setting")[["bpp", "psnr"]]
    pd.testing.assert_frame_equal(shown.sort_index(), expected.sort_index())


@pytest.mark.parametrize(
    ("others", "verdict", "meaning"),
    [((0.5, 0.6), "no", "loses less"), ((0.5, 0.1), "partly", "Some"), ((0.1, 0.2), "yes", "As in the paper")],
)
def test_every_classifier_is_told_and_counts(kept, others, verdict, meaning):
    rows = [
        {"classifier": name, "trained_on": "a", "validated_on": to, "accuracy": share, "images": 90}
        for name, other in zip(("frozen", "scratch"), others, strict=True)
        for to, share in (("a", 0.8), ("b", other - 0.05), ("c", other + 0.05))
    ]
    results = kept["results"] | {"accuracy": pd.DataFrame(rows)}
    told = f"frozen 80.0 % and {100 * others[0]:.1f} %; scratch 80.0 % and {100 * others[1]:.1f} %"
    (finding,) = [f for f in story.findings(results) if f.title == "Classifiers"]
    assert told in finding.number
    assert meaning in finding.meaning
    (claim,) = [c for c in story.claims(results) if c.claim.startswith("A classifier works only")]
    assert told in claim.here
    assert claim.agrees == verdict
