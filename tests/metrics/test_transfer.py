"""Statistics of many cells of the matrix, against scikit-learn, SciPy and plain loops."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, recall_score

from satstudy.core.errors import InputError
from satstudy.metrics import transfer
from satstudy.metrics.accuracy import accuracy_matrix
from satstudy.metrics.bootstrap import bootstrap_interval

CLASSES = np.array(["dam", "port", "zoo"])


def answers(skill, *, seeds=3, objects=40, seed=0):
    """A predictions frame; `skill` is (trained on, validated on) → share that is answered rightly."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 0.1, objects)
    rows = []
    for (trained, validated), share in skill.items():
        for run in range(seeds):
            for image in range(2 * objects):
                label = CLASSES[image // 2 % 3]
                right = rng.random() < share + hard[image // 2]
                wrong = CLASSES[(image // 2 + 1) % 3]
                rows.append(
                    (trained, validated, run, f"i{image:03d}", f"o{image // 2}", label, label if right else wrong)
                )
    return pd.DataFrame(
        rows, columns=["trained_on", "validated_on", "seed", "image", "object", "label", "predicted"]
    ).assign(probability=0.5)


SKILL = {("a", "a"): 0.9, ("a", "b"): 0.5, ("a", "c"): 0.7, ("b", "a"): 0.4, ("b", "b"): 0.8, ("b", "c"): 0.6}
FRAME = answers(SKILL)


def cell(trained, validated, frame=FRAME):
    return frame[(frame["trained_on"] == trained) & (frame["validated_on"] == validated)]


def test_cells_have_the_accuracies_and_the_intervals_of_the_matrix():
    found = transfer.cells(FRAME)
    assert list(found.names) == list(SKILL)
    matrix = accuracy_matrix(FRAME).set_index(["trained_on", "validated_on"])
    for i, (name, value) in enumerate(zip(found.names, found.values, strict=True)):
        part = cell(*name)
        assert value == pytest.approx(accuracy_score(part["label"], part["predicted"]))
        interval = found.interval(lambda v, i=i: v[i])
        assert (interval.low, interval.high) == pytest.approx(tuple(matrix.loc[name, ["low", "high"]]))


def test_differences_to_the_own_condition_are_paired():
    found = transfer.against_own(FRAME).set_index(["trained_on", "validated_on"])
    one, other = (cell("a", row).sort_values(["seed", "image"]) for row in "ba")
    gap = (one["label"] == one["predicted"]).to_numpy(float) - (other["label"] == other["predicted"]).to_numpy(float)
    expected = bootstrap_interval(gap, clusters=one["object"].tolist(), runs=one["seed"].tolist())
    assert tuple(found.loc[("a", "b")]) == pytest.approx(tuple(expected))
    assert tuple(found.loc[("b", "b")]) == (0, 0, 0)
    without = transfer.against_own(FRAME[FRAME["validated_on"] != "a"]).set_index(["trained_on", "validated_on"])
    assert without.loc[("a", "b")].isna().all()


def test_cells_of_other_images_are_refused():
    with pytest.raises(InputError, match="not measured on the same images"):
        transfer.cells(FRAME.drop(index=FRAME.index[-1]))
    with pytest.raises(InputError, match="lacks the columns"):
        transfer.cells(FRAME.drop(columns="object"))
    with pytest.raises(InputError, match="No classifier trained on a was validated on d"):
        transfer.cells(FRAME).index("a", "d")


# --- Agreement of classifiers ---------------------------------------------------------------------------


def test_agreement_compares_the_cells_that_two_classifiers_share():
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(5)]
    rows = []
    for classifier in ("frozen", "scratch", "tuned"):
        for trained in names[:3]:
            for validated in names if classifier != "tuned" else names[:4]:
                gap = 0.0 if trained == validated else rng.normal(-0.2, 0.1)
                half = rng.uniform(0.01, 0.1)
                rows.append((classifier, trained, validated, gap, gap - half, gap + half))
    columns = ["classifier", "trained_on", "validated_on", "difference", "difference_low", "difference_high"]
    matrix = pd.DataFrame(rows, columns=columns)
    found = transfer.agreement(matrix)
    assert list(zip(found["classifier"], found["other"], found["cells"], strict=True)) == [
        ("frozen", "scratch", 12),
        ("frozen", "tuned", 9),
        ("scratch", "tuned", 9),
    ]
    for row in found.itertuples():
        one, other = (
            {(r.trained_on, r.validated_on): r for r in matrix.itertuples() if r.classifier == name}
            for name in (row.classifier, row.other)
        )
        shared = [cell for cell in one if cell in other and cell[0] != cell[1]]
        a, b = (pd.Series([side[cell].difference for cell in shared]) for side in (one, other))
        assert row.correlation == pytest.approx(a.corr(b, method="spearman"))
        separate = [
            max(one[c].difference_low, other[c].difference_low) > min(one[c].difference_high, other[c].difference_high)
            for c in shared
        ]
        assert row.apart == sum(separate)
        farthest = shared[int(np.argmax(np.abs(a - b)))]
        assert (row.trained_on, row.validated_on) == farthest
        assert (row.difference, row.other_difference) == (one[farthest].difference, other[farthest].difference)


def test_agreement_of_few_cells_has_no_correlation():
    matrix = pd.DataFrame({"classifier": ["x", "x", "y", "y", "z"], "trained_on": "a", "validated_on": list("abbcq"),
                           "difference": [0, -0.1, -0.2, -0.3, np.nan],
                           "difference_low": -0.4, "difference_high": 0.0})  # fmt: skip
    (row,) = transfer.agreement(matrix).to_dict("records")
    assert (row["classifier"], row["other"], row["cells"], row["apart"]) == ("x", "y", 1, 0)
    assert math.isnan(row["correlation"])
    assert transfer.agreement(matrix[:2]).empty


# --- Patterns ---------------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 999))
def test_the_distance_of_patterns_is_that_of_plain_loops(rows, columns, seed):
    rng = np.random.default_rng(seed)
    ours, paper = rng.uniform(0.3, 1, (2, rows, columns))
    own, chance, other = rng.integers(rows, size=columns), 0.05, 0.02
    total, count = 0.0, 0
    for j in range(columns):
        for i in range(rows):
            if i != own[j]:
                a = (ours[i, j] - chance) / (ours[own[j], j] - chance)
                b = (paper[i, j] - other) / (paper[own[j], j] - other)
                total, count = total + (a - b) ** 2, count + 1
    found = transfer.pattern_distance(ours, paper, own, chance, other)
    assert found == pytest.approx(math.sqrt(total / count))
    assert transfer.pattern_distance(paper, paper, own, other, other) == 0


PAPER = pd.DataFrame({"a": [80.0, 20, 70], "b": [20.0, 80, 30]}, index=["a", "b", "c"])


def test_hypotheses_are_ranked_by_their_distance():
    like = {("a", "a"): 0.8, ("a", "b"): 0.25, ("a", "c"): 0.7, ("b", "a"): 0.25, ("b", "b"): 0.8, ("b", "c"): 0.3}
    frames = {
        "as they are": answers(dict.fromkeys(SKILL, 0.9), seed=1),
        "like the paper": answers(like, seed=2),
        "half way": answers({k: (v + 0.9) / 2 for k, v in like.items()}, seed=3),
    }
    found = transfer.compare_patterns(frames, PAPER, 0, 0, "as they are")
    assert found["hypothesis"].tolist() == ["like the paper", "half way", "as they are"]
    assert found["distance"].is_monotonic_increasing
    assert (found["low"] < found["distance"]).all()
    assert (found["distance"] < found["high"]).all()
    assert found["cells"].tolist() == [4] * 3
    base = found.set_index("hypothesis").loc["as they are"]
    assert tuple(base[["difference", "difference_low", "difference_high"]]) == (0, 0, 0)
    best = found.set_index("hypothesis").loc["like the paper"]
    assert best["difference_high"] < 0, "nearer than the base, surely"
    assert best["own"] == pytest.approx(0.8, abs=0.07)


def test_conditions_that_are_missing_are_left_out_for_all():
    few = answers({k: v for k, v in SKILL.items() if k[0] == "a"})
    found = transfer.compare_patterns({"all": FRAME, "few": few}, PAPER, 0, 0, "all")
    assert found["cells"].tolist() == [2, 2]
    with pytest.raises(InputError, match="share too few"):
        transfer.compare_patterns({"all": FRAME}, PAPER.rename(index={"a": "x", "b": "y"}), 0, 0, "all")


# --- Worst cases ------------------------------------------------------------------------------------------


def test_the_worst_row_of_each_column():
    found = transfer.worst_rows(FRAME, ["a", "b"], "a").set_index("trained_on")
    values = {name: accuracy_score(*(cell(*name)[c] for c in ("label", "predicted"))) for name in SKILL}
    assert found["worst"].to_dict() == {"a": "b", "b": "a"}
    assert found.loc["a", "accuracy"] == pytest.approx(values["a", "b"])
    assert found.loc["b", "mean"] == pytest.approx((values["b", "a"] + values["b", "b"]) / 2)
    assert found.loc["b", "gain"] == pytest.approx(values["b", "a"] - values["a", "b"])
    assert tuple(found.loc["a", ["gain", "gain_low", "gain_high"]]) == (0, 0, 0)
    assert (found["low"] < found["accuracy"]).all()


# --- Rates ------------------------------------------------------------------------------------------------


SHARES = st.floats(0, 1, allow_subnormal=False)  # an earlier test may have had PyTorch flush subnormal numbers


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.floats(0.01, 3), SHARES), min_size=2, max_size=8, unique_by=lambda p: round(p[0], 3)), SHARES
)
def test_the_sufficient_rate_is_where_the_curve_last_crosses(points, wanted):
    rates, accuracies = np.array(points).T
    found = transfer.sufficient_rate(rates, accuracies, wanted)
    order = np.argsort(rates)
    x, y = np.log(rates[order]), accuracies[order]
    if (y >= wanted).all():
        assert found == rates.min()
    elif y[-1] < wanted:
        assert found == math.inf
    else:
        last = int(np.flatnonzero(y < wanted)[-1])
        root = brentq(lambda t: np.interp(t, x, y) - wanted, x[last], x[last + 1])
        assert found == pytest.approx(np.exp(root), rel=1e-6)
        assert (y[x > np.log(found) + 1e-9] >= wanted - 1e-9).all()


def curve_frame():
    shares = {"original": 0.92, "j1": 0.5, "j2": 0.8, "j3": 0.92, "w1": 0.3, "w2": 0.6}
    return answers({("original", name): share for name, share in shares.items()}, objects=120)


def test_sufficient_rates_by_codec():
    conditions = pd.DataFrame(
        {
            "condition": ["j1", "j2", "j3", "w1", "w2"],
            "codec": ["jpeg"] * 3 + ["webp"] * 2,
            "bpp": [0.1, 0.2, 0.4, 0.1, 0.5],
        }
    )
    found = transfer.sufficient_rates(curve_frame(), conditions, margin=0.06).set_index("codec")
    assert 0.2 < found.loc["jpeg", "bpp"] <= 0.4
    assert found.loc["jpeg", "low"] <= found.loc["jpeg", "bpp"] <= found.loc["jpeg", "high"]
    assert np.isposinf(found.loc["webp", ["bpp", "low", "high"]].astype(float)).all(), "no measured rate suffices"
    assert found.loc["webp", ["lowest", "highest"]].tolist() == [0.1, 0.5]


def test_a_bound_of_a_sufficient_rate_may_lie_above_all_rates():
    conditions = pd.DataFrame({"condition": ["j1", "j3"], "codec": "jpeg", "bpp": [0.1, 0.4]})
    predictions = answers(
        {("original", "original"): 0.85, ("original", "j1"): 0.5, ("original", "j3"): 0.86}, objects=120
    )
    found = transfer.sufficient_rates(predictions, conditions).iloc[0]
    assert 0.1 < found["low"] < found["bpp"] <= 0.4
    assert found["high"] == math.inf


# --- What predicts accuracy -------------------------------------------------------------------------------


def test_rank_correlations_are_spearman_s():
    frame, names = curve_frame(), ["j1", "j2", "j3", "w1", "w2"]
    rng = np.random.default_rng(4)
    images = frame["image"].nunique()
    shares = dict(zip(names, (0.5, 0.8, 0.9, 0.3, 0.6), strict=True))
    measures = {
        "PSNR": {name: 25 + 10 * share + rng.normal(0, 1, images) for name, share in shares.items()},
        "noise": {name: rng.normal(0, 1, images) for name in names},
    }  # fmt: skip
    found = transfer.rank_correlations(frame, measures, names).set_index("measure")
    accuracies = [accuracy_score(*(cell("original", n, frame)[c] for c in ("label", "predicted"))) for n in names]
    for name, of in measures.items():
        expected = spearmanr(accuracies, [of[n].mean() for n in names]).statistic
        assert found.loc[name, "correlation"] == pytest.approx(expected)
    assert found.loc["PSNR", "low"] > 0.5
    assert found.loc["noise", "low"] < found.loc["noise", "high"]


def test_measures_are_of_the_images_in_the_order_of_their_names():
    frame = answers({("original", "j1"): 0.5}, objects=3, seeds=2).sample(frac=1, random_state=0)
    values = np.arange(6.0)
    found = transfer.cells(frame, {"order": values})
    assert found.values[found.index("", "order")] == pytest.approx(2.5)
    only = transfer.cells(frame[frame["image"].isin(["i000", "i005"])], {"order": np.array([0.0, 5.0])})
    assert only.values[1] == 2.5


def test_class_accuracies_are_recalls():
    found = transfer.class_accuracies(FRAME).set_index(["trained_on", "validated_on", "label"])
    part = cell("a", "b")
    recalls = recall_score(part["label"], part["predicted"], labels=CLASSES, average=None)
    assert found.loc[("a", "b")]["accuracy"].reindex(CLASSES).to_numpy() == pytest.approx(recalls)
    assert found.loc[("a", "b")]["images"].sum() == 80
