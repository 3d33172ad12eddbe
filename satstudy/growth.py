"""A model with more latents that begins where a smaller one stands."""

from __future__ import annotations

import torch
from torch import Tensor

from satstudy.errors import InputError
from satstudy.model import Model, build

#: New latents start this much smaller than the others, so that they round to zero until they are of use.
QUIET = 0.1


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
    old, new = model.weights(), dict(grown.named_parameters())
    m = model.M
    latents = torch.arange(m)
    # What the layers hand on: the latents, or hidden units, of which the first are the old ones.
    pairs = torch.cat((latents, M + latents))  # scales and means
    widths = [(old[f"entropy_parameters.{i}.bias"].numel()) for i in (0, 2)]
    hidden = [torch.arange(width) for width in (m, m * 3 // 2, 2 * m)]
    features = torch.arange(2 * m)
    joined = torch.cat((features, 2 * M + features))  # of h_s, then of the context
    layers: dict[str, tuple[Tensor | None, Tensor | None]] = {  # outputs and inputs that were there
        "g_a.6": (latents, None),
        "g_s.0": (None, latents),
        "h_a.0": (None, latents),
        "h_s.0": (hidden[0], None),
        "h_s.2": (hidden[1], hidden[0]),
        "h_s.4": (hidden[2], hidden[1]),
        "context_prediction": (features, latents),
        "entropy_parameters.0": (torch.arange(widths[0]), joined),
        "entropy_parameters.2": (torch.arange(widths[1]), torch.arange(widths[0])),
        "entropy_parameters.4": (pairs, torch.arange(widths[1])),
    }
    deconvolutions = {"g_s.0", "h_s.0", "h_s.2"}  # their weights are (in, out, …)
    with torch.no_grad():
        for name, tensor in old.items():
            layer, _, kind = name.rpartition(".")
            if layer not in layers:
                new[name].copy_(tensor)
                continue
            outputs, inputs = layers[layer]
            if kind == "bias":
                _fill(new[name], tensor, outputs)
                continue
            weight = new[name].transpose(0, 1) if layer in deconvolutions else new[name]
            source = tensor.transpose(0, 1) if layer in deconvolutions else tensor
            rows = torch.arange(len(weight)) if outputs is None else outputs
            columns = torch.arange(weight.shape[1]) if inputs is None else inputs
            fresh = torch.ones(weight.shape[1], dtype=torch.bool)
            fresh[columns] = False
            # Old units hear nothing of new ones, but for the image, which has to learn what they say.
            if layer != "g_s.0":
                weight[rows[:, None], fresh.nonzero()[:, 0][None]] = 0
            weight[rows[:, None], columns[None]] = source
        for kind in ("weight", "bias"):
            new[f"g_a.6.{kind}"][m:] *= QUIET
        # Quiet latents are near zero, so that a narrow distribution around zero fits them.
        out = new["entropy_parameters.4.weight"], new["entropy_parameters.4.bias"]
        for start, value in ((m, 0.3), (M + m, 0.0)):
            out[0][start : start + M - m] *= QUIET
            out[1][start : start + M - m] = value
    return grown.eval()


def _fill(new: Tensor, old: Tensor, at: Tensor | None) -> None:
    if at is None:
        new.copy_(old)
    else:
        new[at] = old
