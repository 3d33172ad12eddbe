"""A model with more latents that begins where a smaller one stands."""

from __future__ import annotations

import torch

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
    old, new, m = model.weights(), dict(grown.named_parameters()), model.M
    # Of what a layer takes and gives, the first are the old ones; but scales stand before means, and what comes
    # from `h_s` before what comes from the context.
    outputs = {"entropy_parameters.4": torch.cat((torch.arange(m), M + torch.arange(m)))}
    inputs = {"entropy_parameters.0": torch.cat((torch.arange(2 * m), 2 * M + torch.arange(2 * m)))}
    deconvolutions = {"g_s.0", "h_s.0", "h_s.2"}  # their weights are (in, out, …)
    with torch.no_grad():
        for name, source in old.items():
            layer, _, kind = name.rpartition(".")
            target = new[name]
            if target.shape == source.shape:
                target.copy_(source)
                continue
            if kind == "weight" and layer in deconvolutions:
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
