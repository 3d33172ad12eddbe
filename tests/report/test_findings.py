"""The sentences of the summary say what the tables hold."""

import pandas as pd
from measured_frames import BD, seams

from satstudy.report import findings, story

CONDITIONS = pd.DataFrame({"condition": ["jpeg 0.31bpp", "jpeg 0.77bpp", "original"],
                           "codec": ["jpeg", "jpeg", "original"], "setting": ["quality=9", "quality=33", ""],
                           "bpp": [0.324, 0.812, 24.0]})  # fmt: skip


def test_rates_name_codec_interval_and_images():
    text = findings.rate(BD)
    first, second = text.split("Of the mean curves")
    assert "learned −12.5 % [−13.0, −12.0]" in first
    assert "AVIF −20.0 % [−22.0, −18.0]" in first
    assert "WebP has too little PSNR in common with JPEG 2000" in first
    assert "1,200 images" in first
    assert text.index("learned") < text.index("AVIF")
    assert "learned +2.5 % [1.0, 4.0]" in second
    assert "AVIF −19.0 %." in second, "no bounds where there are none"
    assert findings.codec_change(BD, "jpeg") == "was not measured"
    assert "No codec" in findings.rate(BD.iloc[:0])


def test_blending_takes_the_overlap_nearest_to_the_papers():
    text = findings.blending(seams(2, 8, 32))
    assert "16.7 % fewer bits [16.7, 16.7] than blending with an overlap of 8 pixels, at +0.25 dB" in text
    assert "(3 images of 3 places, λ = 0.01)" in text
    assert "overlap of 2 pixels" in findings.blending(seams(2))
    assert "not both measured" in findings.blending(seams())
    worse = seams(8).assign(bytes=[100, 100, 100, 110, 90, 100])
    assert "−0.3 % fewer" not in findings.blending(worse)
    assert "0.3 % fewer bits [−10.0, 10.0]" in findings.blending(worse)
    alone = seams(8).assign(bytes=[100, 100, 100, 110, 110, 110])
    assert "10.0 % more bits than blending" in findings.blending(alone[alone["image"] == "a"])


def test_a_loss_of_quality_has_a_minus_sign_and_no_change_has_none():
    worse = seams(8)
    for quality, said in ((29.97, "−0.03 dB"), (29.999, "+0.00 dB")):
        worse.loc[worse["tiling"] == "seamless", "psnr"] = quality
        assert f"at {said}" in findings.blending(worse)


def test_ms_ssim_may_rank_otherwise():
    rows = BD.assign(codec="learned", reference=BD["codec"].replace("learned", "mbt2018"))
    text = findings.ms_ssim(rows, ["avif", "mbt2018", "vvc"])
    assert text.startswith("**MS-SSIM.** Bits of *learned* at equal MS-SSIM, 1,200 tiles: AVIF −20.0 %")
    assert "; mbt2018 −12.5 % [−13.0, −12.0]." in text
    assert "was compared" in findings.ms_ssim(rows, ["vvc"])
    assert "was compared" in findings.ms_ssim(BD, ["avif"])


def test_what_other_training_images_cost_is_said_for_both_kinds():
    gains = pd.DataFrame(
        [("overhead", "both", 1, 0, 2), ("overhead", "natural", 5.2, 3.1, 7.3), ("natural", "overhead", -1.5, -4, 0.6)],
        columns=["tested_on", "test", "value", "low", "high"],
    )
    text = findings.domain(gains)
    assert "on overhead imagery +5.2 % [3.1, 7.3] and on photographs −1.5 % [−4.0, 0.6] bits" in text


def test_each_kind_of_training_images_is_named_with_the_sets_it_changes_least_and_most():
    gains = pd.DataFrame(
        [("naip", "tiles alone", 9.96, 8, 12), ("neon", "tiles alone", 20, 10, 30),
         ("mosaics", "tiles alone", 12, 9, 15), ("bluemarble", "no colour changes", -0.5, None, None),
         ("naip", "no colour changes", 1, 0.5, 1.5)],
        columns=["set", "test", "value", "low", "high"],
    )  # fmt: skip
    names = story.named_sets()
    text = findings.training_images(gains, names)
    assert f"tiles alone +10.0 % [8.0, 12.0] on {names['naip']} to +20.0 % [10.0, 30.0] on {names['neon']};" in text
    assert text.endswith(f"no colour changes −0.5 % on {names['bluemarble']} to +1.0 % [0.5, 1.5] on {names['naip']}.")


def test_tilings_are_compared_by_place():
    rows = BD.assign(codec="mbt2018-seamless", reference="mbt2018-blend", category=["alps", "coast", "none"])
    assert findings.tilings(rows, {"coast": "shores"}) == (
        "**Tilings.** Bits of mbt2018 with `seamless` against blending, at equal PSNR: "
        "alps (1,200 images) −20.0 % [−22.0, −18.0]; shores (1,200 images) −12.5 % [−13.0, −12.0]."
    )
    assert "not both measured" in findings.tilings(BD, {})


def test_classifiers_compare_the_diagonal_with_the_rest():
    matrix = pd.DataFrame(
        {
            "trained_on": ["a", "a", "b", "b"],
            "validated_on": ["a", "b", "a", "b"],
            "accuracy": [0.8, 0.3, 0.2, 0.6],
        }
    )
    text = findings.classifiers(matrix, {"uniform": 0.1})
    assert "mean over the matrix: 70.0 % coded as in training, 25.0 % coded otherwise" in text
    assert "guessing gives 10.0 %" in text
    assert findings.classifiers(matrix[:1], {}).count("%") == 1
    assert findings.summary(BD, seams(8), matrix, {}).count("\n- ") == 2


def test_each_classifier_speaks_for_itself():
    matrix = pd.DataFrame({"classifier": ["frozen", "frozen", "scratch"], "trained_on": "a",
                           "validated_on": ["a", "b", "a"], "accuracy": [0.8, 0.3, 0.5]})  # fmt: skip
    text = findings.classifiers(matrix, {})
    assert "frozen: 80.0 % coded as in training, 30.0 % coded otherwise; scratch: 50.0 % coded as in training." in text


def test_the_lowest_rate_is_told_from_the_others():
    few, half = "jpeg 0.31bpp", "jpeg 0.77bpp"
    matrix = pd.DataFrame({"classifier": "frozen", "trained_on": [few, few, half, half, "original", "original"],
                           "validated_on": [few, half, few, "original", few, half],
                           "accuracy": [0.8, 0.1, 0.2, 0.9, 0.3, 0.7]})  # fmt: skip
    text = findings.where_they_fail(matrix, CONDITIONS)
    assert "with JPEG 0.32 bpp as one of the two codings and without it" in text
    assert "frozen 20.0 % and 80.0 %, at least 70.0 % (trained on uncompressed, validated on JPEG 0.81 bpp)." in text
    assert findings.where_they_fail(matrix[:3], CONDITIONS).endswith("frozen 15.0 %.")


def test_agreement_names_the_cell_that_differs_most():
    pairs = pd.DataFrame({"classifier": ["frozen", "frozen"], "other": ["tuned", "scratch"], "cells": [6, 5],
                          "correlation": [0.943, 0.5], "apart": [2, 0], "trained_on": ["jpeg 0.77bpp", "original"],
                          "validated_on": ["original", "jpeg 0.31bpp"], "difference": [-0.02, -0.1],
                          "other_difference": [0.0, -0.483]})  # fmt: skip
    text = findings.agreement(pairs, CONDITIONS)
    assert "frozen and tuned 0.94, apart in 2 of 6; frozen and scratch 0.50, apart in 0 of 5." in text
    assert "trained on uncompressed and validated on JPEG 0.32 bpp" in text
    assert "frozen changes by −10.0 points and scratch by −48.3." in text


def test_the_nearest_hypothesis_is_named_beside_the_base():
    table = pd.DataFrame({"classifier": "frozen", "hypothesis": ["swapped", "as they are"], "distance": [0.2, 0.5],
                          "low": [0.1, 0.4], "high": [0.3, 0.6], "difference": [-0.3, 0.0]})  # fmt: skip
    text = findings.explanation(table)
    assert "frozen: as they are 0.50 [0.40, 0.60], nearest of 1 change: swapped 0.20 [0.10, 0.30]" in text
    assert "come near with: swapped." in text
    far = findings.explanation(table.assign(distance=[0.3, 0.5]))
    assert "are not explained by any change that was tried" in far
    alone = findings.explanation(table[1:])
    assert "as they are 0.50" in alone
    assert "nearest" not in alone
    assert "not explained" in alone


def test_remedies_are_compared_with_training_on_uncompressed_images():
    table = pd.DataFrame({"classifier": "frozen", "trained_on": ["original", "jpeg 5", "avif 5", "noise", "JPEG-like"],
                          "accuracy": [0.2, 0.3, 0.25, 0.5, 0.7], "low": [0.1, 0.2, 0.2, 0.4, 0.6],
                          "high": [0.3, 0.4, 0.3, 0.6, 0.8]})  # fmt: skip
    text = findings.remedies(table)
    assert text.endswith(
        "frozen: uncompressed 20.0 [10.0, 30.0] %, one coding 25.0 to 30.0 %, JPEG-like 70.0 [60.0, 80.0] %, "
        "noise 50.0 [40.0, 60.0] %."
    )
    assert "one coding" not in findings.remedies(table[:1])


def test_a_rate_that_is_not_reached_is_said():
    inf = float("inf")
    rates = pd.DataFrame({"codec": ["jpeg", "mbt2018", "jpeg"], "bpp": [0.8, inf, 0.5], "low": [0.7, 0.95, 0.4],
                          "high": [0.9, inf, inf], "highest": [2.0, 0.99, 2.0],
                          "trained": ["original", "original", "matched"], "classifier": "frozen"})  # fmt: skip
    assert "the accuracy of the frozen classifier" in findings.sufficient(rates)
    assert findings.sufficient(rates).endswith(
        "Trained on uncompressed images: JPEG 0.80 [0.70, 0.90], mbt2018 > 0.99 [0.95, > 0.99]; on the same coding: "
        "JPEG 0.50 [0.40, > 2.00]."
    )
