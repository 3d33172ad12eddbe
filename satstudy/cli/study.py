"""The commands that measure, train, and make or fetch images. Each gives the exit status.

PyTorch takes seconds to import: each command imports what it needs, when it needs it.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from satstudy.cli.arguments import shows_progress
from satstudy.cli.files import check_target
from satstudy.core.errors import InputError

if TYPE_CHECKING:
    from satstudy.codecs import Codec

#: Steps of latent refinement for a codec that refines, where `--refine` does not say.
REFINE = 40

# --- Measurement ------------------------------------------------------------------------------------------


def rd(arguments: argparse.Namespace) -> int:
    """A table of rate and distortion, and its mean curves on standard output."""
    from satstudy.data.images import find_images

    images = find_images(arguments.images)
    csv = Path(arguments.csv)
    if csv.suffix.lower() != ".csv":
        raise InputError(f"{csv} is to become a table: name it .csv.")
    check_target(csv, images[0])

    from satstudy.codecs import registry
    from satstudy.codecs.learned import checkpoint
    from satstudy.codecs.learned.ladder import codecs_of, shipped_codecs
    from satstudy.metrics import bd_rate
    from satstudy.study import rate_distortion

    chosen: list[Codec] = []
    for name in dict.fromkeys(arguments.codec or ["jpeg2000", "learned"]):
        entry = registry.find(name)
        if entry.learned is None:
            chosen += [entry.make(setting) for setting in entry.ladder]
            continue
        steps = arguments.refine or (REFINE if entry.learned.refined else 0)
        options: dict[str, Any] = {"tiling": arguments.tiling, "refine": steps}
        if not arguments.weights:
            chosen += shipped_codecs(entry, **options)
        for path in arguments.weights or ():
            chosen += codecs_of(checkpoint.load(path), entry, **options)
    unusable: list[str] = []
    options = {"progress": shows_progress(arguments), "resume": not arguments.fresh, "unusable": unusable}
    frame = rate_distortion.evaluate(images, chosen, csv, **options)  # type: ignore[arg-type]
    table = bd_rate.mean_curves(frame)
    print(table.to_string(index=False, float_format=lambda x: f"{x:.4g}"))
    for reason in unusable:
        print(f"satstudy: {reason}", file=sys.stderr)
    if unusable:
        print(f"satstudy: {len(images) - len(unusable)} images measured, {len(unusable)} failed.", file=sys.stderr)
    return 2 if unusable else 0


def weights(arguments: argparse.Namespace) -> int:
    """The shipped weights, a line each."""
    from satstudy.codecs.learned import checkpoint

    for path in checkpoint.everything_shipped():
        known = checkpoint.load(path)
        lam = "every rate  " if known.serves_every_rate else f"lam={known.lam:<8g}"
        domain = known.metadata.get("domain", checkpoint.OVERHEAD)
        print(f"{domain:9} {lam} {known.model.size}  {known.fingerprint.hex()}  {path}")
    return 0


def train(arguments: argparse.Namespace) -> int:
    """Trains what is not trained yet, and names the weights; in all processes of `torchrun` together."""
    from satstudy.codecs.learned.checkpoint import OVERHEAD
    from satstudy.study import profiles
    from satstudy.study.study import open_study
    from satstudy.training.step import Process

    if arguments.profile is None:
        raise InputError(
            f"Name the profile whose codec is to be trained: `satstudy train --profile quick`, or another of "
            f"{', '.join(profiles.names())}, or the path of a YAML file."
        )
    process, domain = Process.current(), arguments.domain or OVERHEAD
    study = open_study(arguments.profile, progress=shows_progress(arguments) and process.first)
    if arguments.every_rate and arguments.lam:
        raise InputError("--every-rate trains one model for every λ: leave --lam out.")
    if not process.first:
        process.any(False)  # until the first has drawn and divided the images
    study.images("train-compress")
    if process.first:
        process.any(False)
    for lam in [None] if arguments.every_rate else arguments.lam or study.ladder():
        path = study.every_rate(domain).path if lam is None else study.weights(lam, domain).path
        if process.first:
            print(path)
    return 0


def adapt(arguments: argparse.Namespace) -> int:
    """Writes the difference and says its size and fingerprint."""
    from satstudy.data.images import find_images

    images, target = find_images(arguments.images), Path(arguments.out)
    check_target(target, images[0])

    from satstudy.codecs.learned import checkpoint
    from satstudy.training import adapt

    path = arguments.weights or checkpoint.shipped_for_every_rate()
    if path is None:
        raise checkpoint.none_ship("that serve every rate", "name some with --weights")
    if arguments.steps < 1:
        raise InputError(f"--steps {arguments.steps} trains nothing: take 1 or more.")
    options = {"steps": arguments.steps, "device": arguments.device, "progress": shows_progress(arguments)}
    adapt.adapt(checkpoint.load(path), images, target, **options)
    found = checkpoint.load(target)
    print(f"{target}: {target.stat().st_size / 1000:.0f} kB, weights {found.fingerprint.hex()}")
    return 0


# --- Data -------------------------------------------------------------------------------------------------


def synth(arguments: argparse.Namespace) -> int:
    """Synthetic scenes as an fMoW tree."""
    from satstudy.data.synthetic.tree import write_tree

    if Path(arguments.root).is_file():
        raise InputError(f"{arguments.root} is a file: name a new folder.")
    count = write_tree(
        arguments.root,
        train_objects=arguments.train_objects,
        val_objects=arguments.val_objects,
        views=arguments.views,
        size=arguments.size,
        seed=arguments.seed,
        progress=shows_progress(arguments),
    )
    print(f"{arguments.root}: {count} synthetic images drawn")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """How many images of each category can be read; status 2 if some cannot."""
    from satstudy.data import fmow

    report = fmow.check(arguments.root, progress=shows_progress(arguments))
    for category, count in sorted(report.categories.items()):
        print(f"{category or '(no class)':32} {count}")
    for path, note in report.notes:
        print(f"{path}: {note}")
    print(f"{report.images} images, {len(report.unreadable)} unusable")
    for path, reason in report.unreadable:
        print(f"satstudy: {reason if str(path) in reason else f'{path}: {reason}'}", file=sys.stderr)
    return 2 if report.unreadable else 0


def fetch(arguments: argparse.Namespace) -> int:
    """A part of fMoW-rgb: JSON files until enough images are known to be large, then these."""
    from satstudy.core.paths import atomic
    from satstudy.data import download

    root, progress = Path(arguments.root), shows_progress(arguments)
    if arguments.workers < 1 or min(arguments.train, arguments.val) < 0 or not arguments.train + arguments.val:
        raise InputError("--workers must be 1 or more, and --train and --val say how many images: 1 or more in all.")
    store = download.open_bucket(arguments.bucket, arguments.prefix, arguments.endpoint_url)
    get = functools.partial(download.fetch, store, root=root, workers=arguments.workers, progress=progress)
    if not arguments.manifest:
        get([download.MANIFEST])
    listing = download.read_manifest_list(arguments.manifest or root / download.MANIFEST)

    def large(images: Sequence[str]) -> list[str]:
        get([f"{image}.json" for image in images])
        return [image for image in images if download.is_large(root, image, arguments.min_size)]

    options = (large, arguments.category, arguments.per_object, arguments.seed)
    counts = {"train": arguments.train, "val": arguments.val}
    chosen = {split: download.choose(listing, split, count, *options) for split, count in counts.items() if count}
    for split, images in chosen.items():
        places = [image.split("/") for image in images]
        objects, categories = len({place[2] for place in places}), len({place[1] for place in places})
        print(f"{split}: {len(images)} images of {objects} objects in {categories} categories")
    names = [f"{image}.jpg" for images in chosen.values() for image in images]
    missing = download.absent(names, root)
    total = sum(download.sizes(store, missing, arguments.workers, progress).values())
    print(f"{len(names) - len(missing)} images are there, {len(missing)} with {total} bytes are to be fetched")
    if arguments.dry_run:
        return 0
    record = root / "SOURCE.json"
    if not record.exists():
        print(download.LICENCE, file=sys.stderr)
    source = {"bucket": arguments.bucket, "prefix": arguments.prefix, "endpoint": arguments.endpoint_url}
    chosen_by = {name: getattr(arguments, name) for name in ("train", "val", "min_size", "per_object", "seed")}
    with atomic(record) as temporary:
        temporary.write_text(json.dumps({"licence": download.LICENCE, **source, **chosen_by}, indent=1) + "\n")
    report = get(names, total=total)
    unsure = f", {report.unverified} by their size alone" if report.unverified else ""
    print(f"{root}: {report.fetched} images fetched and verified{unsure}, {report.bytes} bytes")
    return 0


def pack(arguments: argparse.Namespace) -> int:
    """A folder of images as one file, and what that cost them."""
    target = Path(arguments.pack)
    if target.suffix.lower() != ".zip":
        raise InputError(f"{target} is to become a pack: name it .zip.")
    check_target(target, Path(arguments.folder))

    from satstudy.codecs import JPEG
    from satstudy.data import packing

    def jpeg(quality: int) -> JPEG:
        # Progressive JPEG decodes to the same pixels and is 4 % smaller on UC Merced at these qualities.
        return JPEG(quality, "4:4:4", progressive=True)

    made = packing.pack(arguments.folder, target, jpeg, arguments.limit, arguments.numbers, shows_progress(arguments))
    how = "the files unchanged" if made.quality is None else f"JPEG quality {made.quality}"
    loss = "lossless" if made.psnr is None else f"{made.psnr:.2f} dB"
    print(f"{target}: {made.images} images, {target.stat().st_size / packing.MIB:.2f} MiB, {how}, {loss}")
    return 0


def unpack(arguments: argparse.Namespace) -> int:
    """The images of a pack."""
    from satstudy.data import packing

    count = packing.unpack(arguments.pack, arguments.folder, progress=shows_progress(arguments))
    print(f"{arguments.folder}: {count} images unpacked")
    return 0
