"""satstudy.training.log: rows are added, and those of steps that come again are dropped."""

from satstudy.training import loop


def row(step):
    return {name: str(step) for name in loop.CSV_FIELDS}


def test_rows_are_added_below_one_header(tmp_path):
    path = tmp_path / "metrics.csv"
    loop.append_log(path, [])
    assert not path.exists()
    loop.append_log(path, [row(1)])
    loop.append_log(path, [row(2), row(3)])
    lines = path.read_text().split()
    assert lines[0] == ",".join(loop.CSV_FIELDS)
    assert [line.partition(",")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_rows_of_later_steps_are_dropped_also_one_that_was_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    loop.truncate_log(path, 0)
    assert not path.exists()
    loop.append_log(path, [row(1), row(2), row(3)])
    with path.open("a") as file:
        file.write("1,train")  # of step 1000-odd, killed
    loop.truncate_log(path, 2)
    assert [line.partition(",")[0] for line in path.read_text().split()[1:]] == ["1", "2"]
