"""Put the weights of a study into the package: float16, with the integer tables of the entropy coder and a model card.

Usage: ship.py [PROFILE]

The card takes what was measured on val-compress from the study's results, so run the study first; it is written
again in any case. Weights that ship for other λ are removed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from satstudy import metrics, paths, probability, rate_distortion, zoo
from satstudy.codecs import LearnedCodec
from satstudy.data import splits
from satstudy.data.images import read_image
from satstudy.model import from_weights
from satstudy.study import Study, open_study, spread
from satstudy.zoo import OVERHEAD, Checkpoint

#: Images on which the cost of rounding to float16 is measured.
ROUNDED_ON = 63

#: In the model card: what stands between these lines is written here.
FROM, TO = "<!-- measured: workflow/ship.py -->", "<!-- end of measured -->"
HEAD = """
| λ | steps | starts from | hours | bpp | PSNR (dB) | MS-SSIM | float16: bpp | float16: PSNR (dB) | fingerprint |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


class Rounding(NamedTuple):
    """What float16 changes: relative rate in %, PSNR in dB."""

    rate: float
    psnr: float


def ship(checkpoint: Checkpoint) -> Path:
    """Store rounded weights; the tables belong to the weights that are stored, which rounding has moved."""
    rounded = from_weights({name: t.to(torch.float16).float() for name, t in checkpoint.model.weights().items()})
    target = paths.WEIGHTS / f"{checkpoint.metadata.get('domain', OVERHEAD)}-lam{checkpoint.lam:g}.safetensors"
    zoo.save(target, rounded, checkpoint.metadata, probability.hyper_tables(rounded), half=True)
    return target


def rounding(study: Study, checkpoint: Checkpoint, shipped: Checkpoint) -> Rounding:
    """Both weights on the same images, by real files."""
    rows = spread(splits.subset(study.manifest, "val-compress"), ROUNDED_ON, 0)
    found = []
    for weights in (checkpoint, shipped):
        codec = LearnedCodec(weights, study.profile.rd.tiling)
        for name in rows["path"]:
            image = read_image(study.root / name)
            data = codec.encode(image)
            found.append((metrics.bpp(len(data), *image.shape[:2]), metrics.psnr(image, codec.decode(data))))
    before, after = np.array(found).reshape(2, -1, 2).mean(axis=1)
    return Rounding(100 * (after[0] / before[0] - 1), after[1] - before[1])


def measured(study: Study) -> tuple[pd.DataFrame, int]:
    """Means of the learned codec by setting, and over how many images."""
    table = study.results / "rate_distortion.csv"
    if not table.exists():
        raise SystemExit(f"{table} is not there: run the study first.")
    frame = rate_distortion.read_frame(table)
    frame = frame[frame["codec"] == "learned"]
    return frame.groupby("setting")[["bpp", "psnr", "ms_ssim"]].mean(), frame["image"].nunique()


def table(study: Study, made: list[tuple[Checkpoint, Path, Rounding]]) -> str:
    """The part of the model card that is measured."""
    means, images = measured(study)
    rows = []
    for checkpoint, target, change in made:
        mean, text = means.loc[f"lam={checkpoint.lam:g}"], checkpoint.metadata
        cells = [
            f"{checkpoint.lam:g}", f"{int(text['steps']):,}", text["start"], f"{float(text['seconds']) / 3600:.2f}",
            f"{mean['bpp']:.4f}", f"{mean['psnr']:.2f}", f"{mean['ms_ssim']:.4f}",
            f"{change.rate:+.3f} %", f"{change.psnr:+.4f}", f"`{zoo.load(target).fingerprint.hex()}`",
        ]  # fmt: skip
        rows.append(f"| {' | '.join(cells)} |\n")
    return (
        f"{HEAD}{''.join(rows)}\nbpp, PSNR and MS-SSIM are means over the {images:,} images of val-compress, from real "
        f"files of the float32 weights; the columns of float16 say what rounding the weights changes, on {ROUNDED_ON} "
        "of these images.\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("profile", nargs="?", default="reference")
    study = open_study(parser.parse_args().profile)
    measured(study)  # says that it is missing before the work
    made = []
    for lam in tqdm(sorted(study.profile.train.lams), unit="λ"):
        checkpoint = study.weights(lam)
        target = ship(checkpoint)
        made.append((checkpoint, target, rounding(study, checkpoint, zoo.load(target))))
    for path in set(zoo.shipped().values()) - {target for _, target, _ in made}:
        path.unlink()
    readme = paths.WEIGHTS / "README.md"
    before, _, rest = readme.read_text(encoding="utf-8").partition(FROM)
    _, _, after = rest.partition(TO)
    with paths.atomic(readme) as temporary:
        temporary.write_text(f"{before}{FROM}\n{table(study, made)}\n{TO}{after}", encoding="utf-8")
    print(f"{len(made)} files of {sum(path.stat().st_size for _, path, _ in made) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
