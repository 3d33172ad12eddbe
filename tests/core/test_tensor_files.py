"""Files of tensors: read by the library of the format, and the same bytes for the same content."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from satstudy.core import tensor_files
from satstudy.core.errors import InputError

TENSORS = {"b": torch.randn(3, 5), "a": torch.arange(4), "c": torch.zeros(2, dtype=torch.float16)}
TEXT = {name: f"“{name}” \\ \n λ" for name in "hgfedcba"}


def test_the_library_reads_what_is_written(tmp_path):
    tensor_files.write(tmp_path / "t.safetensors", TENSORS, TEXT)
    read = load_file(tmp_path / "t.safetensors")
    assert set(read) == set(TENSORS)
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())
    with safe_open(tmp_path / "t.safetensors", framework="pt") as file:
        assert file.metadata() == TEXT
    tensors, text = tensor_files.read(tmp_path / "t.safetensors")
    assert set(tensors) == set(TENSORS)
    assert text == TEXT == tensor_files.metadata(tmp_path / "t.safetensors")


def test_the_same_content_is_the_same_bytes(tmp_path):
    for i in range(8):  # the library's own order is random: of two as alike as one in 40,320
        tensor_files.write(tmp_path / f"{i}.safetensors", dict(sorted(TENSORS.items(), reverse=i % 2 == 0)), TEXT)
    files = [path.read_bytes() for path in tmp_path.iterdir()]
    assert len(set(files)) == 1
    length = int.from_bytes(files[0][:8], "little")
    assert length % 8 == 0, "tensors begin at a multiple of 8"
    assert list(json.loads(files[0][8 : 8 + length])["__metadata__"]) == sorted(TEXT)


def test_a_missing_file_is_one_sentence(tmp_path):
    for read in (tensor_files.read, tensor_files.metadata):
        with pytest.raises(InputError, match=r"none.safetensors is no safetensors file"):
            read(tmp_path / "none.safetensors")
