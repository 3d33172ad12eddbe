"""The integer networks by their definition, in int64 and one position after the other."""

import itertools

import numpy as np

from satstudy.codecs.coding.integers import ACTIVATION_BITS, LEAK, LEAK_BITS, LIMIT, WEIGHT_BITS


def on_grid(tensor, bits):
    """Weights on the grid of 2^-bits."""
    return np.rint(tensor.detach().double().numpy() * (1 << bits)).astype(np.int64)


def activation(sums, leaky):
    """Sums to activations, as `to_activation`."""
    x = (sums + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
    if leaky:
        x = np.where(x < 0, (x * LEAK + (1 << (LEAK_BITS - 1))) >> LEAK_BITS, x)
    return np.clip(x, -LIMIT, LIMIT)


def reference_h_s(h_s, z):
    """The transposed convolutions by their definition, in int64; z (channels, h, w)."""
    x = z
    for layer in (h_s[0], h_s[2]):
        weight, bias = on_grid(layer.weight, WEIGHT_BITS), on_grid(layer.bias, WEIGHT_BITS + ACTIVATION_BITS)
        _, h, w = x.shape
        out = np.zeros((weight.shape[1], 2 * h + 4, 2 * w + 4), np.int64)
        for i, j, u, v in itertools.product(range(h), range(w), range(5), range(5)):
            out[:, 2 * i + u, 2 * j + v] += x[:, i, j] @ weight[:, :, u, v]
        x = activation(out[:, 2 : 2 + 2 * h, 2 : 2 + 2 * w] + bias[:, None, None], True)
    weight, bias = on_grid(h_s[4].weight, WEIGHT_BITS), on_grid(h_s[4].bias, WEIGHT_BITS + ACTIVATION_BITS)
    _, h, w = x.shape
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1)])
    out = np.zeros((weight.shape[0], h, w), np.int64)
    for i, j in itertools.product(range(h), range(w)):
        out[:, i, j] = np.einsum("oiuv,iuv->o", weight, padded[:, i : i + 3, j : j + 3])
    return activation(out + bias[:, None, None], False)
