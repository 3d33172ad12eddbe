"""The archive for a machine without network: it trains there, and what comes back is what the study looks for."""

import os
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
import yaml
from PIL import Image
from scripts import script

from satstudy.core import paths
from satstudy.study.study import open_study

gpu_pack = script("gpu_pack")


@pytest.fixture
def profile(tmp_path, monkeypatch, picture):
    """A profile on eight images in a checkout of its own, and on the code of this one."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    for i in (0, 1, 2, 50, 90):
        for name in ("field", "port"):
            path = tmp_path / "data" / "tiles" / name / f"{name}{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(96, 96, i)).save(path)
    content = {
        "name": "tiny",
        "description": "for a test",
        "data": {"kind": "folders", "root": "data/tiles", "label": "tiles"},
        "splits": {"method": "number", "number": 3},
        "train": {
            "lams": [0.01], "init": "scratch", "N": 8, "M": 12, "steps": 2, "batch": 2, "crop": 64,
            "validation": 1, "validate_every": 1,
        },
        "rd": {"codecs": {"jpeg": [50]}},
    }  # fmt: skip
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def packed(monkeypatch, profile, *more: str) -> zipfile.ZipFile:
    monkeypatch.setattr(sys, "argv", ["gpu_pack.py", str(profile), *more])
    gpu_pack.main()
    return zipfile.ZipFile(paths.BUILD / "gpu-tiny.zip")


@pytest.mark.slow
def test_what_is_trained_elsewhere_is_what_the_study_looks_for(profile, monkeypatch, tmp_path, capsys):
    with packed(monkeypatch, profile) as archive:
        assert "6 images" in capsys.readouterr().out
        assert archive.read("trainings.txt").decode() == "train --profile tiny --domain overhead\n"
        wheels = archive.read("wheels.txt").decode().split()
        assert {"torch", "safetensors", "numpy"} <= {line.partition("==")[0] for line in wheels}
        assert not {"snakemake", "jupyterlab"} & {line.partition("==")[0] for line in wheels}
        archive.extractall(tmp_path / "there")
    assert not any("val" in name for name in zipfile.ZipFile(tmp_path / "there" / "data.zip").namelist())
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    results = tmp_path / "results"
    for _ in range(2):  # the second call finds all done
        done = subprocess.run(
            ["sh", tmp_path / "there" / "run.sh", "30", results], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "all is trained" in done.stdout
    with tarfile.open(results / "results.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    study = open_study(str(profile), progress=False)
    folder = study.training_folder(0.01)
    assert (folder / "weights.safetensors").is_file(), "the key of the training is the same there and here"
    assert study.weights(0.01).metadata["steps"] == "2"
    done = subprocess.run(["sh", tmp_path / "there" / "run.sh", "0", results], env=environment, capture_output=True)
    assert done.returncode == 75, "no time left"


def test_images_that_do_not_fit_are_coded_and_so_told_apart(profile, monkeypatch, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for path in (tmp_path / "data").rglob("*.png"):
        image = np.kron(rng.integers(60, 190, (12, 12, 3)), np.ones((8, 8, 1))) + rng.normal(0, 6, (96, 96, 3))
        Image.fromarray(image.astype(np.uint8)).save(path)
    with packed(monkeypatch, profile, "0.06") as archive:
        assert "as JPEG quality" in capsys.readouterr().out
        (name,) = [name for name in archive.namelist() if name.startswith("build/tiny/splits-object-")]
        assert archive.read(name).count(b".jpg,") == 6


def test_a_training_that_is_begun_goes_along(profile, monkeypatch):
    folder = open_study(str(profile), progress=False).training_folder(0.01)
    folder.mkdir(parents=True)
    (folder / "state.safetensors").write_bytes(b"state")
    (folder / "other").write_bytes(b"")
    with packed(monkeypatch, profile) as archive:
        kept = [name for name in archive.namelist() if name.startswith("build/tiny/train/")]
        assert kept == [f"build/tiny/train/{folder.name}/state.safetensors"]
