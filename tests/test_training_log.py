"""satstudy.training_log: rows are added, and those of steps that come again are dropped."""

from satstudy import training_log


def row(step):
    return {name: str(step) for name in training_log.CSV_FIELDS}


def test_rows_are_added_below_one_header(tmp_path):
    path = tmp_path / "metrics.csv"
    training_log.append(path, [])
    assert not path.exists()
    training_log.append(path, [row(1)])
    training_log.append(path, [row(2), row(3)])
    lines = path.read_text().split()
    assert lines[0] == ",".join(training_log.CSV_FIELDS)
    assert [line.partition(",")[0] for line in lines[1:]] == ["1", "2", "3"]


def test_rows_of_later_steps_are_dropped_also_one_that_was_cut(tmp_path):
    path = tmp_path / "metrics.csv"
    training_log.forget_after(path, 0)
    assert not path.exists()
    training_log.append(path, [row(1), row(2), row(3)])
    with path.open("a") as file:
        file.write("1,train")  # of step 1000-odd, killed
    training_log.forget_after(path, 2)
    assert [line.partition(",")[0] for line in path.read_text().split()[1:]] == ["1", "2"]
