"""The arguments: what each command is given, and complaints in one sentence."""

import re
from types import SimpleNamespace

import pytest

from satstudy.cli import arguments
from satstudy.cli.arguments import parser, shows_progress
from satstudy.cli.main import COMMANDS
from satstudy.core.errors import InputError

LINES = {
    "compress": "compress a.png a.sat",
    "decompress": "decompress a.sat a.png",
    "info": "info a.sat",
    "rd": "rd a.png b --csv r.csv",
    "weights": "weights",
    "train": "train",
    "synth": "data synth s",
    "check": "data check s",
    "fmow": "data fmow s --dry-run",
    "pack": "data pack s p.zip",
    "unpack": "data unpack p.zip s",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_line_that_runs_it(name):
    assert parser().parse_args(LINES[name].split()).run == name


def test_what_is_not_given_is_the_default():
    given = parser().parse_args(LINES["compress"].split())
    assert (given.lam, given.weights, given.bpp, given.bands) == (None, None, None, None)
    assert (given.tiling, given.patch, given.overlap, given.weighting) == ("seamless", None, 8, "mean")
    assert (given.device, given.quiet) == ("cpu", False)
    given = parser().parse_args(LINES["rd"].split())
    assert (given.images, given.codec, given.weights, given.fresh) == (["a.png", "b"], None, None, False)
    assert "overlap" not in given


def test_what_may_be_repeated_is_collected():
    given = parser().parse_args(["train", "--lam", "0.1", "--lam", "0.2", "--domain", "natural"])
    assert (given.lam, given.domain, given.profile) == ([0.1, 0.2], "natural", "quick")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "command: `satstudy --help` says what it takes."),
        ("compress a.png", "out: `satstudy compress --help` says what it takes."),
        ("data", "what: `satstudy data --help` says what it takes."),
        ("data synth s --size big", "invalid int value: 'big': `satstudy data synth --help` says"),
    ],
)
def test_complaints_name_the_help(line, words):
    with pytest.raises(InputError, match=re.escape(words)):
        parser().parse_args(line.split())


@pytest.mark.parametrize(("quiet", "terminal"), [(False, True), (True, True), (False, False)])
def test_bars_are_for_someone_who_watches(monkeypatch, quiet, terminal):
    monkeypatch.setattr(arguments.sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
    assert shows_progress(SimpleNamespace(quiet=quiet)) == (terminal and not quiet)
