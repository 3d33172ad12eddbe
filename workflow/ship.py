"""Put the weights of a study into the package: float16, with the integer tables of the entropy coder.

Usage: ship.py PROFILE [PROFILE]...
       ship.py --card

Profiles are those that train weights: of mbt2018 for each λ, or those that serve every rate. Then run the study
`reference`, which measures what ships. `--card` writes its figures into the model card and the README.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

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
from satstudy.metrics import transfer
from satstudy.report import figures_images, findings, story
from satstudy.study import rate_distortion
from satstudy.study.notebook import load_facts, load_pictures, load_table
from satstudy.study.study import Study, open_study

#: In the model card and the README: what stands between these lines is written here.
FROM, TO = "<!-- measured: workflow/ship.py -->", "<!-- end of measured -->"
#: The rivals whose PSNR ranges the README has as examples.
WIDE = ("avif", "mbt2018")
#: Columns of the card's table.
COLUMNS = (
    "codec",
    "λ",
    "size",
    "steps",
    "starting from",
    "hours of these",
    "bpp",
    "PSNR (dB)",
    "MS-SSIM",
    "fingerprint",
)


def ship(trained: Checkpoint) -> Path:
    """Store rounded weights; the tables of mbt2018 belong to the weights that are stored, which rounding has moved."""
    domain = trained.metadata.get("domain", OVERHEAD)
    if trained.serves_every_rate:
        target = paths.WEIGHTS / f"{domain}-every-rate.safetensors"
        checkpoint.save(target, trained.model, trained.metadata, trained.tables, half=True)
        return target
    rounded = from_weights({name: t.to(torch.float16).float() for name, t in trained.model.weights().items()})
    target = paths.WEIGHTS / f"{domain}-lam{trained.lam:g}.safetensors"
    checkpoint.save(target, rounded, trained.metadata, prior.hyper_tables(rounded), half=True)
    return target


def ship_all(study: Study) -> list[Path]:
    """Store the weights that a profile trains; those of the same domain that ship for other λ are removed."""
    if study.profile.every_rate.steps:
        return [ship(study.every_rate())]
    made = [ship(study.weights(lam)) for lam in tqdm(sorted(study.profile.train.lams), unit="λ")]
    for path in set(paths.WEIGHTS.glob(f"{OVERHEAD}-lam*.safetensors")) - set(made):
        path.unlink()
    return made


def measured(study: Study) -> tuple[pd.DataFrame, int]:
    """Means of the shipped weights by codec and setting, and over how many images: of these weights, no others."""
    table, facts = study.results / "rate_distortion.csv", study.results / "rd.json"
    if not (table.exists() and facts.exists()):
        raise SystemExit(f"{table} and {facts.name} are not there: run the study first.")
    named = json.loads(facts.read_text(encoding="utf-8"))["weights"]
    for path in checkpoint.everything_shipped():
        if checkpoint.load(path).fingerprint.hex() not in named:
            raise SystemExit(f"{table} was not measured with {path}: run the study again.")
    frame = rate_distortion.read_frame(table)
    return frame.groupby(["codec", "setting"])[["bpp", "psnr", "ms_ssim"]].mean(), frame["image"].nunique()


def table(means: pd.DataFrame, images: int) -> str:
    """The part of the model card that is measured."""
    rows = []
    for path in checkpoint.everything_shipped():
        weights = checkpoint.load(path)
        codec, text = LearnedCodec(weights), weights.metadata
        about = (f"{int(text['steps']):,}", text["start"], f"{float(text['seconds']) / 3600:.2f}")
        found = means.loc[codec.name]
        if not weights.serves_every_rate:
            found = found.loc[[codec.setting]]
        for setting, mean in found.sort_values("bpp").iterrows():
            figures = (f"{mean['bpp']:.4f}", f"{mean['psnr']:.2f}", f"{mean['ms_ssim']:.4f}")
            lam = str(setting).removeprefix("lam=")
            rows.append((codec.name, lam, weights.model.size, *about, *figures, f"`{weights.fingerprint.hex()}`"))
    return (
        f"\n{markdown(pd.DataFrame(rows, columns=COLUMNS))}\n"
        f"bpp, PSNR and MS-SSIM are means over {images:,} images of val-compress, from real files of these weights.\n"
    )


def markdown(table: pd.DataFrame) -> str:
    """A pipe table of text; all columns but the first are set to the right."""
    align = ["left", *["right"] * (table.shape[1] - 1)]
    return str(table.to_markdown(index=False, disable_numparse=True, colalign=align)) + "\n"


def headline(study: Study) -> str:
    """What the README says of the study's results."""
    try:
        seams = load_table(study, "seams")
    except InputError as error:
        raise SystemExit(str(error)) from None
    results = story.read(study.results)["results"]
    said = [small] if (small := story.without_headers(results)) else []
    if "bd_rate_ms_ssim" in results:
        said.append(findings.ms_ssim(results["bd_rate_ms_ssim"], story.RIVALS))
    if "bd_rate_tilings" in results:
        said.append(findings.tilings(results["bd_rate_tilings"], story.named_sets()))
    said.append(findings.blending(seams))
    if "domain_gains" in results:
        said.append(findings.domain(results["domain_gains"]))
    if "data_kinds_gains" in results:
        said.append(findings.training_images(results["data_kinds_gains"], story.named_sets()))
    if "accuracy" in results:
        said.append(findings.classifiers(results["accuracy"], load_facts(study, "accuracy")))
        said.append(findings.where_they_fail(results["accuracy"], results["accuracy_conditions"]))
        if not (pairs := transfer.agreement(results["accuracy"])).empty:
            said.append(findings.agreement(pairs, results["accuracy_conditions"]))
    for name, sentence in (
        ("hypotheses", findings.explanation),
        ("remedies", findings.remedies),
        ("rates", findings.sufficient),
    ):
        if f"accuracy_{name}" in results:
            said.append(sentence(results[f"accuracy_{name}"]))
    tables = markdown(story.by_set(results, story.RIVALS))
    refined = story.by_set(results, ("learned", *story.RIVALS), refined=True)
    if not refined.empty:
        rd = study.profile.rd
        lams = rd.codecs["learned-refined"]
        tables += (
            f"\nOf files that the encoder refined by {rd.refine} gradient steps (`--refine`), at λ from {min(lams):g} "
            f"to {max(lams):g}; no other codec is refined. Its PSNR ranges are others, so do not subtract the tables: "
            f"on {story.ranges(results, WIDE, refined=True)}; above, on {story.ranges(results, WIDE)}.\n\n"
            f"{markdown(refined)}"
        )
    return (
        "\nBits of *learned* against other codecs at equal PSNR, in %, by the bytes of real files of images that were "
        "not trained on; in brackets 95 % intervals over classes or places, where there are several.\n\n"
        f"{tables}\n{findings.listed(*said)}\n"
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
    parser.add_argument("profiles", nargs="*", metavar="PROFILE")
    parser.add_argument("--card", action="store_true", help="write the model card and the README from the results")
    given = parser.parse_args()
    if not (given.profiles or given.card):
        parser.error("name a profile that trains weights, or --card")
    made = [path for profile in given.profiles for path in ship_all(open_study(profile))]
    for path in made:
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
    if given.card:
        study, card, readme = open_study("reference"), paths.WEIGHTS / "README.md", paths.ROOT / "README.md"
        for path in (card, readme):
            around(path)
        means, images = measured(study)
        said = headline(study)
        picture(study)
        fill(card, table(means, images))
        fill(readme, said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
