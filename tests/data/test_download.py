"""A part of fMoW comes from a bucket as S3 servers speak, whole and once, whatever the network does."""

import bz2
import collections
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
from s3_server import bucket as serving

from satstudy.cli import main
from satstudy.core import paths
from satstudy.core.errors import InputError, SatstudyError
from satstudy.data import download
from satstudy.data.fmow import FMOW_CATEGORIES

#: Of each category and split; every second image is large enough.
OBJECTS, VIEWS = 4, 2


def tree() -> dict[str, bytes]:
    """Name → content: 63 categories, two splits, JSON files and "images" of random bytes, and what is no image."""
    made, rng = {"LICENSE": b"text"}, np.random.default_rng(0)
    for split in ("train", "val"):
        for category in FMOW_CATEGORIES:
            for number in range(OBJECTS):
                for view in range(VIEWS):
                    stem = f"{split}/{category}/{category}_{number}/{category}_{number}_{view}"
                    side = 1024 if view == number % 2 else 1023
                    for kind in ("rgb", "msrgb"):
                        made[f"{stem}_{kind}.json"] = json.dumps({"img_height": side, "img_width": 2000}).encode()
                        made[f"{stem}_{kind}.jpg"] = rng.bytes(int(rng.integers(1, 6000)))
    return made


@pytest.fixture(scope="module")
def filled():
    """The bucket, and what is in it."""
    with serving() as made:
        content = tree()
        content[download.MANIFEST] = bz2.compress(json.dumps(sorted(content)).encode())
        for name, data in content.items():
            made.put(name, data)
        yield made, content


@pytest.fixture
def bucket(filled):
    filled[0].forget()
    return filled[0]


@pytest.fixture
def content(filled):
    return filled[1]


@pytest.fixture
def store(bucket):
    return download.open_bucket(endpoint=bucket.url, retries=3, timeout=1)


def fetch(store, names, root, **options):
    return download.fetch(store, names, root, **{"progress": False, "backoff": 0.01, **options})


def there(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def files(count: int) -> list[str]:
    return [f"val/zoo/zoo_{i // 2}/zoo_{i // 2}_{i % 2}_rgb.jpg" for i in range(count)]


def command(bucket, root, *options: str) -> list[str]:
    return ["data", "fmow", str(root), "--endpoint-url", bucket.url, "--quiet", *options]


# --- The whole command ----------------------------------------------------------------------------------------------

PART = ("--train", "80", "--val", "70")


def test_a_killed_download_goes_on_and_fetches_nothing_twice(bucket, content, tmp_path):
    assert len(content) > 2000
    for i, name in enumerate(sorted(content)):
        if name.endswith("rgb.jpg"):
            bucket.faults[name] = [[], [503], ["cut"], ["reset"], ["wrong"], [500, 429, "wrong"]][i // 4 % 6]
    bucket.delay = 0.02
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (paths.ROOT, *sys.path)))}
    whole: set[str] = set()
    for stop in (60, 300):
        run = subprocess.Popen(
            [sys.executable, "-m", "satstudy.cli.main", *command(bucket, tmp_path, *PART)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        bucket.asked.clear()
        while sum(bucket.asked.values()) < stop and run.poll() is None:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, run.stderr.read()
        run.stderr.close()
        assert not whole & set(bucket.asked), "what was there was asked for again"
        whole = {name for name in there(tmp_path) if not name.rpartition("/")[2].startswith(".")} - {"SOURCE.json"}
        assert whole
        assert all((tmp_path / name).read_bytes() == content[name] for name in whole), "a file that is not whole"
    bucket.asked.clear()
    assert main.main(command(bucket, tmp_path, *PART)) == 0
    assert not whole & set(bucket.asked)
    found = there(tmp_path)
    record = json.loads(found.pop("SOURCE.json"))
    assert (record["licence"], record["train"], record["seed"]) == (download.LICENCE, 80, 0)
    assert {name: data for name, data in content.items() if name in found} == found, "no other file, none damaged"
    images = [name for name in found if name.endswith(".jpg")]
    assert len(images) == 150
    assert all(json.loads(found[name.replace(".jpg", ".json")])["img_height"] == 1024 for name in images)
    for split, count in (("train", 80), ("val", 70)):
        by_category = collections.Counter(name.split("/")[1] for name in images if name.startswith(split))
        assert sum(by_category.values()) == count
        assert set(by_category) == set(FMOW_CATEGORIES)
        assert set(by_category.values()) <= {1, 2}, "even over the categories"
    twice = [name for name, count in bucket.served.items() if count > 1]
    assert len(twice) <= 2 * 16, "what was under way at one of the two kills"
    print(
        f"{len(found)} files, {sum(map(len, found.values()))} bytes, {len(twice)} under way at a kill", bucket.suffered
    )
    suffered = {fault for fault, count in bucket.suffered.items() if count}
    assert suffered >= {503, 500, 429, "cut", "reset", "wrong"}


def test_a_dry_run_counts_images_and_bytes_and_fetches_none(bucket, content, tmp_path, capsys):
    options = ("--train", "0", "--val", "5", "--category", "zoo", "--category", "port", "--seed", "3")
    assert main.main(command(bucket, tmp_path, *options, "--dry-run")) == 0
    said = capsys.readouterr().out
    assert "val: 5 images of " in said
    assert "in 2 categories" in said
    assert not [name for name in bucket.asked if name.endswith(".jpg")]
    assert main.main(command(bucket, tmp_path, *options)) == 0
    images = {name for name in there(tmp_path) if name.endswith(".jpg")}
    assert f"0 images are there, 5 with {sum(len(content[name]) for name in images)} bytes" in said
    assert "non-commercial" in capsys.readouterr().err
    bucket.asked.clear()
    assert main.main(command(bucket, tmp_path, *options)) == 0
    again = capsys.readouterr()
    assert "5 images are there, 0 with 0 bytes" in again.out
    assert again.err == "", "the licence is shown once"
    assert not bucket.asked


def test_a_mirror_is_named_by_bucket_and_prefix(bucket, tmp_path, capsys):
    assert main.main(command(bucket, tmp_path, "--bucket", "no-such-bucket")) == 2
    assert "The bucket no-such-bucket has no manifest" in capsys.readouterr().err
    assert main.main(command(bucket, tmp_path, "--prefix", "elsewhere")) in (1, 2)
    assert main.main(["data", "fmow", str(tmp_path), "--train", "0", "--val", "0"]) == 2
    assert not there(tmp_path)


# --- What a network does ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [503, 500, 429, 408, "cut", "reset", "wrong", "hang"])
def test_passing_trouble_is_tried_again(bucket, content, store, tmp_path, fault):
    names = files(4)
    bucket.faults[names[1]] = [fault, fault]
    report = fetch(store, names, tmp_path)
    assert there(tmp_path) == {name: content[name] for name in names}
    assert bucket.asked[names[1]] == 3
    assert (report.fetched, report.bytes) == (4, sum(len(content[name]) for name in names))
    assert report.retries == 2 or fault != "wrong", "what the client does not notice is noticed"


@pytest.mark.parametrize("fault", [503, "wrong", "cut"])
def test_lasting_trouble_keeps_what_came_and_says_how_to_go_on(bucket, content, tmp_path, fault):
    names = files(4)
    bucket.faults[names[3]] = [fault] * 99
    store = download.open_bucket(endpoint=bucket.url, retries=1)
    with pytest.raises(SatstudyError, match=r"in 2 attempts \(.*run the same again") as error:
        fetch(store, names, tmp_path, workers=1, attempts=2)
    assert not isinstance(error.value, InputError)
    assert "\n" not in str(error.value)
    assert there(tmp_path) == {name: content[name] for name in names[:3]}
    bucket.forget()
    assert fetch(store, names, tmp_path).fetched == 1
    assert set(bucket.asked) == {names[3]}


def test_a_refusal_is_one_sentence_with_the_remedy_and_not_repeated(bucket, store, tmp_path):
    names = files(2)
    bucket.faults[names[0]] = [403] * 9
    with pytest.raises(SatstudyError, match=r"\(403\).*--endpoint-url.*copy the files") as error:
        fetch(store, names, tmp_path, workers=1)
    assert bucket.asked[names[0]] == 1
    assert "\n" not in str(error.value)


def test_a_file_that_the_bucket_has_not_is_bad_input(store, tmp_path):
    with pytest.raises(InputError, match=r"has no val/zoo/zoo_99"):
        fetch(store, ["val/zoo/zoo_99/zoo_99_0_rgb.jpg"], tmp_path)
    assert not there(tmp_path)


def test_requests_are_not_signed(bucket, store, tmp_path):
    private = {"Version": "2012-10-17", "Statement": []}
    before = bucket.owner.get_bucket_policy(Bucket=download.BUCKET)["Policy"]
    bucket.owner.put_bucket_policy(Bucket=download.BUCKET, Policy=json.dumps(private))
    try:
        with pytest.raises(SatstudyError, match="403"):
            fetch(store, files(1), tmp_path)
    finally:
        bucket.owner.put_bucket_policy(Bucket=download.BUCKET, Policy=before)


def test_the_checksum_of_an_upload_in_parts_is_compared(bucket, store, tmp_path):
    data = np.random.default_rng(0).bytes(17 * 2**20)
    for part, verified in ((8, True), (5, True), (7, False)):
        config = boto3.s3.transfer.TransferConfig(multipart_threshold=2**20, multipart_chunksize=part * 2**20)
        (tmp_path / "source").write_bytes(data)
        name = f"val/zoo/zoo_0/zoo_0_{part}_rgb.jpg"
        key = f"{download.PREFIX}/{name}"
        bucket.owner.upload_file(str(tmp_path / "source"), download.BUCKET, key, Config=config)
        bucket.faults[name] = ["wrong"]
        report = fetch(store, [name], tmp_path / "tree")
        assert report.unverified == (not verified)
        assert report.retries == 1
        assert (tmp_path / "tree" / name).read_bytes() == data


def test_an_interrupt_stops_the_other_workers_and_leaves_no_half_file(bucket, store, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    names = files(8)
    monkeypatch.setattr(download, "_agrees", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch(store, names, tmp_path, workers=2)
    assert there(tmp_path) == {}


def test_a_file_of_absurd_size_is_refused_before_it_comes(bucket, store, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE_BYTES", 0)
    with pytest.raises(InputError, match="0 are the most of its kind"):
        fetch(store, files(1), tmp_path)
    assert there(tmp_path) == {}


@pytest.mark.parametrize("name", ["../a.jpg", "/a.jpg", "a/../../b.jpg"])
def test_no_path_leaves_the_root(bucket, store, tmp_path, name):
    with pytest.raises(InputError, match="no plain path"):
        fetch(store, [*files(1), name], tmp_path / "root")
    assert not bucket.asked
    assert not (tmp_path / "root").exists()


def test_too_little_disk_is_said_before_anything_is_fetched(bucket, store, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=download.RESERVE_BYTES + 10**6))
    with pytest.raises(InputError, match=r"1\.1 GB free and 2\.6 GB are needed"):
        fetch(store, files(2), tmp_path, total=1_500_000_000)
    assert not bucket.asked


def test_a_folder_that_cannot_be_written_is_said(store, tmp_path):
    (tmp_path / "val").write_text("a file where a folder is needed")
    with pytest.raises(SatstudyError, match="could not be written"):
        fetch(store, files(1), tmp_path)
