"""Change the number of latent channels, M, of a trained model: grow or prune.

The M that a model needs depends on λ. At high rates M bounds the quality of the reconstruction. At low rates most
channels are always zero and only make the weights larger.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from satstudy.codecs.mbt2018.model import Model, build
from satstudy.core.errors import InputError

#: Factor of the initial weights of new latents: they round to zero until training makes them useful.
INITIAL_SCALE = 0.1
#: Layers whose weights are (in, out, …).
DECONVOLUTIONS = {"g_s.0", "h_s.0", "h_s.2"}


def grow(model: Model, M: int, seed: int = 0) -> Model:
    """A copy of `model` with `M` latent channels; the first ones are coded and decoded as before.

    Growing trained weights costs less than training a wider model from scratch. Old units keep their weights, and the
    weights from new to old units are zero. New latents start small (`INITIAL_SCALE`), other new weights at random.

    Parameters
    ----------
    M : latent channels, no fewer than the model's; N stays
    seed : of the new weights

    Raises
    ------
    InputError
        `M` is below the model's.
    """
    if M < model.M:
        raise InputError(f"M = {M} is less than the {model.M} latents of the weights it starts from: take as many.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        grown = build(model.N, M)
    old, m = model.weights(), model.M
    new: dict[str, Tensor] = dict(grown.named_parameters())
    # Old channels come first in every input and output. But scales come before means, and the channels of `h_s`
    # before those of the context model.
    outputs = {"entropy_parameters.4": torch.cat((torch.arange(m), M + torch.arange(m)))}
    inputs = {"entropy_parameters.0": torch.cat((torch.arange(2 * m), 2 * M + torch.arange(2 * m)))}
    with torch.no_grad():
        for name, source in old.items():
            layer, _, kind = name.rpartition(".")
            target: Tensor = new[name]
            if target.shape == source.shape:
                target.copy_(source)
                continue
            if kind == "weight" and layer in DECONVOLUTIONS:
                target, source = target.transpose(0, 1), source.transpose(0, 1)
            rows = outputs.get(layer, torch.arange(len(source)))
            if kind == "bias":
                target[rows] = source
                continue
            # Old units ignore new ones; `g_s` alone does not, so that it learns what they contribute.
            if layer != "g_s.0":
                target[rows] = 0
            target[rows[:, None], inputs.get(layer, torch.arange(source.shape[1]))] = source
        for kind in ("weight", "bias"):
            new[f"g_a.6.{kind}"][m:] *= INITIAL_SCALE
        # Small latents need a narrow distribution around zero.
        out = new["entropy_parameters.4.weight"], new["entropy_parameters.4.bias"]
        for start, value in ((m, 0.3), (M + m, 0.0)):
            out[0][start : start + M - m] *= INITIAL_SCALE
            out[1][start : start + M - m] = value
    return grown.eval()


#: Layer → the layer that reads its outputs, and the number of the inputs before them in units of M.
READ_BY = {
    "g_a.6": ("g_s.0", 0),
    "h_s.0": ("h_s.2", 0),
    "h_s.2": ("h_s.4", 0),
    "h_s.4": ("entropy_parameters.0", 0),
    "context_prediction": ("entropy_parameters.0", 2),
    "entropy_parameters.0": ("entropy_parameters.2", 0),
    "entropy_parameters.2": ("entropy_parameters.4", 0),
}
#: Layers that read the latents.
READ_LATENTS = ("g_s.0", "h_a.0", "context_prediction")


@torch.no_grad()
def prune(model: Model, M: int, x: Tensor) -> Model:
    """A copy of `model` with the `M` most important latent channels, and hidden units likewise.

    Importance is the standard deviation of a unit's activation on sample images times the norm of the weights that
    read it. The mean contribution of a removed unit is added to the biases of the layers that read it.

    Parameters
    ----------
    M : latent channels, no more than the model's; N stays
    x : float32 (b, 3, h, w) in [0, 1], h and w multiples of 64: sample images

    Raises
    ------
    InputError
        `M` is above the model's.
    """
    if M > model.M:
        raise InputError(f"M = {M} is more than the {model.M} latents of the weights it starts from: grow them.")
    pruned, weights = build(model.N, M), model.weights()
    new, inputs = dict(pruned.named_parameters()), _inputs(model, x)
    kept_outputs: dict[str, Tensor] = {}
    kept_inputs: dict[str, Tensor] = {}
    for layer, (reader, before) in READ_BY.items():
        place = before * model.M + torch.arange(len(weights[f"{layer}.bias"]))
        norms = _by_input(weights, reader)[place].flatten(1).norm(dim=1)
        importance = inputs[reader].std(dim=1)[place] * norms
        kept_outputs[layer] = importance.topk(len(new[f"{layer}.bias"])).indices.sort().values
        chosen = place[kept_outputs[layer]]
        kept_inputs[reader] = torch.cat([kept_inputs[reader], chosen]) if reader in kept_inputs else chosen
    latents = kept_outputs["g_a.6"]
    kept_inputs |= dict.fromkeys(READ_LATENTS, latents)
    kept_outputs["entropy_parameters.4"] = torch.cat((latents, model.M + latents))
    for layer, columns in kept_inputs.items():
        removed = torch.ones(len(inputs[layer]), dtype=torch.bool).index_fill_(0, columns, False)
        weight = _by_input(weights, layer)[removed].flatten(2).sum(dim=2)
        # An output of a transposed convolution with a stride of 2 sees a quarter of the taps.
        mean = inputs[layer].mean(dim=1)[removed] @ weight / (4 if layer in DECONVOLUTIONS else 1)
        weights[f"{layer}.bias"] = weights[f"{layer}.bias"] + mean
    for name, source in weights.items():
        layer, _, kind = name.rpartition(".")
        row, column = (1, 0) if layer in DECONVOLUTIONS else (0, 1)
        if layer in kept_outputs and kind in ("weight", "bias"):
            source = source.index_select(row if kind == "weight" else 0, kept_outputs[layer])
        if layer in kept_inputs and kind == "weight":
            source = source.index_select(column, kept_inputs[layer])
        new[name].copy_(source)
    return pruned.eval()


def _by_input(weights: dict[str, Tensor], layer: str) -> Tensor:
    """Weights of a layer as (in, out, …)."""
    weight = weights[f"{layer}.weight"]
    return weight if layer in DECONVOLUTIONS else weight.transpose(0, 1)


def _inputs(model: Model, x: Tensor) -> dict[str, Tensor]:
    """The inputs of the layers that pruning changes, on `x`: float32 (channels, values) each."""
    found: dict[str, Tensor] = {}

    def record(layer: str) -> None:
        model.get_submodule(layer).register_forward_pre_hook(
            lambda _module, values: found.__setitem__(layer, values[0].transpose(0, 1).flatten(1))
        )

    model = copy.deepcopy(model)
    for layer in {*READ_LATENTS, *(reader for reader, _ in READ_BY.values())}:
        record(layer)
    model.estimate(x)
    return found


def resize(model: Model, M: int, x: Tensor, seed: int = 0) -> Model:
    """`grow` or `prune` to `M` latent channels; a copy if the model has as many."""
    return prune(model, M, x) if M < model.M else grow(model, M, seed)
