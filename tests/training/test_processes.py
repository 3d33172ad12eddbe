"""`torchrun` trains as one process does."""

import csv
import os
import subprocess
import sys

import pytest
import yaml

from satstudy.core import paths

PROFILE = {
    "name": "two",
    "description": "two processes train as one",
    "seed": 103,  # as in small_study
    "data": {"kind": "synthetic", "label": "x", "categories": 2, "train_objects": 3, "val_objects": 2, "size": 176},
    "splits": {"train_compress": 6, "train_class": 2, "val_class": 2},
    "train": {
        "lams": [0.01], "init": "scratch", "N": 8, "M": 12, "steps": 20, "batch": 4, "crop": 64,
        "validation": 1, "validate_every": 10,
    },
}  # fmt: skip
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m")


@pytest.mark.slow
def test_two_processes_of_torchrun_train_as_one(tmp_path):
    """The default optimizer, SOAP: sums of gradients in another order, nothing else, tell the two apart."""
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(PROFILE))
    losses = []
    for launcher in ((), TORCHRUN):
        build = tmp_path / f"build-{len(launcher)}"
        environment = {**os.environ, "SATSTUDY_BUILD": str(build), "OMP_NUM_THREADS": "1"}
        environment["PYTHONPATH"] = os.pathsep.join(map(str, (paths.PACKAGE.parent, *sys.path)))
        command = [sys.executable, "-m", *launcher, "satstudy.cli.main", "train", "--profile", tmp_path / "two.yaml"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (weights,) = done.stdout.splitlines()
        with open(os.path.join(os.path.dirname(weights), "metrics.csv"), newline="") as file:
            losses.append([(row["split"], row["step"], float(row["loss"])) for row in csv.DictReader(file)])
    one, two = losses
    assert len(one) >= 20
    assert [row[:2] for row in one] == [row[:2] for row in two]
    for a, b in zip(one, two, strict=True):
        assert a[2] == pytest.approx(b[2], rel=1e-3)
    print("largest relative difference", max(abs(a[2] - b[2]) / a[2] for a, b in zip(one, two, strict=True)))
