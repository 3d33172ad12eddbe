"""Training states: what is saved comes back to the last bit and stride, and other files are refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from satstudy.core.errors import InputError
from satstudy.training import loop as training_state


def test_a_nest_comes_back_with_its_values_and_strides(tmp_path):
    x = torch.randn(6, 4, 5, 3)
    state = {
        "text": "a",
        "number": 0.1 + 0.2,
        "none": None,
        0: {"empty": [], "nested": [[x, []], [torch.zeros(0, 3), torch.tensor(3.0)]]},
        1: x.contiguous(memory_format=torch.channels_last),
        2: torch.linalg.qr(torch.randn(5, 5))[0],
        3: torch.randn(4, 6, 1, 1).to(memory_format=torch.channels_last),
        4: x.permute(3, 1, 0, 2),
        5: x[:, ::2],
        6: torch.tensor([1, 2], dtype=torch.int64),
        7: torch.randn(3, 1).expand(3, 4),
        8: torch.tensor([True, False]),
    }
    training_state.save_state(tmp_path / "s.safetensors", state)
    back = training_state.load_state(tmp_path / "s.safetensors")
    assert list(back) == list(state)
    assert (back["text"], back["number"], back["none"], back[0]["empty"]) == ("a", 0.1 + 0.2, None, [])
    assert torch.equal(back[0]["nested"][0][0], x)
    assert back[0]["nested"][0][1] == []
    assert back[0]["nested"][1][0].shape == (0, 3)
    assert back[0]["nested"][1][1].item() == 3
    for key in range(1, 9):
        assert torch.equal(back[key], state[key])
        assert back[key].dtype == state[key].dtype
    for key in (1, 2, 3, 4, 6):  # those that lie densely
        assert back[key].stride() == state[key].stride(), key


def test_a_state_that_is_none_is_refused(tmp_path):
    for tree in (None, "{", "[]", '{"tensor": "9", "stride": [1]}', '{"tensor": "0", "stride": [1000000]}'):
        save_file({"0": torch.zeros(3)}, tmp_path / "s.safetensors", metadata={"tree": tree} if tree else None)
        with pytest.raises(InputError, match="no training state"):
            training_state.load_state(tmp_path / "s.safetensors")


def test_nothing_is_pickled(tmp_path):
    training_state.save_state(tmp_path / "s.safetensors", {"a": [torch.zeros(2)]})
    data = (tmp_path / "s.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert set(header) == {"__metadata__", "0"}
