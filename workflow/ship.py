"""Put the weights of a study into the package: float16, with the integer tables of the entropy coder and a model card.

Usage: ship.py [PROFILE]

The card and the README take what was measured on val-compress from the study's results, so run the study first.
Weights of the same domain that ship for other λ are removed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from satstudy.codecs import LearnedCodec
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import OVERHEAD, Checkpoint
from satstudy.codecs.mbt2018 import prior
from satstudy.codecs.mbt2018.model import from_weights
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.data.images import read_image
from satstudy.data.splits import subset
from satstudy.metrics import quality
from satstudy.report import figures_images, findings, tables
from satstudy.study import rate_distortion
from satstudy.study.notebook import load_pictures, load_table
from satstudy.study.study import Study, open_study, spread

#: Images on which the cost of rounding to float16 is measured.
ROUNDED_ON = 63

#: In the model card and the README: what stands between these lines is written here.
FROM, TO = "<!-- measured: workflow/ship.py -->", "<!-- end of measured -->"
#: Columns of the card's table.
COLUMNS = (
    "λ", "M", "last steps", "starting from", "hours of these", "bpp", "PSNR (dB)", "MS-SSIM", "float16: bpp",
    "float16: PSNR (dB)", "fingerprint",
)  # fmt: skip


class Rounding(NamedTuple):
    """What float16 changes: relative rate in %, PSNR in dB."""

    rate: float
    psnr: float


def ship(trained: Checkpoint) -> Path:
    """Store rounded weights; the tables belong to the weights that are stored, which rounding has moved."""
    rounded = from_weights({name: t.to(torch.float16).float() for name, t in trained.model.weights().items()})
    target = paths.WEIGHTS / f"{trained.metadata.get('domain', OVERHEAD)}-lam{trained.lam:g}.safetensors"
    checkpoint.save(target, rounded, trained.metadata, prior.hyper_tables(rounded), half=True)
    return target


def rounding(study: Study, trained: Checkpoint, shipped: Checkpoint) -> Rounding:
    """Both weights on the same images, by real files."""
    rows = spread(subset(study.manifest, "val-compress"), ROUNDED_ON, 0)
    found = []
    for weights in (trained, shipped):
        codec = LearnedCodec(weights, study.profile.rd.tiling)
        for name in rows["path"]:
            image = read_image(study.root / name)
            data = codec.encode(image)
            found.append((quality.bpp(len(data), *image.shape[:2]), quality.psnr(image, codec.decode(data))))
    before, after = np.array(found).reshape(2, -1, 2).mean(axis=1)
    return Rounding(100 * (after[0] / before[0] - 1), after[1] - before[1])


def measured(study: Study, checkpoints: list[Checkpoint]) -> tuple[pd.DataFrame, int]:
    """Means of the learned codec by setting, and over how many images: measured on these weights, no others."""
    table, facts = study.results / "rate_distortion.csv", study.results / "rd.json"
    if not (table.exists() and facts.exists()):
        raise SystemExit(f"{table} and {facts.name} are not there: run the study first.")
    named = json.loads(facts.read_text(encoding="utf-8"))["weights"]
    frame = rate_distortion.read_frame(table)
    frame = frame[frame["codec"] == "learned"]
    means = frame.groupby("setting")[["bpp", "psnr", "ms_ssim"]].mean()
    for trained in checkpoints:
        if trained.fingerprint.hex() not in named or f"lam={trained.lam:g}" not in means.index:
            raise SystemExit(f"{table} was not measured with {trained.path}: run the study again.")
    return means, frame["image"].nunique()


def table(means: pd.DataFrame, images: int, made: list[tuple[Checkpoint, Path, Rounding]]) -> str:
    """The part of the model card that is measured."""
    rows = []
    for trained, target, change in made:
        mean, text = means.loc[f"lam={trained.lam:g}"], trained.metadata
        cells = (
            f"{trained.lam:g}", str(trained.model.M), f"{int(text['steps']):,}", text["start"],
            f"{float(text['seconds']) / 3600:.2f}", f"{mean['bpp']:.4f}", f"{mean['psnr']:.2f}",
            f"{mean['ms_ssim']:.4f}", f"{change.rate:+.3f} %", f"{change.psnr:+.4f}",
            f"`{checkpoint.load(target).fingerprint.hex()}`",
        )  # fmt: skip
        rows.append(cells)
    return (
        f"\n{markdown(pd.DataFrame(rows, columns=COLUMNS))}\n"
        f"bpp, PSNR and MS-SSIM are means over the {images:,} images of val-compress, from real files of the float32 "
        f"weights; the columns of float16 say what rounding the weights changes, on {ROUNDED_ON} of these images.\n"
    )


def markdown(table: pd.DataFrame) -> str:
    """A pipe table of text; all columns but the first are set to the right."""
    align = ["left", *["right"] * (table.shape[1] - 1)]
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align)) + "\n"


def headline(study: Study, images: int) -> str:
    """What the README says of the study's results."""
    try:
        bd, seams = (load_table(study, name) for name in ("bd_rate", "seams"))
        sets = {name: load_table(study, f"bd_rate_{name}") for name in study.profile.rd.sets}
    except InputError as error:
        raise SystemExit(str(error)) from None
    anchor = next(codec for codec in ("avif", "jpeg2000") if codec in set(bd["reference"]))
    first, second = tables.bd_table(bd, anchor), tables.bd_table(bd, "jpeg")
    rates = first.drop(columns=["images", *first.columns[-2:]]).merge(second.iloc[:, :2], how="left", on="codec")
    large = [findings.direct(table, where=name) for name, table in sets.items()]
    said = [*large, findings.direct(bd), findings.domain(bd), findings.blending(seams)]
    return (
        f"\n{study.profile.data.label}, {images:,} images that were not trained on, real files. Negative: fewer bits "
        f"at equal PSNR; in brackets 95 % intervals over classes or places.\n\n{markdown(rates.fillna('–'))}\n"
        f"{findings.listed(*said)}\n"
    )


def picture(study: Study) -> None:
    """Draw the picture at the top of the README from the crops of the study."""
    figure = figures_images.saved_crops(*load_pictures(study, "crops"))
    with paths.atomic(paths.ROOT / "book" / "_static" / "crops.png") as temporary:
        figure.savefig(temporary, dpi=110)


def around(path: Path) -> tuple[str, str]:
    """The text of a file before and after what is written here."""
    found = re.fullmatch(f"(.*{FROM}\n).*({TO}.*)", path.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        raise SystemExit(f"{path} has no place for the table: add the lines {FROM} and {TO}.")
    return found[1], found[2]


def fill(path: Path, text: str) -> None:
    """Put text into its place."""
    before, after = around(path)
    with paths.atomic(path) as temporary:
        temporary.write_text(f"{before}{text}\n{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("profile", nargs="?", default="reference")
    study = open_study(parser.parse_args().profile)
    checkpoints = [study.weights(lam) for lam in sorted(study.profile.train.lams)]
    means, images = measured(study, checkpoints)
    card, readme = paths.WEIGHTS / "README.md", paths.ROOT / "README.md"
    for path in (card, readme):
        around(path)
    said = headline(study, images)
    picture(study)
    made = []
    for trained in tqdm(checkpoints, unit="λ"):
        target = ship(trained)
        made.append((trained, target, rounding(study, trained, checkpoint.load(target))))
    for path in set(paths.WEIGHTS.glob(f"{OVERHEAD}-lam*.safetensors")) - {target for _, target, _ in made}:
        path.unlink()
    fill(card, table(means, images, made))
    fill(readme, said)
    print(f"{len(made)} files of {sum(path.stat().st_size for _, path, _ in made) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
