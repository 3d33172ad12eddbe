"""Checkpoints: what is saved comes back, what is damaged is refused."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from satstudy.codecs.learned import checkpoint
from satstudy.codecs.mbt2018.prior import hyper_tables
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.core.tensor_files import metadata
from satstudy.training import loop

META = {"N": "8", "M": "12", "lam": "0.01", "data": "none"}


def test_weights_and_what_is_known_about_them_come_back(tiny_model, tmp_path):
    tables = hyper_tables(tiny_model)
    checkpoint.save(tmp_path / "deep" / "w.safetensors", tiny_model, META, tables)
    loaded = checkpoint.load(tmp_path / "deep" / "w.safetensors")
    assert loaded.metadata == META == metadata(loaded.path)
    assert (loaded.lam, loaded.name) == (0.01, "w")
    assert all(torch.equal(tensor, tiny_model.weights()[name]) for name, tensor in loaded.model.weights().items())
    assert set(loaded.stored) == set(tables)
    assert all(torch.equal(loaded.stored[name], tables[name]) for name in tables)
    assert checkpoint.fingerprint(loaded.model, loaded.stored) == checkpoint.fingerprint(tiny_model, tables)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


def test_tables_are_those_stored_or_made_from_the_model(tiny_model, tmp_path):
    made = hyper_tables(tiny_model)
    other = {**made, "z_median": made["z_median"] + 1}
    for stored, expected in ((None, made), (made, made), (other, other)):
        checkpoint.save(tmp_path / "w.safetensors", tiny_model, META, stored)
        loaded = checkpoint.load(tmp_path / "w.safetensors")
        assert bool(loaded.stored) == bool(stored)
        assert all(torch.equal(loaded.tables[name], expected[name]) for name in made)
        assert loaded.fingerprint == checkpoint.fingerprint(tiny_model, expected)


def test_float16_takes_half_the_room_and_has_the_fingerprint_of_its_float32_copy(tiny_model, tmp_path):
    tables = hyper_tables(tiny_model)
    checkpoint.save(tmp_path / "full.safetensors", tiny_model, META)
    checkpoint.save(tmp_path / "half.safetensors", tiny_model, META, tables, half=True)
    assert load_file(tmp_path / "half.safetensors")["g_a.2.weight"].dtype == torch.float16
    half = checkpoint.load(tmp_path / "half.safetensors")
    checkpoint.save(tmp_path / "copy.safetensors", half.model, META, tables)
    copy = checkpoint.load(tmp_path / "copy.safetensors")
    assert checkpoint.fingerprint(half.model, half.stored) == checkpoint.fingerprint(copy.model, copy.stored)
    assert checkpoint.fingerprint(half.model, half.stored) != checkpoint.fingerprint(tiny_model, tables)
    weights = [p.numel() for p in tiny_model.parameters()]
    assert (tmp_path / "full.safetensors").stat().st_size > 4 * sum(weights)
    for name, tensor in tiny_model.weights().items():
        assert torch.allclose(half.model.weights()[name], tensor, rtol=1e-3, atol=1e-4), name
    # Of the context model only what its mask lets through is stored, also where the hidden taps hold something.
    assert load_file(tmp_path / "half.safetensors")["context_prediction.weight"].shape == (24, 12, 12)


def test_the_fingerprint_changes_with_any_weight_or_table(make_model):
    model = make_model(0, 4, 6)
    tables = hyper_tables(model)
    seen = {checkpoint.fingerprint(model, tables)}
    with torch.no_grad():
        for _, p in model.named_parameters():
            index = (0,) * p.dim()  # a tap that the mask of the context model lets through, too
            before = p[index].clone()
            p[index] = before + 1e-3
            seen.add(checkpoint.fingerprint(model, tables))
            p[index] = before
    for name in tables:
        changed = {**tables, name: tables[name] + 1}
        seen.add(checkpoint.fingerprint(model, changed))
    assert len(seen) == 1 + len(list(model.named_parameters())) + len(tables)
    assert checkpoint.fingerprint(model, tables) in seen
    assert all(len(print_) == 8 for print_ in seen)


def write(tmp_path, tensors, metadata):
    save_file(tensors, tmp_path / "w.safetensors", metadata=metadata)
    return tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        (lambda t: None, {"N": "8"}, "which lam"),
        (lambda t: None, {"lam": "much"}, "no number"),
        (lambda t: t.update(foreign=torch.zeros(3)), META, "foreign"),
        (lambda t: t.pop("h_s.0.bias"), META, "h_s.0.bias"),
        (lambda t: t["h_s.0.bias"].fill_(float("nan")), META, "finite"),
    ],
)
def test_other_weights_are_refused(tiny_model, tmp_path, change, metadata, message):
    tensors = {name: tensor.clone() for name, tensor in tiny_model.weights().items()}
    change(tensors)
    with pytest.raises(InputError, match=message):
        checkpoint.load(write(tmp_path, tensors, metadata))


def test_damaged_and_missing_files_are_refused(tiny_model, tmp_path):
    with pytest.raises(InputError, match="no weights"):
        checkpoint.load(tmp_path / "none.safetensors")
    checkpoint.save(tmp_path / "w.safetensors", tiny_model, META)
    data = (tmp_path / "w.safetensors").read_bytes()
    for damaged in (b"", data[:7], data[:-1], b"\xff" * 8 + data[8:], b"x" + data[1:], data[:20] + b"\0" + data[21:]):
        (tmp_path / "d.safetensors").write_bytes(damaged)
        for read in (checkpoint.load, metadata, loop.load_state):
            with pytest.raises(InputError):
                read(tmp_path / "d.safetensors")


def test_metadata_must_say_the_size_and_lam(tiny_model, tmp_path):
    with pytest.raises(InputError, match="M, lam"):
        checkpoint.save(tmp_path / "w.safetensors", tiny_model, {"N": "8"})
    assert not list(tmp_path.iterdir())


def test_shipped_weights_are_listed_by_lam(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "WEIGHTS", tmp_path)
    for lam, domain in (("0.05", "overhead"), ("0.002", "overhead"), ("0.01", "natural")):
        checkpoint.save(tmp_path / f"{domain}-{lam}.safetensors", tiny_model, {**META, "lam": lam, "domain": domain})
    assert [(lam, path.name) for lam, path in checkpoint.shipped().items()] == [
        (0.002, "overhead-0.002.safetensors"),
        (0.05, "overhead-0.05.safetensors"),
    ]
    assert list(checkpoint.shipped("natural")) == [0.01]


def test_nearest_is_by_ratio():
    assert checkpoint.nearest(0.01, [0.001, 0.02]) == 0.02
    assert checkpoint.nearest(0.01, [0.001, 0.09]) == 0.09, "in difference 0.001 were nearer"
    assert checkpoint.nearest(0.01, [0.02, 0.005]) == 0.005, "of two as near the smaller"
