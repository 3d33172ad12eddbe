"""Fetching survives interruptions and says what is wrong; no network is touched."""

import collections
import http.client
import io
import shutil
import threading
import urllib.error
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest

from satstudy.core.errors import InputError, SatstudyError
from satstudy.data import download
from satstudy.data.download import BASE_URL, fetch

PATHS = [f"val/zoo/zoo_{i}/zoo_{i}_0_rgb.{ending}" for i in range(3) for ending in ("jpg", "json")]


class Bucket:
    """An opener that counts, and fails as told: url → exceptions to raise first, or bytes to cut."""

    def __init__(self, fail=None, cut=None, length=True):
        self.fail, self.cut, self.length = fail or {}, cut or {}, length
        self.asked = collections.Counter()
        self.lock = threading.Lock()

    def __call__(self, url):
        name = url.removeprefix(BASE_URL)
        with self.lock:
            self.asked[name] += 1
            errors = self.fail.get(name, [])
            error = errors.pop(0) if errors else None
            cut = self.cut.pop(name, None)
        if error:
            raise error
        data = name.encode() * 10
        answer = io.BytesIO(data[:cut])
        answer.headers = {"Content-Length": str(len(data))} if self.length else {}
        return answer


def status(code):
    return urllib.error.HTTPError("u", code, "reason", Message(), None)


def run(paths, root, bucket, **options):
    return fetch(paths, root, bucket, **{"backoff": 0, "progress": False, "notify": lambda text: None, **options})


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


WHOLE = {name: name.encode() * 10 for name in PATHS}


@pytest.mark.parametrize("workers", [1, 4])
def test_files_come_to_their_own_places(tmp_path, workers):
    bucket = Bucket()
    report = run(PATHS, tmp_path / "new", bucket, workers=workers)
    assert content(tmp_path / "new") == WHOLE
    assert (report.fetched, report.present, report.bytes) == (6, 0, sum(map(len, WHOLE.values())))


def test_names_are_quoted_in_the_url(tmp_path):
    asked = []
    with pytest.raises(ZeroDivisionError):
        run(["a b/#1?.jpg"], tmp_path, lambda url: asked.append(url) or 1 / 0)
    assert asked == [BASE_URL + "a%20b/%231%3F.jpg"]


def test_what_is_there_is_not_fetched_again_but_an_empty_file_is(tmp_path):
    run(PATHS[:2], tmp_path, Bucket())
    (tmp_path / PATHS[1]).write_bytes(b"")
    bucket = Bucket()
    report = run([*PATHS, *PATHS], tmp_path, bucket)
    assert (report.fetched, report.present) == (5, 1)
    assert PATHS[0] not in bucket.asked
    assert set(bucket.asked.values()) == {1}
    assert content(tmp_path) == WHOLE
    assert run(PATHS, tmp_path, Bucket()).bytes == 0


@pytest.mark.parametrize(
    "error",
    [status(503), status(429), urllib.error.URLError("down"), TimeoutError(), ConnectionResetError(),
     http.client.IncompleteRead(b"")],
)  # fmt: skip
def test_passing_trouble_is_tried_again(tmp_path, error):
    bucket = Bucket(fail={PATHS[0]: [error, error]})
    run(PATHS, tmp_path, bucket)
    assert content(tmp_path) == WHOLE
    assert bucket.asked[PATHS[0]] == 3


@pytest.mark.parametrize("cut", [0, 7])
def test_a_cut_answer_is_tried_again_and_never_left_lying(tmp_path, cut):
    bucket = Bucket(cut={PATHS[0]: cut})
    run(PATHS, tmp_path, bucket)
    assert content(tmp_path) == WHOLE
    assert bucket.asked[PATHS[0]] == 2


def test_an_answer_without_a_length_is_taken(tmp_path):
    run(PATHS, tmp_path, Bucket(length=False))
    assert content(tmp_path) == WHOLE


def test_lasting_trouble_keeps_what_came_and_says_how_to_go_on(tmp_path):
    bucket = Bucket(fail={PATHS[5]: [status(500)] * 9})
    with pytest.raises(SatstudyError, match=r"in 3 attempts .*run the same again") as error:
        run(PATHS, tmp_path, bucket, workers=1, attempts=3)
    assert not isinstance(error.value, InputError)
    assert bucket.asked[PATHS[5]] == 3
    assert content(tmp_path) == {name: WHOLE[name] for name in PATHS[:5]}
    assert run(PATHS, tmp_path, Bucket()).fetched == 1


def test_a_refusal_is_one_sentence_with_the_remedy_and_not_repeated(tmp_path):
    bucket = Bucket(fail={PATHS[0]: [status(403)] * 9})
    with pytest.raises(SatstudyError, match=r"\(403\).*--no-sign-request") as error:
        run(PATHS, tmp_path, bucket, workers=1)
    assert bucket.asked == {PATHS[0]: 1}
    assert "\n" not in str(error.value)


def test_a_file_that_the_bucket_has_not_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="has no val/zoo"):
        run(PATHS, tmp_path, Bucket(fail={PATHS[2]: [status(404)]}))
    with pytest.raises(SatstudyError, match="HTTP Error 400"):
        run(PATHS, tmp_path, Bucket(fail={PATHS[2]: [status(400)]}))


def test_an_interrupt_stops_the_other_workers_and_leaves_no_half_file(tmp_path):
    class Endless(io.RawIOBase):
        def __init__(self):
            self.headers = {}

        def read(self, size=-1):
            return b"x"

    def opener(url):
        if url.endswith(PATHS[0]):
            raise KeyboardInterrupt
        return Endless()

    with pytest.raises(KeyboardInterrupt):
        run(PATHS, tmp_path, opener, workers=2)
    assert content(tmp_path) == {}


def test_a_file_of_absurd_size_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE_BYTES", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        run(PATHS, tmp_path, Bucket(length=False), workers=1)
    assert content(tmp_path) == {}


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "a/../../b.jpg"])
def test_no_path_leaves_the_root(tmp_path, name):
    bucket = Bucket()
    with pytest.raises(InputError, match="no plain path"):
        run([*PATHS, name], tmp_path / "root", bucket)
    assert not bucket.asked
    assert not (tmp_path / "root").exists()


def test_too_little_disk_is_said_before_anything_is_fetched(tmp_path, monkeypatch):
    bucket = Bucket()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=download.RESERVE_BYTES + 10**6))
    with pytest.raises(InputError, match=r"1\.1 GB free and about 2\.6 GB are needed"):
        run([f"a{i}.jpg" for i in range(3000)], tmp_path, bucket)
    assert not bucket.asked


def test_a_disk_that_fills_up_on_the_way_stops_the_fetch(tmp_path, monkeypatch):
    free = iter([10**12] + [download.RESERVE_BYTES] * 9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=next(free)))
    with pytest.raises(InputError, match="choose another disk"):
        run(PATHS, tmp_path, Bucket(), workers=1)


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "val").write_text("a file where a folder is needed")
    with pytest.raises(SatstudyError, match="could not be written"):
        run(PATHS, tmp_path, Bucket())


def test_the_licence_is_shown_and_progress_with_it(tmp_path, capsys):
    fetch(PATHS, tmp_path, Bucket())
    shown = capsys.readouterr().err
    assert "non-commercial" in shown
    assert "share-alike" in shown
    assert "6/6" in shown


def test_senseless_numbers_are_refused(tmp_path):
    for options in ({"workers": 0}, {"attempts": 0}):
        with pytest.raises(InputError, match="must be 1 or more"):
            run(PATHS, tmp_path, Bucket(), **options)
