"""The arguments: what each command is given, and complaints in one sentence."""

import re
import shlex
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from satstudy.cli import arguments
from satstudy.cli.arguments import EXAMPLES, SHELLS, filled, parser, shows_progress
from satstudy.cli.main import COMMANDS
from satstudy.core.errors import InputError
from satstudy.core.paths import PACKAGE

ROOT = PACKAGE.parent
LINES = {
    "adapt": "adapt images a.safetensors",
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
    assert (given.lam, given.domain, given.profile) == ([0.1, 0.2], "natural", None)


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


def commands(of=None):
    """Every command's name and parser."""
    of = of or filled(parser())
    for action in of._actions:
        if isinstance(action, arguments.argparse._SubParsersAction):
            for command in action.choices.values():
                yield from commands(command)
    if run := of.get_default("run"):
        yield run, of


def test_every_help_ends_with_examples_that_are_understood():
    assert set(EXAMPLES) == {*COMMANDS, ""}
    (top,) = [action for action in parser()._actions if action.dest == "command"]
    assert "--tiling" in top.choices["compress"].format_help(), "the page on the command prints it unparsed"
    for name, command in [("", parser()), *commands()]:
        shown = command.format_help().partition("examples:\n")[2].splitlines()
        assert shown, name
        for line in (line.partition(" > ")[0].strip() for line in shown):
            words = shlex.split(line)
            assert words[0] == "satstudy"
            if "--completion" not in words:
                run = parser().parse_args(words[1:]).run
                assert name in ("", run), line


def lines_of_the_pages():
    """Every line `satstudy …` in a block of shell of README and book."""
    for page in (*ROOT.glob("*.md"), *(ROOT / "book").rglob("*.md")):
        for block in re.findall(r"^```shell\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("satstudy ") and "--completion" not in line:
                    yield pytest.param(line, id=f"{page.stem}: {line[:60]}")


@pytest.mark.parametrize("line", list(lines_of_the_pages()))
def test_every_line_of_the_pages_is_understood(line):
    assert parser().parse_args(shlex.split(line, comments=True)[1:]).run in COMMANDS


OPTIONS = [
    (name, option)
    for name, command in commands()
    for option in command._option_string_actions
    if option.startswith("--")
]


@given(st.sampled_from(OPTIONS), st.data())
def test_a_misspelt_option_names_the_right_one(chosen, data):
    name, option = chosen
    at = data.draw(st.integers(3, len(option) - 1))
    wrong = option[:at] + option[at] + option[at:]  # a letter twice is no abbreviation
    with pytest.raises(InputError) as caught:
        parser().parse_args([*LINES[name].split(), f"{wrong}=3"])
    assert f"there is no option {wrong} (did you mean {option}?)" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("compres a.png a.sat", "'compres' (did you mean compress?); there are compress, decompress,"),
        ("data synht s", "'synht' (did you mean synth?)"),
        ("rd a.png --csv r.csv --codec jpg2000", "'jpg2000' (did you mean jpeg2000?); there are jpeg,"),
        ("compress a.png a.sat --tiling seam", "'seam' (did you mean seamless?)"),
        ("compress a.png a.sat --tiling xyz", "invalid choice: 'xyz'; there are independent, blend, seamless:"),
        ("compress a.png a.sat --xyz", "there is no option --xyz: `satstudy compress --help`"),
        ("info a.sat b.sat", "too many arguments: b.sat: `satstudy info --help`"),
        ("--compl bash", None),  # an abbreviation, as argparse takes them
    ],
)
def test_a_misspelt_word_names_the_nearest(line, words, capsys):
    with pytest.raises(InputError if words else SystemExit, match=words and re.escape(words)):
        parser().parse_args(line.split())


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_names_every_command_and_option(shell, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(["--completion", shell])
    script = capsys.readouterr().out
    assert ended.value.code == 0
    if shell != "tcsh":  # which completes the commands alone
        for _, option in OPTIONS:
            assert option[2:] in script, option
    for name in COMMANDS:
        assert name in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("com", "compress"),
        ("compress --ti", "--tiling"),
        ("compress --tiling s", "seamless"),
        ("rd a.png --codec jpegx", "jpegxl"),
        ("data sy", "synth"),
        ("info pic", "picture.sat"),
        ("train --profile pic", "picture.sat"),
    ],
)
def test_bash_completes_a_line(tmp_path, capsys, line, completed):
    with pytest.raises(SystemExit):
        parser().parse_args(["--completion", "bash"])
    (tmp_path / "picture.sat").touch()
    script = f"""{capsys.readouterr().out}
COMP_WORDS=(satstudy {line}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_satstudy satstudy "${{COMP_WORDS[-1]}}"
echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == [completed], done.stderr


@pytest.mark.parametrize(("quiet", "terminal"), [(False, True), (True, True), (False, False)])
def test_bars_are_for_someone_who_watches(monkeypatch, quiet, terminal):
    monkeypatch.setattr(arguments.sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
    assert shows_progress(SimpleNamespace(quiet=quiet)) == (terminal and not quiet)
