"""Rate and distortion of every codec: on val-compress, on the reader's own images, and on large scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from satstudy.codecs import Codec
from satstudy.codecs.learned.checkpoint import NATURAL, OVERHEAD
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.digests import digest
from satstudy.data.images import Pixels, find_images
from satstudy.metrics import bd_rate, blending
from satstudy.study import rate_distortion
from satstudy.study.experiments.scenes import is_jpeg, read_scene
from satstudy.study.study import Study, centre


def rate_distortion_frame(study: Study, lams: Sequence[float], images: str = "") -> pd.DataFrame:
    """JPEG, JPEG2000, WebP, AVIF and the learned codec on the same images, from real files.

    Parameters
    ----------
    lams : the learned codec's settings
    images : a folder of the reader's own images, or one image; those of the study if empty
    """
    chosen: list[rate_distortion.Source]
    if images:
        found = find_images([images])
        chosen = [(_own_name(path, images), path, "") for path in found]
        # The images may change under their names; size and time stand in for the pixels.
        stats = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in found]
        folder = study.folder / f"rd-own-{digest(stats)}"
    else:
        # A name in the table stands for a crop of an image.
        chosen = list(study.rd_images())
        folder = study.folder / f"rd-{digest(study.source_key, study.profile.rd.crop)}"
    parts = [_evaluate(study, chosen, study.classical(), folder / "classical.csv")]
    domains = [OVERHEAD, NATURAL] if study.profile.data.natural else [OVERHEAD]
    for domain in domains:
        parts += [_evaluate_learned(study, chosen, study.learned(lam, domain), folder) for lam in lams]
    if steps := study.profile.rd.refine:
        parts += [_evaluate_learned(study, chosen, study.learned(lam, refine=steps), folder) for lam in lams]
    return pd.concat(parts, ignore_index=True)


def scenes_frame(study: Study, lams: Sequence[float]) -> pd.DataFrame:
    """The scenes of the profile coded by every codec, by the learned one with each tiling; `codec` names it.

    `category` is the place that a scene shows.
    """
    settings = study.profile.rd
    root = study.named_folder(settings.scenes, "or leave rd.scenes out")
    chosen: list[rate_distortion.Source] = []
    found = find_images([root])
    for path in found:
        image: Path | Pixels = path  # read when its turn comes, if it is coded as it is stored
        if settings.scenes_crop:
            image = centre(read_scene(path), settings.scenes_crop)
        elif is_jpeg(path):
            image = read_scene(path)
        chosen.append((path.relative_to(root).as_posix(), image, path.stem.partition("_")[0]))
    stats = [(path.name, path.stat().st_size) for path in found]
    folder = study.folder / f"rd-scenes-{digest(settings.scenes, settings.scenes_crop, 'JPEG halved', stats)}"
    parts = [_evaluate(study, chosen, study.classical(), folder / "classical.csv")]
    for tiling in blending.TILINGS:
        for lam in lams:
            codec = study.learned(lam, tiling=tiling)  # type: ignore[arg-type]
            parts.append(_evaluate_learned(study, chosen, codec, folder).assign(codec=f"{codec.name}-{tiling}"))
    return pd.concat(parts, ignore_index=True)


def scenes_comparison(scenes: pd.DataFrame, **options: Any) -> pd.DataFrame:
    """BD-rates by place: of every codec against JPEG 2000, and of the tilings against blending."""
    learned = scenes[scenes["codec"].str.startswith("learned")]
    tables = [bd_rate.by_category(scenes, "jpeg2000", **options)]
    tables.append(bd_rate.by_category(learned, "learned-blend", **options))
    return pd.concat(tables, ignore_index=True)


def of_tiling(scenes: pd.DataFrame, tiling: str) -> pd.DataFrame:
    """A frame of `scenes_frame` with one tiling alone, which is then *the* learned codec."""
    others = {f"learned-{name}" for name in blending.TILINGS if name != tiling}
    return scenes[~scenes["codec"].isin(others)].replace({"codec": {f"learned-{tiling}": "learned"}})


def _own_name(path: Path, source: str) -> str:
    """What a table calls one of the reader's images: its place below the folder, nothing of the machine's."""
    return path.relative_to(source).as_posix() if path != Path(source) else path.name


def _evaluate(
    study: Study, images: Sequence[rate_distortion.Source], codecs: Sequence[Codec], path: Path
) -> pd.DataFrame:
    path.parent.mkdir(parents=True, exist_ok=True)
    return rate_distortion.evaluate(images, codecs, path, progress=study.progress)


def _evaluate_learned(
    study: Study, images: Sequence[rate_distortion.Source], codec: LearnedCodec, folder: Path
) -> pd.DataFrame:
    # A setting does not name its weights, so each set of weights has a file of its own.
    return _evaluate(study, images, [codec], folder / f"{codec.name}-{codec.fingerprint.hex()}-{codec.tiling}.csv")
