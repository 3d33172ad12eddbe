"""CompressAI's own model with our weights, to compare with."""

import torch


def compressai(model):
    """`JointAutoregressiveHierarchicalPriors` of the same weights, in evaluation mode, ready to code."""
    from compressai.models import JointAutoregressiveHierarchicalPriors

    made = JointAutoregressiveHierarchicalPriors(model.N, model.M)
    torch.nn.Module.load_state_dict(made, model.weights(), strict=False)
    made.eval().update(force=True)
    return made
