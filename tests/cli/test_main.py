"""The command, called in process: what it refuses, how it fails, and that it starts quickly."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from small_command import files

from satstudy import __version__
from satstudy.cli import main
from satstudy.codecs.coding import bitstream
from satstudy.codecs.coding.bitstream import Header
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.errors import SatstudyError
from satstudy.data.images import read_image

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "arguments are required"),
        ("shrink a.png", "invalid choice"),
        ("compress a.png", "`satstudy compress --help` says"),
        ("compress nope.png x.sat", "no file nope.png"),
        ("compress text.png x.sat", "text.png is no image"),
        ("compress cut.png x.sat", "cut.png is truncated"),
        ("compress deep.tif x.sat", "scale it to 8 bits"),
        ("compress a.png images", "is a folder: name a file in it"),
        ("compress a.png nope/x.sat", "There is no folder"),
        ("compress a.png a.png", "is the input itself"),
        ("compress a.png x.png", "name it .sat"),
        ("compress a.png weights.safetensors", "name it .sat"),
        ("compress empty x", "empty: No image"),
        ("compress images a.png", "a.png is a file"),
        ("compress a.png x.sat --lam 0.5", "take one of 0.002, 0.02,"),
        ("compress a.png x.sat --lam 0.02 --bpp 1", "not allowed with"),
        ("compress a.png x.sat --bpp 0", "above 0"),
        ("compress a.png x.sat --bpp nan", "above 0"),
        ("compress a.png x.sat --weights nope.safetensors", "no weights at nope.safetensors"),
        ("compress a.png x.sat --weights a.png", "no safetensors file"),
        ("compress a.png x.sat --patch 100", "multiple of 16"),
        ("compress a.png x.sat --patch -16", "multiple of 16"),
        ("compress a.png x.sat --tiling blend --overlap -1", "between 0 and half"),
        ("compress a.png x.sat --tiling tiles", "invalid choice"),
        ("compress a.png x.sat --device nothing", "no device 'nothing'"),
        ("compress a.png x.sat --bands 3 2 1", "needs a TIFF"),
        ("decompress nope.sat x.png", "no file nope.sat"),
        ("decompress a.png x.png", "a.png: This is no .sat file"),
        ("decompress good.sat x.jpg", "name the output .png, .tif or .webp"),
        ("decompress good.sat x", "name the output .png, .tif or .webp"),
        ("decompress good.sat good.sat", "is the input itself"),
        ("decompress good.sat images", "is a folder"),
        ("decompress void.sat x.png", "void.sat: This is no .sat file"),
        ("decompress short.sat x.png", "short.sat: This file is damaged"),
        ("decompress head.sat x.png", "head.sat: This file is damaged"),
        ("decompress damaged.sat x.png", "damaged.sat: This file is damaged"),
        ("decompress damaged.sat x.tif", "damaged.sat: This file is damaged"),
        ("decompress newer.sat x.png", "update satstudy"),
        ("decompress foreign.sat x.png", "name them with --weights"),
        (
            "decompress good.sat x.png --weights {shelf}/overhead-lam0.002.safetensors",
            "decode it with the weights it was made with",
        ),
        ("decompress good.sat x.png --window 80 0 11 5", "leaves the image"),
        ("decompress good.sat x.tif --window 0 0 -5 5", "leaves the image"),
        ("decompress good.sat x.png --window 1 2 3", "expected 4"),
        ("decompress good.sat x.png --max-pixels 6299", "raise the limit"),
        ("decompress good.sat x.png --max-pixels -1", "must be 1 or more"),
        ("decompress images x", "holds no .sat file"),
        ("info nope.sat", "no file nope.sat"),
        ("info images", "images holds no .sat file"),
        ("info a.png", "a.png: This is no .sat file"),
        ("info damaged.sat", "damaged.sat: This file is damaged"),
        ("rd nope.png --csv r.csv", "no file or folder nope.png"),
        ("rd a.png", "required: --csv"),
        ("rd a.png --csv r.csv --codec gif", "invalid choice"),
        ("rd a.png --csv a.png", "name it .csv"),
        ("rd a.png --csv nope/r.csv", "There is no folder"),
        ("rd a.png --csv other.csv --codec jpeg", "no rate-distortion table"),
        ("rd text.png --csv r.csv --codec jpeg", "text.png is no image"),
        (
            "train",
            "Name the profile whose codec is to be trained: `satstudy train --profile quick`, or another of paper,",
        ),
        ("train --lam 0.01", "Name the profile"),
        ("train --profile nope", "no profile 'nope'"),
        ("data", "required"),
        ("data check nope", "no folder nope"),
        ("data synth a.png", "is a file"),
        ("data synth s --size 5", "too small"),
        ("data fmow f --manifest nope", "no nope"),
        ("data fmow f --train many", "invalid int"),
        ("data pack nope p.zip", "no folder nope"),
        ("data pack images p.tar", "name it .zip"),
        ("data pack images nope/p.zip", "There is no folder"),
        ("data pack images p.zip --limit 0", "above 0"),
        ("data pack images p.zip --limit 0.001", "raise the limit"),
        ("data pack images p.zip --numbers 9", "'9' is no range such as 0-39"),
        ("data pack images p.zip --numbers 9-8", "is no range"),
        ("data pack images p.zip --numbers 0-9", "no number at the end"),
        ("data unpack nope.zip x", "no file nope.zip"),
        ("data unpack a.png x", "a.png is no pack"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(run, work, shelf, line, words):
    good = LearnedCodec(checkpoint.load(shelf / "overhead-lam0.02.safetensors")).encode(read_image("a.png"))
    file = bitstream.read(good)
    foreign = Header(*good_sizes(file.header), bytes(8))
    middle = sum(file.spans[0]) // 2
    for name, data in {
        "good.sat": good,
        "void.sat": b"",
        "short.sat": good[:-5],
        "head.sat": good[:14] + bytes([good[14] ^ 1]) + good[15:],
        "damaged.sat": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "newer.sat": good[:3] + b"\x63" + good[4:],
        "foreign.sat": bitstream.write(foreign, [file.stream(0)]),
        "text.png": b"some text",
        "cut.png": (work / "a.png").read_bytes()[:3000],
        "weights.safetensors": b"",
        "other.csv": b"a,b\n1,2\n",
    }.items():
        (work / name).write_bytes(data)
    Image.fromarray(np.zeros((9, 9), np.uint16)).save("deep.tif")
    (work / "empty").mkdir()
    before = files(work)
    status, _, err = run(line.format(shelf=shelf))
    assert status == 2
    assert words in err
    assert err.startswith("satstudy: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    after = files(work)
    after.pop("r.csv", None)  # a table is begun before its images are read
    assert after == before


def good_sizes(header):
    return header.height, header.width, header.tiling, header.tile, header.overlap, header.group


@pytest.mark.parametrize(
    ("raised", "status", "words"),
    [
        (SatstudyError("It failed: try again."), 1, "It failed: try again."),
        (OSError(28, "No space left on device", "a.sat"), 1, "No space left on device (a.sat)"),
        (OSError("strange"), 1, "strange"),
        (MemoryError(), 1, "too little memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: …"), 1, "too little memory"),
        (KeyboardInterrupt(), 130, "no half-written file"),
    ],
)
def test_failures_have_another_status_and_leave_nothing(run, work, monkeypatch, raised, status, words):
    def fail(*_):
        raise raised

    monkeypatch.setattr(bitstream, "write", fail)
    before = files(work)
    found, out, err = run("compress a.png a.sat")
    assert (found, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1
    assert files(work) == before


def test_a_failure_while_writing_leaves_nothing(run, work, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    run("compress a.png a.sat")
    before = files(work)
    monkeypatch.setattr(Image.Image, "save", full)
    assert run("decompress a.sat b.png")[0] == 1
    assert files(work) == before


def test_what_is_a_mistake_of_ours_is_not_hidden(run, monkeypatch):
    monkeypatch.setattr(bitstream, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("compress a.png a.sat")


@pytest.mark.parametrize("name", ["-", "/dev/stdin", "pipe.png"])
def test_a_stream_for_a_name_is_refused_in_one_sentence(run, work, name):
    os.mkfifo(work / "pipe.png")
    if name == "/dev/stdin" and os.path.isfile(name):
        pytest.skip("standard input is a file here")
    for line in (
        f"compress {name} x.sat",
        f"decompress {name} x.png",
        f"info {name}",
        f"rd {name} --csv r.csv --codec jpeg",
    ):
        status, _, err = run(line)
        assert status == 2, line
        assert err.count("\n") == 1
        assert re.search("stands for no file|is a stream or a device|no file or folder", err), err
    assert run("compress a.png -")[0] == 2


def test_an_empty_name_is_not_the_current_folder(work, capsys):
    for line in (["compress", "", "out"], ["compress", "a.png", ""], ["info", ""], ["rd", "", "--csv", "r.csv"]):
        assert main.main(line) == 2
        assert capsys.readouterr().err.startswith("satstudy: an argument is empty")
    assert sorted(path.name for path in work.iterdir()) == ["a.png", "images"]


def test_a_name_that_is_too_long_is_bad_input(run):
    for line in (f"compress {'x' * 300}.png a.sat", f"compress a.png {'x' * 300}.sat", f"info {'x' * 300}"):
        status, _, err = run(line)
        assert status == 2
        assert err.endswith("shorten the name.\n")


def test_names_steer_no_terminal_and_break_no_line(work, capsys):
    name = "red\x1b[31m\r\n.png"
    (work / name).write_bytes((work / "a.png").read_bytes())
    assert main.main(["compress", name, "out\x1b\n.sat"]) == 0
    assert capsys.readouterr().out.startswith("out\\x1b\\n.sat: ")
    (work / name).write_text("no image")
    (work / "images" / name).write_text("no image")
    for line in (["compress", name, "x.sat"], ["compress", "images", "packed"]):
        assert main.main(line) == 2
        said = capsys.readouterr()
        assert "red\\x1b[31m" in said.err
        assert not set(said.out + said.err) & {"\x1b", "\r"}


def test_a_device_that_is_none_is_refused(run):
    for device in ("nothing", "cuda:99", "meta"):
        status, _, err = run(f"compress a.png x.sat --device {device}")
        assert (status, err) == (2, f"satstudy: PyTorch finds no device '{device}' here: take cpu.\n")


# --- In other surroundings ---


def called_apart(*arguments, work, **environment):
    """The command as a program of its own."""
    found = {**os.environ, **environment}
    line = [sys.executable, "-m", "satstudy.cli.main", *arguments]
    return subprocess.run(line, capture_output=True, timeout=300, cwd=work, env=found)


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": code} for code in ("cp1252", "latin-1", "ascii")]
    + [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=lambda e: next(iter(e.values())),
)
def test_any_encoding_of_the_output_will_do(work, checkpoint, environment):
    data = LearnedCodec(checkpoint).encode(np.zeros((9, 8, 3), np.uint8))
    (work / os.fsdecode(b"n\xff.sat")).write_bytes(data)
    done = called_apart("compress", "--help", work=work, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"lambda of the loss" in done.stdout
    done = called_apart("info", os.fsdecode(b"n\xff.sat"), work=work, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert (
        b"8x9 pixels" in done.stdout or "8×9 pixels".encode(environment.get("PYTHONIOENCODING", "ascii")) in done.stdout
    )
    done = called_apart("info", os.fsdecode(b"no\xff.sat"), work=work, **environment)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"satstudy: There is no file no\\xff.sat: check the name.\n"


def test_a_terminated_command_leaves_nothing_behind(work, picture):
    """Stopped while it writes: a large image, and a signal as soon as its temporary file is there."""
    code = (
        "import os, signal, sys\n"
        "from satstudy.cli import main\n"
        "from satstudy.core import paths\n"
        "import pathlib\n"
        "write = pathlib.Path.write_bytes\n"
        "def stopped(self, data):\n"
        "    write(self, data)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "pathlib.Path.write_bytes = stopped\n"
        "sys.exit(main.main(['compress', 'a.png', 'a.sat']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=work)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr == "satstudy: stopped; no half-written file is left.\n"
    assert sorted(path.name for path in work.iterdir()) == ["a.png", "images"]


def test_it_runs_as_a_program():
    found = subprocess.run(
        [sys.executable, "-m", "satstudy.cli.main", "--version"], capture_output=True, text=True, timeout=99
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("line", "slow"),
    [
        (["--help"], "numpy torch pandas PIL rasterio importlib.metadata"),
        (["compress", "--help"], "numpy torch pandas PIL rasterio"),
        (["rd", "--help"], "numpy torch pandas PIL rasterio"),
        (["info", "a.sat"], "numpy torch pandas PIL rasterio tqdm"),
        (["compress", "nope.png", "x.sat"], "torch pandas"),
        (["compress", "text.png", "x.sat"], "torch pandas"),
        (["decompress", "text.png", "x.png"], "torch pandas rasterio"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_nothing_slow_is_imported_before_it_is_needed(work, checkpoint, line, slow):
    (work / "a.sat").write_bytes(LearnedCodec(checkpoint).encode(np.zeros((9, 8, 3), np.uint8)))
    (work / "text.png").write_text("no image")
    code = (
        "import sys, contextlib\nfrom satstudy.cli import main\n"
        "with contextlib.suppress(SystemExit):\n    main.main(sys.argv[2:])\n"
        "sys.exit(' '.join(sorted(set(sys.argv[1].split()) & set(sys.modules))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, slow, *line], capture_output=True, text=True, cwd=work, timeout=99
    )
    assert done.returncode == 0 or done.stderr.splitlines()[-1] == "", done.stderr
