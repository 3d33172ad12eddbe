"""One archive with which a machine without network trains what a profile asks for: code, images, a script.

Usage: gpu_pack.py PROFILE [MIB]

It holds the tracked files that training needs, the images that `satstudy train` reads (at most MIB, 45 by default:
unchanged if they fit, else as JPEG of one quality), trainings that are finished or begun, the names and versions of the
packages (`wheels.txt`) and `run.sh`, which trains for a given time and can be called again.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from satstudy.codecs import JPEG
from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD
from satstudy.core import paths
from satstudy.core.errors import SatstudyError
from satstudy.data import packing
from satstudy.data.images import find_images
from satstudy.data.splits import read_manifest, subset, write_manifest
from satstudy.study import profiles
from satstudy.study.study import Study, open_study

CODE = ("satstudy", "benchmarks", "profiles", "pyproject.toml")
#: Results of a training that another machine goes on from.
KEPT = ("weights.safetensors", "state.safetensors", "metrics.csv")


def trainings(study: Study, name: str) -> list[str]:
    """The commands that train all that the profile asks for."""
    profile, found = study.profile, []
    if profile.train.steps:
        found += [OVERHEAD, *([NATURAL] if profile.data.natural else [])]
    lines = [f"train --profile {name} --domain {domain}" for domain in found]
    return lines + ([f"train --profile {name} --every-rate"] if profile.every_rate.steps else [])


def images(study: Study) -> list[Path]:
    """What those commands read."""
    profile = study.profile
    if profile.synthetic:
        return []  # drawn there
    found = study.images("train-compress")
    if profile.data.natural:
        found += find_images([study.named_folder(profile.data.natural)])
    if profile.every_rate.steps and profile.every_rate.sensors:
        found += find_images([study.named_folder(profile.data.sensors)])
    return found


def wheels() -> list[str]:
    """The package's dependencies and theirs, at the versions that are installed here."""
    found: dict[str, str] = {}
    waiting = [Requirement(line) for line in importlib.metadata.requires("satstudy") or ()]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        try:
            found[wanted.name] = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting += [Requirement(line) for line in importlib.metadata.requires(wanted.name) or ()]
    return [f"{name}=={version.partition('+')[0]}" for name, version in sorted(found.items())]


def main() -> None:
    name, limit = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 45
    study, checkout = open_study(name), paths.PACKAGE.parent
    target = paths.BUILD / f"gpu-{study.profile.name}.zip"
    listed = subprocess.run(["git", "-C", checkout, "ls-files", *CODE], capture_output=True, text=True, check=True)
    with tempfile.TemporaryDirectory() as folder, paths.atomic(target) as temporary:
        stage, pack = Path(folder) / "images", Path(folder) / "data.zip"
        studies = [
            open_study(Path(path).stem if str(paths.PROFILES) in path else path) for path in profiles.chain(name)
        ]
        for image in {image for each in studies for image in images(each)}:
            place = stage / image.relative_to(paths.ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(image, place)
        made = (
            packing.pack(stage, pack, lambda q: JPEG(q, "4:4:4", progressive=True), limit) if stage.exists() else None
        )
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for line in listed.stdout.splitlines():
                if (checkout / line).is_file():
                    archive.write(checkout / line, line)
            for path in profiles.chain(name):
                if f"profiles/{Path(path).name}" not in archive.namelist():
                    archive.write(path, f"profiles/{Path(path).name}")
            archive.write(checkout / "workflow" / "gpu_run.sh", "run.sh")
            archive.writestr("wheels.txt", "\n".join(wheels()) + "\n")
            archive.writestr("trainings.txt", "\n".join(trainings(study, profiles.location(name).stem)) + "\n")
            if made:
                archive.write(pack, "data.zip", zipfile.ZIP_STORED)
            for each in studies:
                for path in sorted(each.folder.glob("train/*/*")):
                    if path.name in KEPT:
                        archive.write(path, f"build/{path.relative_to(paths.BUILD)}")
                if not each.profile.synthetic:
                    _manifest(each, archive, Path(folder), recoded=made is not None and made.quality is not None)
    data = "synthetic scenes, drawn there" if made is None else f"{made.images} images, {pack_size(target)}"
    how = "" if made is None or made.quality is None else (
        f" as JPEG quality {made.quality} ({made.psnr:.1f} dB): what is trained on them is told apart from what is "
        "trained on the originals"
    )  # fmt: skip
    print(f"{target}: {target.stat().st_size / 2**20:.1f} MiB; {data}{how}. There: sh run.sh MINUTES OUT")


def pack_size(target: Path) -> str:
    return f"{zipfile.ZipFile(target).getinfo('data.zip').file_size / 2**20:.1f} MiB"


def _manifest(study: Study, archive: zipfile.ZipFile, folder: Path, recoded: bool) -> None:
    """The part of the splits that training reads, with the names that the images have there."""
    rows = subset(study.manifest, "train-compress")
    if recoded:
        rows["path"] = [Path(name).with_suffix(".jpg").as_posix() for name in rows["path"]]
    path = folder / study.manifest_path.name
    write_manifest(path, rows)
    read_manifest(path)
    archive.write(path, f"build/{study.profile.name}/{path.name}")


if __name__ == "__main__":
    try:
        main()
    except SatstudyError as error:
        sys.exit(f"gpu_pack: {error}")
