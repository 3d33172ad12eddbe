"""The weights of a study: trained when asked for, kept, and trained anew when a setting behind them changes."""

import shutil

import pytest
from PIL import Image
from small_study import opened, ship, tiny

from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.study import profiles, weights


def test_weights_are_trained_when_asked_for_and_read_again(here, monkeypatch):
    first = opened().weights(0.01)
    assert first.lam == 0.01
    about = first.metadata
    assert (about["profile"], about["domain"], about["synthetic"]) == ("tiny", "overhead", "true")
    assert (about["start"], about["steps"], about["N"], about["M"]) == ("overhead-lam0.01", "2", "8", "12")
    assert about["data"] == "synthetic scenes: train-compress"
    assert int(about["images"]) == 5, "one of six is for validation"
    folder = opened().training_folder(0.01)
    assert {path.name for path in folder.iterdir()} >= {"weights.safetensors", "metrics.csv"}
    monkeypatch.setattr(weights, "Trainer", lambda *a, **k: pytest.fail("trained again"))
    again = opened().weights(0.01)
    assert again.path == first.path
    assert all((again.model.weights()[name] == tensor).all() for name, tensor in first.model.weights().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"train": {"steps": 3}},
        {"train": {"lr": 1e-4}},
        {"train": {"optimizer": "adam"}},
        {"train": {"validation": 2}},
        {"splits": {"train_compress": 5}},
        {"seed": 205},
        {"train": {"init": "scratch", "N": 4, "M": 6}},
    ],
)
def test_other_settings_are_trained_anew(here, drawn, changes):
    opened().weights(0.01)
    opened(**changes).weights(0.01)
    assert len(drawn) == 2
    opened(**changes).weights(0.01)
    opened().weights(0.01)
    assert len(drawn) == 2, "both are kept"


def test_settings_that_do_not_touch_the_weights_leave_them(here, drawn):
    opened().weights(0.01)
    opened(
        description="other words",
        data={"label": "other", "on_error": "skip"},
        train={"lams": [0.01, 0.02], "validate_every": 2},
        rd={"images": 1},
        blending={"images": 2},
        accuracy={"leakage": True},
    ).weights(0.01)
    assert len(drawn) == 1


def test_other_weights_to_start_from_are_trained_anew(here, drawn, make_model):
    opened().weights(0.01)
    shipped = ship(paths.WEIGHTS, make_model(1), 0.01)
    opened().weights(0.01)
    assert len(drawn) == 2
    # The same bytes at another place are the same start.
    other = here / "mine.safetensors"
    shutil.copy(shipped, other)
    train = {"lams": [0.01], "init": "mine.safetensors"}
    opened(train=train).weights(0.01)
    assert len(drawn) == 2


def test_shipped_weights_start_from_the_nearest(here, drawn, make_model):
    ship(paths.WEIGHTS, make_model(1), 0.001)
    opened().weights(0.005)
    opened().weights(0.002)
    opened(train={"warm_steps": 1}).weights(0.02)
    assert [trainer.metadata["start"] for trainer in drawn] == [
        "overhead-lam0.01",
        "overhead-lam0.001",
        "overhead-lam0.01",
    ]
    assert [trainer.config.steps for trainer in drawn] == [2, 2, 2], "none starts from a neighbour"


def test_from_scratch_the_middle_comes_first_and_each_starts_from_its_neighbour(here, drawn):
    train = {"init": "scratch", "lams": [0.001, 0.1, 0.01, 0.003], "N": 4, "M": 6, "steps": 5, "warm_steps": 3}
    scratch = opened(train=train)
    assert scratch.ladder() == [0.01, 0.003, 0.001, 0.1]
    assert [scratch.neighbour(lam) for lam in (0.01, 0.003, 0.001, 0.1, 0.05, 0.002)] == [
        None,
        0.01,
        0.003,
        0.01,
        0.01,
        0.003,
    ]
    scratch.weights(0.001)
    assert [t.config.lam for t in drawn] == [0.01, 0.003, 0.001]
    assert [t.config.steps for t in drawn] == [5, 3, 3]
    assert [t.metadata["start"] for t in drawn] == ["random", "this study, lam=0.01", "this study, lam=0.003"]
    assert drawn[0].init is None
    assert (drawn[0].model.N, drawn[0].model.M) == (4, 6)
    # A longer training of the first λ reaches those that start from it.
    opened(train={**train, "steps": 6}).weights(0.001)
    assert len(drawn) == 6


def test_a_file_starts_the_ladder_at_its_own_lam(here, drawn, make_model):
    ship(here, make_model(2), 0.004)
    filed = opened(train={"init": "overhead-lam0.004.safetensors", "lams": [0.001, 0.005, 0.02]})
    assert filed.ladder() == [0.005, 0.02, 0.001]
    filed.weights(0.02)
    assert [t.metadata["start"] for t in drawn] == ["overhead-lam0.004", "this study, lam=0.005"]


def test_each_of_the_ladder_comes_after_the_one_it_starts_from(here):
    for lams in ([0.1], [0.1, 0.2], [0.0002, 0.0008, 0.0025, 0.0067, 0.013, 0.03]):
        scratch = opened(train={"init": "scratch", "lams": lams})
        done = []
        for lam in scratch.ladder():
            assert scratch.neighbour(lam) in (*done, None)
            done.append(lam)
        assert sorted(done) == lams


def test_without_steps_the_shipped_weights_serve_as_they_are(here, monkeypatch):
    monkeypatch.setattr(weights, "Trainer", lambda *a, **k: pytest.fail("trained"))
    still = opened(train={"steps": 0})
    assert still.weights(0.01).path == paths.WEIGHTS / "overhead-lam0.01.safetensors"
    with pytest.raises(InputError, match=r"overhead for lam = 0.02 ship with this package: take one of 0.01"):
        still.weights(0.02)
    with pytest.raises(InputError, match=r"natural for lam = 0.01 ship"):
        still.weights(0.01, NATURAL)


def test_a_lam_that_is_not_trained_takes_the_weights_that_ship_if_some_do(here, drawn):
    study = opened(train={"lams": [0.005]}, rd={"lams": [0.01, 0.005]})
    assert study.lams == [0.005, 0.01]
    assert study.weights(0.01).path == paths.WEIGHTS / "overhead-lam0.01.safetensors"
    assert drawn == []
    study.weights(0.005)
    study.weights(0.02)  # neither named nor shipped
    assert [trainer.config.lam for trainer in drawn] == [0.005, 0.02]
    assert opened(train={"lams": [0.005]}).lams == [0.005], "those that are trained, where rd.lams is empty"


def test_without_steps_weights_of_a_file_serve_as_they_are(here, drawn, make_model):
    ship(here, make_model(2), 0.03)
    study = opened(train={"lams": [0.03], "init": "overhead-lam0.03.safetensors", "steps": 0})
    assert study.weights(0.03).path == here / "overhead-lam0.03.safetensors"
    with pytest.raises(InputError, match=r"are for lam = 0\.03, not 0\.01: take that"):
        study.weights(0.01)
    assert drawn == []


@pytest.mark.parametrize("lam", [0.0, -1.0, 10.0, float("nan")])
def test_a_lam_that_is_no_trade_off_is_refused(here, lam):
    with pytest.raises(InputError, match="no trade-off"):
        opened(train={"init": "scratch"}).weights(lam)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"train": {"init": "data/none.safetensors"}}, r"starts from .*data/none.safetensors, which is not there"),
        ({"train": {"N": 16}}, "asks for N = 16 and starts from overhead-lam0.01 with N = 8: take the same N"),
        ({"train": {"init": "profile:none"}}, "There is no profile 'none'"),
        ({"train": {"validation": 6}}, "6 of 6 images are for validation"),
    ],
)
def test_what_cannot_start_is_said_in_one_sentence(here, changes, text):
    with pytest.raises(InputError, match=text):
        opened(**changes).weights(0.01)


@pytest.mark.parametrize("M", [15, 9])
def test_another_m_resizes_the_weights_it_starts_from(here, M):
    found = opened(train={"M": M}).weights(0.01)
    assert (found.model.N, found.model.M) == (8, M)
    assert found.metadata["start"] == f"overhead-lam0.01, M from 12 to {M}"


def test_each_lam_may_have_its_own_m(here, drawn):
    train = {"init": "scratch", "lams": [0.001, 0.01, 0.1], "N": 4, "M": [3, 6, 8]}
    study = opened(train=train)
    assert [study.weights(lam).model.M for lam in (0.1, 0.001, 0.02)] == [8, 3, 6], "0.02 is nearest to 0.01"
    assert [t.metadata["start"] for t in drawn] == [
        "random",
        "this study, lam=0.01, M from 6 to 8",
        "this study, lam=0.01, M from 6 to 3",
        "this study, lam=0.01",
    ]
    # M of one λ is nothing to another.
    opened(train={**train, "M": [3, 6, 9]}).weights(0.001)
    assert len(drawn) == 4
    opened(train={**train, "M": [4, 6, 8]}).weights(0.001)
    assert len(drawn) == 5


def test_a_study_can_start_from_another(here, drawn, monkeypatch):
    first = tiny(name="first", train={"lams": [0.004], "steps": 7})
    load = profiles.load
    monkeypatch.setattr(profiles, "load", lambda name: first if name == "first" else load(name))
    train = {"init": "profile:first", "lams": [0.001, 0.005, 0.02], "steps": 3, "warm_steps": 2}
    study = opened(train=train)
    assert study.ladder() == [0.005, 0.02, 0.001], "its own λ comes first"
    before = study.training_folder(0.001)
    assert not drawn, "a name needs no training"
    study.weights(0.001)
    assert [(t.config.lam, t.config.steps, t.metadata["start"]) for t in drawn] == [
        (0.004, 7, "overhead-lam0.01"),
        (0.005, 3, "first, lam=0.004"),
        (0.001, 2, "this study, lam=0.005"),
    ]
    assert drawn[0].folder.is_relative_to(paths.BUILD / "first")
    # What changes there changes here.
    first = tiny(name="first", train={"lams": [0.004], "steps": 8})
    assert opened(train=train).training_folder(0.001) != before


def test_what_another_study_has_trained_starts_from_its_own_lam(here, drawn, monkeypatch):
    first = tiny(name="first", train={"init": "scratch", "lams": [0.001, 0.004], "steps": 7})
    load = profiles.load
    monkeypatch.setattr(profiles, "load", lambda name: first if name == "first" else load(name))
    train = {"init": "profile:first", "lams": [0.001, 0.004, 0.02], "steps": 3, "warm_steps": 2, "context_passes": 1}
    study = opened(train=train)
    assert [study.neighbour(lam) for lam in (0.001, 0.004, 0.02)] == [None, None, 0.004]
    study.weights(0.001)
    study.weights(0.02)
    own = [t for t in drawn if t.config.context_passes]
    assert [(t.config.lam, t.config.steps, t.metadata["start"]) for t in own] == [
        (0.001, 3, "first, lam=0.001"),
        (0.004, 3, "first, lam=0.004"),
        (0.02, 2, "this study, lam=0.004"),
    ]
    assert [t.config.lam for t in drawn if t not in own] == [0.004, 0.001]


def test_profiles_that_start_from_each_other_are_refused(here, monkeypatch):
    circle = {name: tiny(name=name, train={"init": f"profile:{other}"}) for name, other in (("aa", "bb"), ("bb", "aa"))}
    monkeypatch.setattr(profiles, "load", circle.__getitem__)
    for start in ("aa", "bb"):
        with pytest.raises(InputError, match="starts from itself: name another one"):
            opened(train={"init": f"profile:{start}"}).ladder()


def test_nothing_shipped_names_the_remedy(here):
    shutil.rmtree(paths.WEIGHTS)
    with pytest.raises(InputError, match=r"set train\.init to scratch"):
        opened().weights(0.01)


def test_the_natural_twin_has_the_same_start_and_other_images(here, drawn):
    with pytest.raises(InputError, match=r"no natural images: set data\.natural"):
        opened().weights(0.01, NATURAL)
    with pytest.raises(InputError, match="'marine' is no domain: take overhead or natural"):
        opened().weights(0.01, "marine")
    folder = here / "photos"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (80, 80), (i, 0, 0)).save(folder / f"{i}.png")
    twin = opened(data={"natural": "photos"})
    assert twin.weights(0.01).metadata["domain"] == OVERHEAD
    assert twin.weights(0.01, NATURAL).metadata["domain"] == NATURAL
    assert twin.mbt2018(0.01, NATURAL).name == "mbt2018-natural"
    assert [t.metadata["start"] for t in drawn] == ["overhead-lam0.01"] * 2
    assert drawn[0].config == drawn[1].config
    assert {path.parent for path in drawn[1].images} == {folder}
    assert drawn[1].metadata["data"] == "natural photographs"


def test_validation_images_are_not_trained_on(here, drawn):
    opened(train={"validation": 2}).weights(0.01)
    assert (len(drawn[0].images), len(drawn[0].validation)) == (4, 2)
    assert not set(drawn[0].images) & set(drawn[0].validation)
