"""The list of codecs: entries are complete, light to read, and all that a new codec needs."""

import importlib.util
import re
import subprocess
import sys

import pytest
from drawn_figures import legend
from small_study import opened

from satstudy.codecs import registry
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.metrics import bd_rate
from satstudy.report import figures_rd, labels, tables
from satstudy.study import rate_distortion
from satstudy.study.experiments import rate_distortion_frame

PAGE = paths.PACKAGE.parent / "book" / "change.md"

ENTRIES = [pytest.param(registry.find(name), id=name) for name in registry.names()]


# --- The entries ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_makes_what_it_describes(entry, checkpoint, wavelet_checkpoint):
    assert entry.label
    assert sorted(entry.ladder) == list(entry.ladder)
    assert len(entry.ladder) >= 4, "BD-rate takes four points or more"
    assert all(type(setting) is entry.setting_type for setting in entry.ladder)
    if entry.learned:
        weights = wavelet_checkpoint if entry.learned.every_rate else checkpoint
        codec = entry.make(weights, tiling="blend", refine=3 if entry.learned.refined else 0)
        assert (codec.tiling, codec.setting.split()[0]) == ("blend", "lam=0.01")
        assert codec.name == ("mbt2018" if entry.learned.domain == "natural" else entry.name), "weights tell the domain"
    else:
        made = [entry.make(setting) for setting in entry.ladder]
        assert {codec.name for codec in made} == {entry.name}
        settings = [f"{entry.parameter}={setting:g}" for setting in entry.ladder]
        assert [codec.setting.split()[0] for codec in made] == settings, "others follow where they are not the default"


def test_the_list_is_read_without_what_is_slow_to_import():
    code = (
        "import sys; from satstudy.codecs import registry; assert registry.find('learned').ladder;"
        "print({'torch', 'PIL', 'glymur', 'pandas', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=paths.PACKAGE.parent)
    assert done.stdout == "set()\n", done.stderr


def test_a_name_stands_once_and_an_unknown_one_names_the_nearest(monkeypatch):
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    with pytest.raises(InputError, match="'jpeg' is registered already"):
        registry.register(registry.find("jpeg"))
    with pytest.raises(InputError, match=r"no codec 'avfi': did you mean avif\? There are jpeg, "):
        registry.find("avfi")
    with pytest.raises(InputError, match="take one of jpeg, "):
        registry.find("zzz")


@pytest.mark.parametrize(
    ("name", "given", "settings"),
    [
        ("jpeg", "default", (4, 8, 15, 30, 50, 70, 85, 92)),
        ("jpeg", [10, 20.0], (10, 20)),
        ("jpeg2000", 1, (1.0,)),
        ("jpeg2000", (), ()),
        ("mbt2018", [0.01], (0.01,)),
    ],
)
def test_settings_of_a_profile_are_read(name, given, settings):
    found = registry.find(name).parse_settings(given)
    assert found == settings
    assert all(type(value) is registry.find(name).setting_type for value in found)


@pytest.mark.parametrize("given", ["all", [7.5], [True], ["x"], None, [None], {"a": 1}, [[1]]])
def test_settings_that_are_none_are_refused(given):
    with pytest.raises(InputError, match="jpeg takes quality as a whole number such as 50, not "):
        registry.find("jpeg").parse_settings(given)


# --- A codec of one's own, as the book shows it -------------------------------------------------------------


@pytest.fixture
def deflate(tmp_path, monkeypatch):
    """The module of the book's page, registered for this test."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    (code,) = re.findall(r'```python\n(""".*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "deflate.py"
    path.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("deflate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


needs_page = pytest.mark.skipif(not PAGE.exists(), reason="installed without a checkout")


@needs_page
def test_a_new_codec_is_measured_named_tabulated_and_drawn(deflate, picture, tmp_path):
    codecs = [entry.make(s) for entry in map(registry.find, ("deflate", "jpeg2000")) for s in entry.ladder]
    images = [(f"{seed}", picture(170, 180, seed), "x") for seed in range(2)]
    frame = rate_distortion.evaluate(images, codecs, tmp_path / "rd.csv", progress=False)
    curve = frame[frame["codec"] == "deflate"].groupby("setting")[["bpp", "psnr"]].mean().sort_values("bpp")
    assert curve["psnr"].is_monotonic_increasing
    assert list(curve.index) == [f"step={step}" for step in registry.find("deflate").ladder]
    assert labels.codec_name("deflate") == "Deflate"
    assert set(tables.rd_table(frame, resamples=20)["codec"]) == {"Deflate", "JPEG 2000"}
    table = tables.bd_table(bd_rate.bd_rates(frame))
    assert list(table["codec"]) == ["Deflate"]
    figure = figures_rd.rate_distortion(frame, resamples=20)
    assert legend(figure) == ["JPEG 2000", "Deflate"]
    assert figure.axes[0].lines[1].get_marker() == "*"


@needs_page
def test_a_new_codec_serves_in_profiles_and_conditions(deflate, here, drawn):
    study = opened(rd={"codecs": {"jpeg": [20], "deflate": "default"}}, accuracy={"train_on": ["deflate 16"]})
    frame = rate_distortion_frame(study, [])
    assert frame.groupby("codec")["setting"].nunique().to_dict() == {"deflate": 6, "jpeg": 1}
    assert study.condition_codec(study.profile.accuracy.train_on[0]) == deflate.Deflate(16)


@needs_page
def test_a_new_codec_serves_on_the_command_line(deflate, run):
    status, out, _ = run("rd a.png --codec deflate --csv rd.csv")
    assert status == 0
    assert out.count("deflate") == 6
