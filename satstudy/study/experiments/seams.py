"""What tiling does: an image coded in every way to cut it, and what shows where patches meet (paper, §3.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tqdm.auto import tqdm

from satstudy.codecs.learned import stitching
from satstudy.codecs.learned.codec import LearnedCodec, Tiling
from satstudy.data.images import Pixels, find_images, image_size, read_image
from satstudy.metrics import blending
from satstudy.metrics.seams import seam_profile
from satstudy.study.experiments.scenes import read_scene
from satstudy.study.study import Study


@dataclass(frozen=True)
class Blended:
    """One way to cut an image, and what came back."""

    tiling: Tiling
    weighting: str
    overlap: int
    decoded: Pixels
    data_bytes: int


def blend_image(study: Study, image: Pixels, lam: float, progress: bool = True) -> list[Blended]:
    """An image coded with every overlap of the profile, by mean and by ramp, and seamless."""
    checkpoint = study.weights(lam)
    ways: list[tuple[Tiling, str, int]] = []
    for overlap in study.profile.blending.overlaps:
        if overlap == 0:
            ways.append(("independent", "none", 0))
        else:
            ways += [("blend", "mean", overlap), ("blend", "ramp", overlap)]
    ways.append(("seamless", "none", 0))
    made = []
    for tiling, weighting, overlap in tqdm(ways, desc="tilings", unit="coding", disable=not progress):
        codec = LearnedCodec(checkpoint, tiling, overlap=overlap, weighting="ramp" if weighting == "ramp" else "mean")
        data = codec.encode(image)
        made.append(Blended(tiling, weighting, overlap, codec.decode(data), len(data)))
    return made


def seam_frame(study: Study, name: str, image: Pixels, made: Sequence[Blended], lam: float) -> pd.DataFrame:
    """Rate, PSNR near and away from seams, and the seam measure, of each way to cut the image."""
    reference = next(way.decoded for way in made if way.tiling == "seamless")
    rows = []
    for way in made:
        layout = blending.measured_layout(image.shape[0], image.shape[1], way.tiling, overlap=way.overlap)
        rows.append(
            blending.measure(
                image,
                way.decoded,
                way.data_bytes,
                layout,
                image=name,
                lam=lam,
                tiling=way.tiling,
                weighting=way.weighting,
                reference=reference,
            )
        )
    return pd.DataFrame(rows)


def seam_profiles(
    scenes: Sequence[tuple[str, Pixels]], made: Mapping[str, Sequence[Blended]], overlap: int
) -> pd.DataFrame:
    """`blending.seam_profile` of each scene without overlap, with `overlap` by mean, and seamless."""
    profiles = []
    for name, image in scenes:
        for way in made[name]:
            if way.weighting != "ramp" and way.overlap in (0, overlap):
                layout = blending.measured_layout(image.shape[0], image.shape[1], way.tiling, overlap=way.overlap)
                profiles.append(seam_profile(image, way.decoded, layout).assign(tiling=way.tiling))
    return pd.concat(profiles, ignore_index=True)


def seam_images(study: Study) -> list[tuple[str, Pixels]]:
    """The largest images of the profile's folder for it, or of val-compress, as many as it asks for."""
    wanted = study.profile.blending
    if wanted.root:
        read = read_scene
        root = study.named_folder(wanted.root, "or leave blending.root out")
        images = find_images([root])
        sizes = {path: math.prod(image_size(path)) for path in images}
    else:
        read = read_image
        root, images = study.root, study.images("val-compress")
        sizes = {record.path: record.height * record.width for record in study.records("val-compress")}
    largest = sorted(images, key=lambda path: (-sizes[path], path.as_posix()))[: wanted.images]
    return [(path.relative_to(root).as_posix(), read(path)) for path in largest]


def seam_crops(
    name: str, image: Pixels, plain: Blended, blended: Blended, seamless: Blended, lam: float
) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """What `figures.kept_seam` draws: the crop in which a seam of the independent patches shows most.

    Of the places where the blended image has a seam as well, so that the figure shows both.
    """
    height, width = image.shape[:2]
    apart, over = (stitching.grid(height, width, patch=256, overlap=o) for o in (0, blended.overlap))
    where = blending.worst_seam(image, plain.decoded, apart, beside=over)
    cut = (slice(where.top, where.top + where.size), slice(where.left, where.left + where.size))
    whole: dict[str, Pixels] = {"original": image, **{way.tiling: way.decoded for way in (plain, blended, seamless)}}
    place: dict[str, Any] = {"image": name, "height": height, "width": width, "overlap": blended.overlap}
    return {label: pixels[cut] for label, pixels in whole.items()}, {**where._asdict(), **place, "lam": lam}
