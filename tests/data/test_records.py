"""Records are plain values: they compare, and serve as keys."""

from pathlib import Path

from satstudy.data.records import Box, ImageRecord, ScanResult


def test_equal_records_are_one_key():
    one, two = (ImageRecord(Path("a/b.png"), "a", "a/b", 3, 4, (Box(0, 1, 2, 3, "a"),), 0.5) for _ in range(2))
    assert len({one, two, two._replace(gsd=None)}) == 2


def test_scan_results_do_not_share_their_lists():
    one, two = ScanResult([]), ScanResult([])
    one.skipped.append((Path("x"), "why"))
    assert (two.skipped, two.notes) == ([], [])
