"""Code 24 images of the reference study anew and compare sizes and PSNR with the tracked table, to the byte.

Usage: reference_check.py [--images 24] [--codec NAME]...

Learned codecs take the weights that ship. Codecs whose package is not installed here, and learned ones whose weights
do not ship, are named and not checked. Exit status 1 where a file differs.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from satstudy.codecs import Codec, registry
from satstudy.codecs.learned.ladder import shipped_codecs
from satstudy.core import paths
from satstudy.core.errors import SatstudyError
from satstudy.data.images import read_image
from satstudy.metrics.quality import psnr
from satstudy.study.rate_distortion import read_frame
from satstudy.study.study import Study, open_study, spread


def codecs(study: Study, name: str) -> dict[str, Codec]:
    """Setting → codec, of one codec of the profile; the weights of a learned one are those that ship."""
    entry = registry.find(name)
    if entry.missing:
        raise SatstudyError(entry.missing)
    if entry.learned is None:
        found = [study.codec(name, setting) for setting in entry.parse_settings(study.profile.rd.codecs[name])]
        return {codec.setting: codec for codec in found}
    refine = study.profile.rd.refine if entry.learned.refined else 0
    made = shipped_codecs(entry, tiling=study.profile.rd.tiling, refine=refine)
    return {codec.setting: codec for codec in made}


def check(study: Study, table: pd.DataFrame, names: list[str], count: int) -> int:
    """How many of `count` images differ in any file."""
    pick = table.drop_duplicates("image")[["image", "category"]].assign(object=lambda rows: rows["image"])
    images = list(spread(pick.reset_index(drop=True), count, 0)["image"])
    wrong: dict[str, str] = {}
    for name in names:
        try:
            made = codecs(study, name)
        except SatstudyError as error:
            print(f"not checked: {error}")
            continue
        rows = table[(table["codec"] == name) & table["image"].isin(images)].to_dict("records")
        for row in tqdm(rows, desc=name, unit="file"):
            image, codec = read_image(study.root / row["image"]), made.get(row["setting"])
            if codec is None:
                print(f"not checked: {name} {row['setting']} is no setting of the profile.")
                continue
            data = codec.encode(image)
            quality = psnr(image, codec.decode(data))
            if len(data) != row["bytes"] or not np.isclose(quality, row["psnr"], rtol=1e-5):
                wrong.setdefault(
                    row["image"],
                    f"{name} {row['setting']}: {len(data)} bytes at {quality:.4f} dB, "
                    f"the table has {row['bytes']:.0f} at {row['psnr']:.4f}",
                )
    for image, what in wrong.items():
        print(f"{image} differs: {what}")
    print(f"{len(images) - len(wrong)} of {len(images)} images agree with {table.attrs['path']}")
    return len(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--codec", dest="codecs", action="append", help="all codecs of the table if none is given")
    given = parser.parse_args()
    study = open_study("reference", progress=False)
    path = paths.REFERENCE / "rate_distortion.csv"
    table = read_frame(path)
    table.attrs["path"] = path.relative_to(paths.ROOT).as_posix()
    return int(check(study, table, given.codecs or list(dict.fromkeys(table["codec"])), given.images) > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SatstudyError as error:
        sys.exit(str(error))
