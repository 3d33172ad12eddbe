"""Put trained weights into the package: float16, with the integer tables of the entropy coder.

Usage: ship.py WEIGHTS.safetensors … [--domain overhead|natural]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from satstudy import paths, probability, zoo
from satstudy.model import from_weights


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("weights", nargs="+", type=Path)
    parser.add_argument("--domain", choices=("overhead", "natural"))
    arguments = parser.parse_args()
    for path in arguments.weights:
        checkpoint = zoo.load(path)
        metadata = dict(checkpoint.metadata)
        metadata["domain"] = arguments.domain or metadata.get("domain", "overhead")
        # The tables belong to the weights that are stored, which rounding has moved.
        rounded = from_weights({name: t.to(torch.float16).float() for name, t in checkpoint.model.weights().items()})
        name = f"{metadata['domain']}-lam{checkpoint.lam:g}.safetensors"
        target = paths.WEIGHTS / name
        zoo.save(target, rounded, metadata, probability.hyper_tables(rounded), half=True)
        print(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
