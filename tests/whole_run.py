"""A run of the whole workflow, from the notebooks to the book."""

import os
import subprocess
import sys

from scripts import ROOT


def execute(command, folder, build):
    """Run a command with its results below `build`."""
    environment = {**os.environ, "SATSTUDY_BUILD": str(build), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    return done.returncode, done.stdout + done.stderr


def snakemake(folder, build, *arguments):
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile", "--directory", folder]
    return execute([*command, "--cores", "all", "--quiet", "rules", *arguments], folder, build)
