"""The images of a pack: whole or not at all, inside the folder, and nothing else."""

import io
import json
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_command import files

from satstudy.core.errors import DamagedFile, InputError
from satstudy.data import packing
from satstudy.data.packing import unpack

FILES = {"lake/a.jpg": b"some pixels", "lake/b.webp": b"some others", "c.png": b"", "pack.json": b'{"images": 3}'}


def zipped(files=FILES, method=zipfile.ZIP_STORED, mode=stat.S_IFREG | 0o644, marked="lake/a.jpg"):
    """A ZIP; `marked` gets the mode."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            entry.external_attr = (mode if name == marked else 0) << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def test_all_comes_out_and_replaces_what_was_there(tmp_path):
    (tmp_path / "p.zip").write_bytes(zipped())
    (tmp_path / "out/lake").mkdir(parents=True)
    for name in ("lake/a.jpg", "other.txt"):
        (tmp_path / "out" / name).write_bytes(b"old")
    assert unpack(tmp_path / "p.zip", tmp_path / "out", progress=False) == 3
    assert files(tmp_path / "out") == {**FILES, "other.txt": b"old"}


def test_a_link_that_stands_in_the_way_is_replaced_not_followed(tmp_path):
    (tmp_path / "p.zip").write_bytes(zipped())
    (tmp_path / "precious").write_bytes(b"old")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/c.png").symlink_to(tmp_path / "precious")
    unpack(tmp_path / "p.zip", tmp_path / "out", progress=False)
    assert (tmp_path / "precious").read_bytes() == b"old"
    assert files(tmp_path / "out") == FILES


def refused(tmp_path, data, message, kind=InputError):
    (tmp_path / "p.zip").write_bytes(data)
    with pytest.raises(kind, match=message) as caught:
        unpack(tmp_path / "p.zip", tmp_path / "sub/out", progress=False)
    assert str(caught.value).startswith(f"{tmp_path}/p.zip ")
    assert files(tmp_path) == {"p.zip": data}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../a.jpg", r"holds '\.\./a\.jpg', which is no plain path below its folder: take"),
        ("lake/../../a.jpg", "no plain path"),
        ("/tmp/a.jpg", "no plain path"),
        ("//host/a.jpg", "no plain path"),
        ("C:\\a.jpg", "no plain path"),
        ("..\\a.jpg", "no plain path"),
        ("./c.jpg", "no plain path"),
        ("lake/", "no plain path"),
        ("a\x1b[2J.jpg", "no plain path"),
        ("run.sh", r"holds 'run\.sh', which is no image: take"),
        ("lake/.bashrc", "is no image"),
        ("lake/pack.json", "is no image"),
        ("lake/a.jpg/b.jpg", r"holds 'lake/a\.jpg', which has the name of another"),
        ("lake/d.jpg", "holds 4 images where pack.json says 3: make it again"),
    ],
)
def test_members_that_do_not_belong_are_refused(tmp_path, name, message):
    refused(tmp_path, zipped({**FILES, name: b"x"}), message)


def test_a_member_twice_is_refused(tmp_path):
    buffer = io.BytesIO(zipped())
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("c.png", b"another")
    refused(tmp_path, buffer.getvalue(), r"holds 'c\.png', which has the name of another file")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path, kind):
    data = zipped({**FILES, "lake/a.jpg": b"/etc/passwd"}, mode=kind | 0o777)
    refused(tmp_path, data, r"holds 'lake/a\.jpg', which is a link or a device: take")


def test_what_grows_on_unpacking_is_refused(tmp_path):
    bomb = zipped({**FILES, "lake/a.jpg": bytes(10**7)}, zipfile.ZIP_DEFLATED)
    assert len(bomb) < 20_000
    refused(tmp_path, bomb, "is compressed or encrypted: take")


def altered(data, name, offset, form, value):
    """The ZIP with one field changed of a member's entry in the central directory (APPNOTE 4.3.12)."""
    start = data.index(b"PK\x01\x02")
    while data[start + 46 : start + 46 + len(name)] != name.encode():
        start = data.index(b"PK\x01\x02", start + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, start + offset, *value)
    return bytes(changed)


def test_an_encrypted_member_is_refused(tmp_path):
    refused(tmp_path, altered(zipped(), "c.png", 8, "<H", [1]), "compressed or encrypted")


def test_members_above_a_size_are_refused(tmp_path, monkeypatch):
    refused(tmp_path, altered(zipped(), "c.png", 20, "<II", [2**30 + 1, 2**30 + 1]), r"'c\.png', which is too large")
    note = json.dumps({"images": 3, "more": "x" * 2**22}).encode()
    refused(tmp_path, zipped({**FILES, "pack.json": note}), r"'pack\.json', which is too large")
    monkeypatch.setattr(packing, "MAX_IMAGE_BYTES", 10)
    refused(tmp_path, zipped(), r"'lake/a\.jpg', which is too large")


def test_members_that_claim_more_than_the_file_has_are_refused(tmp_path):
    data = altered(zipped(), "c.png", 20, "<II", [10**8, 10**8])
    refused(tmp_path, data, r"has \d+ bytes and claims 1000000\d\d in its files: copy it again", DamagedFile)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    many = {f"{i}.jpg": bytes(5000) if i == 0 else b"" for i in range(9)}
    data = zipped({**many, "pack.json": b'{"images": 9}'})
    for i in range(1, 9):
        data = altered(data, f"{i}.jpg", 16, "<III", [zipfile.crc32(bytes(5000)), 5000, 5000])
    refused(tmp_path, data, "claims 45013 in its files", DamagedFile)


@pytest.mark.parametrize("note", [None, b"{", b"[]", b"{}", b"\xff", b"[" * 10**5])
def test_without_a_note_of_what_it_holds_it_is_no_pack(tmp_path, note):
    held = {name: data for name, data in FILES.items() if name != "pack.json"}
    message = "is no pack, or a damaged one .*: copy it again"
    refused(tmp_path, zipped(held if note is None else {**held, "pack.json": note}), message, DamagedFile)


def test_a_truncated_pack_is_refused(tmp_path):
    data = zipped()
    for length in range(0, len(data), 7):
        refused(tmp_path, data[:length], "is no pack, or a damaged one .*: copy it again", DamagedFile)


def test_no_file_a_folder_and_a_file_in_the_way(tmp_path):
    with pytest.raises(InputError, match=r"There is no file .*p\.zip: check the name"):
        unpack(tmp_path / "p.zip", tmp_path / "out")
    with pytest.raises(InputError, match="is no pack, or a damaged one"):
        unpack(tmp_path, tmp_path / "out")
    (tmp_path / "p.zip").write_bytes(zipped())
    with pytest.raises(InputError, match=r"p\.zip is a file: name a folder"):
        unpack(tmp_path / "p.zip", tmp_path / "p.zip")


@settings(max_examples=300)
@given(place=st.integers(0, len(zipped()) - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(tmp_path_factory, place, value):
    folder = tmp_path_factory.mktemp("fuzz")
    data = bytearray(zipped())
    data[place] = value
    (folder / "p.zip").write_bytes(data)
    try:
        unpack(folder / "p.zip", folder / "out", progress=False)
    except InputError:
        assert files(folder) == {"p.zip": bytes(data)}
    else:
        assert files(folder / "out") == FILES
