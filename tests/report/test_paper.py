"""satstudy.report.paper: the paper's own numbers, as printed."""

from satstudy.report import paper
from satstudy.report.paper import paper_table_1, paper_table_2


def test_the_papers_tables_are_the_papers():
    table = paper_table_2()
    assert table.shape == (8, 4)
    assert table.loc["LC 0.67 bpp", "LC 0.67 bpp"] == 80.67
    assert table.loc["LC 0.02 bpp", "LC 0.67 bpp"] == 27.12  # validated on the low rate, trained on the high one
    assert table.loc["uncompressed", "JPEG 0.77 bpp"] == 91.29
    assert list(paper_table_1()["PSNR in dB"]) == [32.80, 32.92]
    assert [len(row) for row in paper.TABLE_2] == [4] * 8


def test_in_the_papers_table_each_classifier_but_one_is_best_where_it_was_trained_or_next_to_it():
    # Guards against rows and columns being swapped: JPEG's best is a JPEG row, and so on.
    best = paper_table_2().idxmax()
    assert best["LC 0.02 bpp"] == "LC 0.02 bpp"
    assert best["LC 0.67 bpp"] == "LC 0.67 bpp"
    assert best["LC-ImageNet 0.84 bpp"] == "LC-ImageNet 0.84 bpp"
    assert best["JPEG 0.77 bpp"].startswith("JPEG")


def test_the_papers_numbers_are_not_of_one_run():
    # PAPER: most percentages are no multiple of 1/378, so they must be means over runs.
    of_one_run = {round(100 * k / 378, 2) for k in range(379)}
    cells = paper_table_2().to_numpy().ravel()
    assert sum(round(v, 2) in of_one_run for v in cells) < len(cells) / 2
