"""The command run in process, in a folder with small images, on weights with N = 8, M = 12 that "ship"."""

import os

import torch
from PIL import Image

from satstudy.cli import main
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core import paths


def stocked(folder, make_model):
    """A folder of shipped weights: two for overhead images, rising in rate, and one for natural ones."""
    for lam, domain, gain in (("0.002", "overhead", 0.4), ("0.02", "overhead", 1), ("0.02", "natural", 0.7)):
        model = make_model()
        with torch.no_grad():
            model.g_a[6].weight.mul_(gain)
        text = {"N": "8", "M": "12", "lam": lam, "domain": domain}
        checkpoint.save(folder / f"{domain}-lam{lam}.safetensors", model, text, hyper_tables(model))
    return folder


def furnished(folder, shelf, picture, monkeypatch):
    """The folder with images, in which the command runs."""
    monkeypatch.setattr(paths, "WEIGHTS", shelf)
    monkeypatch.chdir(folder)
    Image.fromarray(picture(70, 90)).save("a.png")
    for name in ("images/b.png", "images/sub/c.png"):
        os.makedirs(os.path.dirname(name), exist_ok=True)
        Image.fromarray(picture(40, 50)).save(name)
    return folder


def called(line, folder, capsys):
    """Status, output and error output of a command line; whatever happens, no temporary file stays."""
    status = main.main(line.split())
    said = capsys.readouterr()
    assert not list(folder.rglob(".*"))
    return status, said.out, said.err


def files(folder):
    """Name → bytes of every file below the folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
