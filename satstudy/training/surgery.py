"""A model with more latents, or fewer, that begins where another one stands.

How many latents a model needs depends on λ. At high rates their number bounds what the synthesis can give back; at
low rates most of them say nothing, and their share of the weights is all they have.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from satstudy.codecs.mbt2018.model import Model, build
from satstudy.core.errors import InputError

#: New latents start this much smaller than the others, so that they round to zero until they are of use.
QUIET = 0.1
#: Layers whose weights are (in, out, …).
DECONVOLUTIONS = {"g_s.0", "h_s.0", "h_s.2"}


def grow(model: Model, M: int, seed: int = 0) -> Model:
    """A copy of `model` with `M` latents, whose first ones are coded and decoded as before.

    The dimension of the latents bounds what the synthesis can give back at high rates: 96 of them for the
    768 values of 16×16 pixels hold some 33 dB of detailed ground however finely they are quantized. Widening
    trained weights costs less than training wider ones from the start. Old units keep their weights and hear
    nothing of new ones; new latents begin quiet, and everything else about them at random.

    Parameters
    ----------
    M : channels of the latents, no fewer than the model's; N stays
    seed : of the new weights

    Raises
    ------
    InputError
        Fewer latents than there are.
    """
    if M < model.M:
        raise InputError(f"M = {M} is less than the {model.M} latents of the weights it starts from: take as many.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        grown = build(model.N, M)
    old, m = model.weights(), model.M
    new: dict[str, Tensor] = dict(grown.named_parameters())
    # Of what a layer takes and gives, the first are the old ones; but scales stand before means, and what comes
    # from `h_s` before what comes from the context.
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
            # Old units hear nothing of new ones, but for the image, which has to learn what they say.
            if layer != "g_s.0":
                target[rows] = 0
            target[rows[:, None], inputs.get(layer, torch.arange(source.shape[1]))] = source
        for kind in ("weight", "bias"):
            new[f"g_a.6.{kind}"][m:] *= QUIET
        # Quiet latents are near zero, so that a narrow distribution around zero fits them.
        out = new["entropy_parameters.4.weight"], new["entropy_parameters.4.bias"]
        for start, value in ((m, 0.3), (M + m, 0.0)):
            out[0][start : start + M - m] *= QUIET
            out[1][start : start + M - m] = value
    return grown.eval()


#: Layer → the layer that takes its outputs in, and after how many times M other inputs.
TAKEN_BY = {
    "g_a.6": ("g_s.0", 0),
    "h_s.0": ("h_s.2", 0),
    "h_s.2": ("h_s.4", 0),
    "h_s.4": ("entropy_parameters.0", 0),
    "context_prediction": ("entropy_parameters.0", 2),
    "entropy_parameters.0": ("entropy_parameters.2", 0),
    "entropy_parameters.2": ("entropy_parameters.4", 0),
}
#: Layers that take the latents in.
OF_LATENTS = ("g_s.0", "h_a.0", "context_prediction")


@torch.no_grad()
def prune(model: Model, M: int, x: Tensor) -> Model:
    """A copy of `model` with the `M` latents that matter most on some images, and hidden units likewise.

    What a unit matters is the standard deviation of its activation times the norm of the weights that take it in.
    What it gives on average, which may be much, goes into the biases of these layers when it is left out.

    Parameters
    ----------
    M : channels of the latents, no more than the model's; N stays
    x : float32 (b, 3, h, w) in [0, 1], h and w multiples of 64: images of the kind that the model is for

    Raises
    ------
    InputError
        More latents than there are.
    """
    if M > model.M:
        raise InputError(f"M = {M} is more than the {model.M} latents of the weights it starts from: grow them.")
    pruned, weights = build(model.N, M), model.weights()
    new, inputs = dict(pruned.named_parameters()), _inputs(model, x)
    kept: dict[str, Tensor] = {}
    taken: dict[str, Tensor] = {}
    for layer, (after, before) in TAKEN_BY.items():
        place = before * model.M + torch.arange(len(weights[f"{layer}.bias"]))
        norms = _by_input(weights, after)[place].flatten(1).norm(dim=1)
        matters = inputs[after].std(dim=1)[place] * norms
        kept[layer] = matters.topk(len(new[f"{layer}.bias"])).indices.sort().values
        taken[after] = torch.cat([*([taken[after]] if after in taken else []), place[kept[layer]]])
    taken |= dict.fromkeys(OF_LATENTS, kept["g_a.6"])
    given = {**kept, "entropy_parameters.4": torch.cat((kept["g_a.6"], model.M + kept["g_a.6"]))}
    for layer, columns in taken.items():
        left_out = torch.ones(len(inputs[layer]), dtype=torch.bool).index_fill_(0, columns, False)
        weight = _by_input(weights, layer)[left_out].flatten(2).sum(dim=2)
        # Of the taps of a transposed convolution with a stride of 2, each output sees a quarter.
        lost = inputs[layer].mean(dim=1)[left_out] @ weight / (4 if layer in DECONVOLUTIONS else 1)
        weights[f"{layer}.bias"] = weights[f"{layer}.bias"] + lost
    for name, source in weights.items():
        layer, _, kind = name.rpartition(".")
        row, column = (1, 0) if layer in DECONVOLUTIONS else (0, 1)
        if layer in given and kind in ("weight", "bias"):
            source = source.index_select(row if kind == "weight" else 0, given[layer])
        if layer in taken and kind == "weight":
            source = source.index_select(column, taken[layer])
        new[name].copy_(source)
    return pruned.eval()


def _by_input(weights: dict[str, Tensor], layer: str) -> Tensor:
    """Weights of a layer as (in, out, …)."""
    weight = weights[f"{layer}.weight"]
    return weight if layer in DECONVOLUTIONS else weight.transpose(0, 1)


def _inputs(model: Model, x: Tensor) -> dict[str, Tensor]:
    """What the layers that pruning changes take in, float32 (channels, values) each."""
    found: dict[str, Tensor] = {}

    def note(layer: str) -> None:
        model.get_submodule(layer).register_forward_pre_hook(
            lambda _module, values: found.__setitem__(layer, values[0].transpose(0, 1).flatten(1))
        )

    model = copy.deepcopy(model)
    for layer in {*OF_LATENTS, *(after for after, _ in TAKEN_BY.values())}:
        note(layer)
    model.estimate(x)
    return found


def resize(model: Model, M: int, x: Tensor, seed: int = 0) -> Model:
    """`grow` or `prune`, or a copy where `M` is as it was."""
    return prune(model, M, x) if M < model.M else grow(model, M, seed)
