"""Where a training stands: any nest of dicts, lists, numbers and tensors, as one file of tensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from satstudy.core import tensor_files
from satstudy.core.errors import InputError


def _dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether these strides place the elements one beside the other, in whatever order of dimensions."""
    if len(shape) != len(stride):
        return False
    if 0 in shape:
        return all(step >= 0 for step in stride)
    expected = 1
    for step, size in sorted((step, size) for step, size in zip(stride, shape, strict=True) if size > 1):
        if step != expected:
            return False
        expected *= size
    # The strides of dimensions of one element move nothing, but are kept: some kernels look at them.
    return all(step >= 0 for step in stride)


def save(path: Path | str, state: Any) -> None:
    """Write a nest of dicts, lists, tensors and plain values; dict keys may be text or integers."""
    tensors: dict[str, Tensor] = {}

    def flatten(value: Any) -> Any:
        if isinstance(value, Tensor):
            # Strides are part of the state: SOAP's bases lie in columns and convolutions in channels-last,
            # and a product over another layout differs in its last bit.
            name = str(len(tensors))
            tensors[name] = value.detach().cpu().contiguous().clone()
            dense = value if _dense(value.shape, value.stride()) else tensors[name]
            return {"tensor": name, "stride": list(dense.stride())}
        if isinstance(value, dict):
            return {"dict": [[key, flatten(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return {"list": [flatten(item) for item in value]}
        return {"value": value}

    tree = flatten(state)
    tensor_files.write(path, tensors, {"tree": json.dumps(tree)})


def load(path: Path | str) -> Any:
    """What `save` wrote.

    Raises
    ------
    InputError
        Damaged, or not written by `save`.
    """
    tensors, text = tensor_files.read(path)

    def build(node: dict[str, Any]) -> Any:
        if "tensor" in node:
            tensor = tensors[node["tensor"]]
            stride = node["stride"]
            if not _dense(tensor.shape, stride):
                raise ValueError(f"strides {stride} for {tuple(tensor.shape)}")
            return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
        if "dict" in node:
            return {key: build(item) for key, item in node["dict"]}
        if "list" in node:
            return [build(item) for item in node["list"]]
        return node["value"]

    try:
        return build(json.loads(text["tree"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no training state ({error}): remove it to start afresh.") from None
