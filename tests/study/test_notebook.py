"""The first and last cells of every notebook: parameters are checked, results are kept and found again."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import CONTENT, place, ship, tiny

from satstudy.codecs import LearnedCodec
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.study import notebook
from satstudy.study.notebook import begin, check_parameters, load_facts, load_table, read_codecs, save_facts, save_table
from satstudy.study.study import open_study

ANNOTATIONS = {"profile": str, "lam": float, "images": str, "count": int, "fast": bool}
PLAIN = {
    "__annotations__": ANNOTATIONS,
    "__name__": "__main__",
    "profile": "quick",
    "lam": 0.01,
    "images": "",
    "count": 3,
    "fast": True,
}


@pytest.fixture
def study(tmp_path, tiny_model):
    with place(tmp_path, tiny_model):
        yield open_study(tiny(), progress=False)


@pytest.fixture
def shown(monkeypatch):
    """What a notebook shows as text."""
    texts: list[str] = []
    monkeypatch.setattr(notebook, "show", texts.append)
    return texts


# --- Parameters -------------------------------------------------------------------------------------------


def test_parameters_that_fit_pass():
    check_parameters(PLAIN)
    check_parameters({**PLAIN, "lam": 1})  # a whole number is a float, too


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"lamb": 0.01}, ["'lamb'", "did you mean lam?", "profile, lam, images"]),
        ({"lmbda": 0.01}, ["'lmbda'", "did you mean lam?"]),
        ({"Profile": "smoke"}, ["'Profile'", "did you mean profile?"]),
        ({"xyz": None}, ["'xyz'", "take one of profile, lam, images"]),
        ({"qualities": [1, 2]}, ["'qualities'"]),
        ({"options": {"a": 1}}, ["'options'"]),
    ],
)
def test_a_parameter_that_the_notebook_lacks_stops_it_and_names_the_nearest(given, texts):
    with pytest.raises(InputError) as caught:
        check_parameters({**PLAIN, **given})
    message = str(caught.value)
    assert "\n" not in message
    assert "  " not in message
    for text in texts:
        assert text in message
    assert ("did you mean" in message) == any("did you mean" in text for text in texts)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("lam", "0.01", "float"),
        ("lam", True, "float"),
        ("lam", None, "float"),
        ("profile", 5, "str"),
        ("count", 1.0, "int"),
        ("count", True, "int"),
        ("fast", 1, "bool"),
    ],
)
def test_a_parameter_of_another_type_stops_it(name, value, kind):
    with pytest.raises(InputError, match=f"The parameter {name} is {value!r} and must be {kind}"):
        check_parameters({**PLAIN, name: value})


def test_what_a_kernel_defines_by_itself_is_no_parameter():
    def get_ipython():
        return None

    check_parameters(
        {
            **PLAIN, "In": [], "Out": {}, "_": 1, "__": "", "_i": "x", "_oh": {}, "_dh": [paths.ROOT], "exit": exit,
            "quit": quit, "open": open, "get_ipython": get_ipython, "begin": begin, "np": np, "__builtins__": {},
        }
    )  # fmt: skip


def test_a_first_cell_that_is_run_again_does_not_take_results_for_parameters(tmp_path, tiny_model, shown):
    path = _yaml(tmp_path)
    with place(tmp_path, tiny_model):
        namespace = {"__annotations__": {"profile": str}, "profile": str(path)}
        first = begin(namespace)
        namespace |= {"lams": [0.01], "frame": 3, "study": first}
        assert begin(namespace).profile == first.profile
        with pytest.raises(InputError, match="The parameter profile is 3"):
            begin({**namespace, "profile": 3})


def test_images_are_looked_for_in_the_first_cell_and_the_home_folder_is_known(tmp_path, tiny_model, shown, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "mine/a.png")
    with place(tmp_path, tiny_model):
        namespace = {
            "__annotations__": {"profile": str, "images": str},
            "profile": str(_yaml(tmp_path)),
            "images": "~/mine",
        }
        begin(namespace)
        assert namespace["images"] == f"{tmp_path}/mine"
        for images, words in (("no/such/folder", "no file or folder no/such/folder"), ("~/none", f"{tmp_path}/none")):
            with pytest.raises(InputError, match=words):
                begin({**namespace, "images": images})
        begin({**namespace, "images": ""})
        missing = {"kind": "folders", "root": "mine", "natural": "nowhere"}
        namespace["profile"] = str(_yaml(tmp_path, data=missing))
        with pytest.raises(InputError, match=r"reads images from .*nowhere, which is not there"):
            begin({**namespace, "images": ""})


@pytest.mark.parametrize(
    ("text", "codecs"),
    [
        (
            "avif 20 40 60, jpeg2000 0.3 .6, mbt2018",
            {"avif": (20, 40, 60), "jpeg2000": (0.3, 0.6), "mbt2018": "default"},
        ),
        (" jpeg ,mbt2018 0.01 1e-3", {"jpeg": "default", "mbt2018": (0.01, 0.001)}),
    ],
)
def test_codecs_and_settings_are_read(text, codecs):
    assert read_codecs(text) == codecs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("avfi 20", "There is no codec 'avfi': did you mean avif?"),
        ("avif 20 4x", "avif takes quality as a whole number such as 35, not '4x'."),
        ("avif 20 400", "AVIF takes quality as a whole number from 0 to 100, not 400."),
        ("jpeg 20, jpeg 30", "jpeg stands there twice: name each codec once."),
        ("mbt2018 20", "mbt2018 takes lam between 0 and 10"),
        ("jpeg,", "There is no codec ''"),
        ("jpeg; avif", "There is no codec 'jpeg;': did you mean jpeg?"),
    ],
)
def test_wrong_codecs_are_refused_in_the_first_cell(tmp_path, tiny_model, text, words):
    with place(tmp_path, tiny_model), pytest.raises(InputError) as caught:
        begin({"__annotations__": {"profile": str, "codecs": str}, "profile": str(_yaml(tmp_path)), "codecs": text})
    assert str(caught.value).startswith(f"The parameter codecs is {text!r}. ")
    assert words in str(caught.value)


def _own(folder, **given):
    """What `begin` opens for the notebook that measures own images."""
    namespace = {"profile": str(_yaml(folder)), "lam": 0.005, "images": "", "codecs": "", "weights": "", **given}
    namespace["__annotations__"] = {name: type(value) for name, value in namespace.items()}
    return begin(namespace), namespace


def test_own_images_have_the_weights_that_ship_and_no_banner(tmp_path, tiny_model, shown):
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "mine/a.png")
    with place(tmp_path, tiny_model):
        study, _ = _own(tmp_path, images=str(tmp_path / "mine"))
        assert shown == []
        assert study.lams == [0.01], "what ships, not what the profile trains"
        assert study.weights(0.01).path == tmp_path / "weights" / "overhead-lam0.01.safetensors"
        with pytest.raises(InputError, match=r"for lam = 0\.005 ship with this package: take one of 0\.01"):
            study.weights(0.005)
        assert study.results == tmp_path / "build" / "tiny-own" / "results"
        notebook.provenance(study)
        assert "from* own images" in shown[0]
        assert set(study.profile.rd.codecs) == set(CONTENT["rd"]["codecs"])
        study, _ = _own(tmp_path, images=str(tmp_path / "mine"), codecs="webp 30")
        assert study.profile.rd.codecs == {"webp": (30,)}


def test_own_weights_are_used_as_they_are(tmp_path, tiny_model, make_model, shown):
    with place(tmp_path, tiny_model):
        path = ship(tmp_path / "elsewhere", make_model(4), 0.03)
        study, namespace = _own(tmp_path, weights=str(path))
        assert namespace["lam"] == 0.03
        assert study.lams == [0.03]
        assert study.weights(0.03).path == path
        with pytest.raises(InputError, match=r"are for lam = 0\.03, not 0\.01"):
            study.weights(0.01)
        with pytest.raises(InputError, match="There are no weights at"):
            _own(tmp_path, weights="none.safetensors")


def test_an_own_image_of_the_notebook_for_one_is_no_synthetic_scene(tmp_path, tiny_model, shown):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    real = _yaml(tmp_path, data={"kind": "folders", "root": "x"})
    with place(tmp_path, tiny_model):
        for image, banners in (("", 1), (str(tmp_path / "a.png"), 0)):
            shown.clear()
            study = begin({"__annotations__": {"profile": str, "image": str}, "profile": str(real), "image": image})
            assert len(shown) == banners
            assert study.profile.data.label == ("own images" if image else "synthetic scenes")
        path = notebook.save_sat(study, "a", b"SaT")
        assert path == "build/tiny-own/results/a.sat"
        assert (tmp_path / path).read_bytes() == b"SaT"


# --- Begin and end ----------------------------------------------------------------------------------------


def _yaml(folder, **changes):
    path = folder / "tiny.yaml"
    path.write_text(json.dumps({**CONTENT, **changes}))  # JSON is YAML, too
    return path


def test_begin_opens_the_study_of_the_profile_and_says_synthetic(tmp_path, tiny_model, shown):
    with place(tmp_path, tiny_model):
        opened = begin({"__annotations__": {"profile": str}, "profile": str(_yaml(tmp_path))})
        assert opened.profile == tiny()
        assert opened.folder == tmp_path / "build" / "tiny"
        assert len(shown) == 1
        assert "Synthetic scenes" in shown[0]
        real = {"kind": "folders", "root": "x"}
        begin({"__annotations__": {"profile": str}, "profile": str(_yaml(tmp_path, data=real))})
        assert len(shown) == 1


def test_begin_checks_before_it_opens_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(notebook, "open_study", lambda *a: pytest.fail("opened"))
    with pytest.raises(InputError, match="did you mean lam"):
        begin({**PLAIN, "lamb": 0.1})


def test_the_foot_of_a_page_names_profile_commit_data_and_weights(study, shown):
    checkpoint = open_study(tiny(train={"steps": 0})).weights(0.01)
    notebook.provenance(study, [checkpoint])
    (text,) = shown
    for fact in ("tiny", paths.commit(), "synthetic scenes", "overhead lam=0.01 ("):
        assert fact in text
    assert LearnedCodec(checkpoint).fingerprint.hex() in text
    notebook.provenance(study, kept={"profile": "p", "commit": "c", "data": "d", "weights": "w"})
    assert "Made by profile* `p` *at commit* `c` *from* d" in shown[1]
    with pytest.raises(InputError, match="is not kept with them"):
        notebook.provenance(study, kept={})


# --- Results ----------------------------------------------------------------------------------------------


def test_a_table_comes_back(study):
    frame = pd.DataFrame(
        {
            "condition": ["original", "jpeg 75"],
            "category": ["NA", "None"],
            "setting": ["", "quality=75"],
            "psnr": [np.inf, 30.123456],
            "ms_ssim": [np.nan, 0.5],
            "bytes": [10, 123456789],
        }
    )
    path = save_table(study, "conditions", frame)
    assert path == study.results / "conditions.csv"
    pd.testing.assert_frame_equal(load_table(study, "conditions"), frame, rtol=1e-5)
    assert b"\r" not in path.read_bytes()


def test_facts_come_back(study):
    path = save_facts(study, "accuracy", {"uniform": np.float64(0.25), "seeds": 2, "arch": "dpn", "n": np.int64(3)})
    assert load_facts(study, "accuracy") == {"uniform": 0.25, "seeds": 2, "arch": "dpn", "n": 3}
    assert path.read_text().endswith("\n")
    assert load_facts(study, "nothing") == {}


@pytest.mark.parametrize(
    ("table", "stage"),
    [
        ("rate_distortion", "rd"),
        ("bd_rate", "rd"),
        ("bd_rate_naip", "rd"),
        ("bd_rate_tilings", "blending"),
        ("rate_distortion-own", "rd"),
        ("seams", "blending"),
        ("accuracy", "accuracy"),
        ("accuracy_conditions", "accuracy"),
        ("accuracy_leakage", "accuracy"),
    ],
)
def test_a_table_that_is_not_there_names_the_notebook_that_writes_it(study, table, stage):
    assert (paths.PACKAGE.parent / "notebooks" / f"{stage}.ipynb").is_file()
    with pytest.raises(
        InputError, match=rf"{table}\.csv of profile tiny is not there yet: run notebooks/{stage}\.ipynb"
    ):
        load_table(study, table)


def test_every_table_that_a_notebook_writes_is_known_by_its_writer():
    for path in (paths.PACKAGE.parent / "notebooks").glob("*.ipynb"):
        code = "".join("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"])
        for table in notebook._WRITERS:
            if f'save_table(study, "{table}"' in code:
                assert notebook._WRITERS[table] == path.stem
