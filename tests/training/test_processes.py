"""satstudy.training.processes: alone, nothing is sent; together, `test_training` has two of them train as one."""

import torch

from satstudy.training.processes import Process


def test_a_process_alone_is_the_first_and_keeps_what_it_has(monkeypatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    process = Process.current("cpu")
    assert (process.rank, process.world, process.device.type, process.first) == (0, 1, "cpu", True)
    tensor = torch.arange(3.0)
    process.average([tensor])
    assert tensor.tolist() == [0, 1, 2]
    assert process.agree(True) is True
    assert process.agree(False) is False
