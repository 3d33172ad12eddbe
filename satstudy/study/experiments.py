"""Rate and distortion of every codec: on val-compress, on the reader's own images, and on large scenes."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from satstudy.codecs import Codec, registry
from satstudy.codecs.learned.checkpoint import OVERHEAD, Checkpoint
from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.core.digests import digest, file_digest
from satstudy.core.errors import InputError
from satstudy.core.geometry import TILINGS, Tiling, grid
from satstudy.core.hardware import one_thread
from satstudy.core.pixels import centre, luminance
from satstudy.core.types import Pixels
from satstudy.data.images import find_images, image_size, read_image
from satstudy.data.splits import subset
from satstudy.metrics import seams
from satstudy.metrics.quality import bpp, psnr
from satstudy.metrics.seams import seam_profile
from satstudy.study import rate_distortion, sets
from satstudy.study.one_image import Coding, coded, of_size
from satstudy.study.study import Study


def rate_distortion_frame(
    study: Study, lams: Sequence[float], images: str = "", codecs: Sequence[str] = ()
) -> pd.DataFrame:
    """Every codec of the profile on the same images, from real files.

    Parameters
    ----------
    lams : settings of the learned codecs for which the profile says `default`
    images : a folder of the reader's own images, or one image; those of the study if empty
    codecs : only these; all of the profile if empty
    """
    chosen: list[rate_distortion.Source]
    if images:
        found = find_images([images])
        chosen = [(_own_name(path, images), path, "") for path in found]
        # The images may change under their names.
        folder = study.folder / f"rd-own-{digest([(str(path), file_digest(path)) for path in found])}"
    else:
        # A name in the table stands for a crop of an image.
        chosen = list(study.rd_images())
        folder = study.folder / f"rd-{digest(study.source_key, study.profile.rd.crop)}"
    return _measured(study, chosen, folder, study.rd_settings(lams, codecs), ms_ssim=True)


def set_frame(study: Study, name: str, lams: Sequence[float], codecs: Sequence[str] = ()) -> pd.DataFrame:
    """The same on another set of images (`rd.sets` of the profile); `category` is the place that an image shows.

    Parameters
    ----------
    codecs : only these; all of the profile if empty
    """
    rd = study.profile.rd
    if name not in rd.sets:
        raise InputError(f"The profile {study.profile.name} has no set {name!r}: take one of {', '.join(rd.sets)}.")
    root = study.named_folder(rd.sets[name], f"or leave {name} out of rd.sets")
    chosen = sets.images_of(name, root, first=study.profile.splits.number, crop=rd.scenes_crop)
    folder = study.folder / f"rd-{name}-{digest(rd.sets[name], rd.scenes_crop, study.profile.splits.number)}"
    return _measured(study, chosen, folder, study.rd_settings(lams, codecs), ms_ssim=False)


def _measured(
    study: Study,
    images: Sequence[rate_distortion.Source],
    folder: Path,
    settings: Mapping[str, Sequence[registry.Setting]],
    ms_ssim: bool,
) -> pd.DataFrame:
    """Images coded with each setting; what was measured before is read from `folder`, a file for each codec.

    MS-SSIM takes longer than most codecs and is left out unless `ms_ssim`.
    """
    parts = []
    for name, values in settings.items():
        if registry.find(name).learned:
            parts += [_evaluate_learned(study, images, study.codec(name, lam), folder, ms_ssim) for lam in values]
        else:
            codecs = [study.codec(name, value) for value in values]
            parts.append(_evaluate(study, images, codecs, folder / f"{name}.csv", ms_ssim))
    return pd.concat(parts, ignore_index=True)


def tilings_frame(study: Study, scenes: Sequence[tuple[str, Pixels]], lams: Sequence[float]) -> pd.DataFrame:
    """Scenes coded by the learned codec with each tiling at each λ; `codec` names the tiling, `category` the place.

    Places are those of `seams.place`.
    """
    chosen: list[rate_distortion.Source] = [(name, image, seams.place(name)) for name, image in scenes]
    folder = study.folder / f"rd-tilings-{digest([(name, image.shape) for name, image in scenes], study.source_key)}"
    parts = []
    for tiling, lam in itertools.product(TILINGS, lams):
        codec = study.mbt2018(lam, tiling=tiling)
        parts.append(_evaluate_learned(study, chosen, codec, folder).assign(codec=f"{codec.name}-{tiling}"))
    return pd.concat(parts, ignore_index=True)


def places(frame: pd.DataFrame) -> dict[str, str] | None:
    """Image → its place or class, which is what intervals resample; None where the table names none."""
    return dict(zip(frame["image"], frame["category"], strict=True)) if frame["category"].any() else None


def wrapping_frame(study: Study, lams: Sequence[float]) -> pd.DataFrame:
    """What each codec of the profile needs for an empty image, its settings, and which library codes."""
    rows = []
    for name, settings in study.rd_settings(lams).items():
        entry = registry.find(name)
        # One λ stands for a learned codec, whose headers are alike.
        least = min(rate_distortion.wrapping(study.codec(name, s)) for s in settings[: 1 if entry.learned else None])
        text = f"{entry.parameter} {', '.join(f'{s:g}' for s in settings)}"
        rows.append((name, least, text, entry.version() if entry.version else "this package"))
    return pd.DataFrame(rows, columns=["codec", "bytes", "settings", "version"])


#: Efforts that the speed comparison takes of a codec: the attribute that sets them, and their values.
EFFORTS = {"avif": ("speed", (0, 2, 4, 6, 8, 10)), "jpegxl": ("effort", (1, 3, 5, 7, 8, 9))}
REFINEMENTS = (20, 100, 500)


def speed_frame(study: Study, lams: Sequence[float]) -> pd.DataFrame:
    """Every codec of the profile timed on the same crops in one run and one thread, some of them at several efforts.

    A learned codec is also refined by `REFINEMENTS` steps where the profile has its refined files too, and then stands
    at every other λ, refined or not. `codec` is "avif-speed6", "learned-refine100" and the like.
    """
    rd = study.profile.rd
    chosen = study.rd_images()
    if rd.sets:
        name, folder = next(iter(rd.sets.items()))
        chosen = sets.images_of(name, study.named_folder(folder), first=study.profile.splits.number)
    step = max(1, len(chosen) // rd.speed)
    crops = [(name, centre(_pixels(image), 512), place) for name, image, place in chosen[::step][: rd.speed]]
    codecs: list[Codec] = []
    ladders = study.rd_settings(lams)
    for name, settings in ladders.items():
        entry = registry.find(name)
        refined = f"{name}-refined" in ladders
        if refined:  # 500 steps take as long as 500 times decoding or more.
            settings = settings[1::2] or settings
        plain = [study.codec(name, setting) for setting in settings]
        if name in EFFORTS:
            attribute, efforts = EFFORTS[name]
            for effort, codec in itertools.product(efforts, plain):
                slower: Any = dataclasses.replace(cast(Any, codec), **{attribute: effort})
                codecs.append(rate_distortion.Variant(f"{name}-{attribute}{effort}", slower))
        elif entry.learned is None or (entry.learned.domain == OVERHEAD and not entry.learned.refined):
            codecs += plain
        if refined:
            codecs += [
                rate_distortion.Variant(f"{name}-refine{steps}", study.codec(name, lam, refine=steps))
                for steps in REFINEMENTS
                for lam in settings
            ]
    path = study.folder / f"speed-{digest(study.source_key, [name for name, *_ in crops], sorted(lams))}.csv"
    with one_thread():
        return _evaluate(study, crops, codecs, path)


def _pixels(image: Path | Pixels) -> Pixels:
    return image if isinstance(image, np.ndarray) else read_image(image)


def _own_name(path: Path, source: str) -> str:
    """What a table calls one of the reader's images: its place below the folder, nothing of the machine's."""
    return path.relative_to(source).as_posix() if path != Path(source) else path.name


def _evaluate(
    study: Study, images: Sequence[rate_distortion.Source], codecs: Sequence[Codec], path: Path, ms_ssim: bool = False
) -> pd.DataFrame:
    path.parent.mkdir(parents=True, exist_ok=True)
    return rate_distortion.evaluate(images, codecs, path, progress=study.progress, ms_ssim=ms_ssim)


def _evaluate_learned(
    study: Study, images: Sequence[rate_distortion.Source], codec: Any, folder: Path, ms_ssim: bool = False
) -> pd.DataFrame:
    # A setting does not name its weights, so each set of weights has a file of its own.
    path = folder / f"{codec.name}-{codec.fingerprint.hex()}-{codec.tiling}.csv"
    return _evaluate(study, images, [codec], path, ms_ssim)


def detailed_crop(image: Pixels, side: int) -> tuple[int, int]:
    """Top and left of the square with the most detail, by the variance of its luminance: a rule, not a choice."""
    luma = luminance(image)
    best, place = -1.0, (0, 0)
    for top in range(0, max(1, image.shape[0] - side + 1), max(1, side // 2)):
        for left in range(0, max(1, image.shape[1] - side + 1), max(1, side // 2)):
            value = float(luma[top : top + side, left : left + side].var())
            if value > best:
                best, place = value, (top, left)
    return place


def example_codings(
    image: Pixels, codecs: Sequence[Codec], top: int, left: int, side: int
) -> list[tuple[str, Pixels, float, float]]:
    """(codec, crop, bpp, PSNR of the whole image) of each codec: the pictures of Fig. 5."""
    return cropped(image, [coded(codec, image) for codec in codecs], top, left, side)


def cropped(
    image: Pixels, codings: Sequence[Coding], top: int, left: int, side: int
) -> list[tuple[str, Pixels, float, float]]:
    """`example_codings` of what is coded already."""
    return [
        (
            coding.codec.name,
            coding.decoded[top : top + side, left : left + side],
            bpp(len(coding.data), *image.shape[:2]),
            psnr(image, coding.decoded),
        )
        for coding in codings
    ]


def example_images(study: Study, images: str = "") -> list[Path]:
    """The images that figures choose from: the first of each category, or the reader's own, at most 30 of them.

    Parameters
    ----------
    images : a folder of the reader's own images, or one image; those of the study if empty
    """
    if images:
        found = find_images([images])
        return found[:: -(-len(found) // 30)]
    firsts = subset(study.manifest, "val-compress").drop_duplicates("category")["path"]
    return [study.root / name for name in firsts]


def rate_crops(study: Study, images: Sequence[Path], side: int = 160) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """What `figures_images.saved_crops` draws: the most detailed crop of an image of middling detail, at four rates.

    The learned codec over its ladder, and JPEG at the qualities whose files are nearest to these in size. Of `images`,
    the one whose variance is the median: a rule, not a choice.
    """
    ranked = sorted((float(luminance(read_image(path)).var()), path) for path in images)
    path = ranked[len(ranked) // 2][1]
    image = read_image(path)
    side = min(side, *image.shape[:2])
    top, left = detailed_crop(image, side)
    lams = study.lams
    # From the lowest rate up, over the whole ladder.
    some = [lams[round(i)] for i in np.linspace(0, len(lams) - 1, min(4, len(lams)))]
    codings = [coded(study.example_codec(lam), image) for lam in some]
    codings += [of_size("jpeg", image, len(coding.data)) for coding in codings]
    found = cropped(image, codings, top, left, side)
    names = [f"{codec}-{i % len(some) + 1}" for i, (codec, *_) in enumerate(found)]
    crops = {"original": image[top : top + side, left : left + side]}
    crops |= {name: crop for name, (_, crop, *_) in zip(names, found, strict=True)}
    facts = [(name, codec, *rest) for name, (codec, _, *rest) in zip(names, found, strict=True)]
    return crops, {"image": path.name, "coded": facts}


@dataclass(frozen=True)
class Blended:
    """One way to cut an image, and what came back."""

    tiling: Tiling
    weighting: str
    overlap: int
    decoded: Pixels
    data_bytes: int


def blend_image(study: Study, image: Pixels, lam: float) -> list[Blended]:
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
    for tiling, weighting, overlap in tqdm(ways, desc="tilings", unit="coding", disable=not study.progress):
        codec = LearnedCodec(checkpoint, tiling, overlap=overlap, weighting="ramp" if weighting == "ramp" else "mean")
        data = codec.encode(image)
        made.append(Blended(tiling, weighting, overlap, codec.decode(data), len(data)))
    return made


def seam_frame(study: Study, name: str, image: Pixels, made: Sequence[Blended], lam: float) -> pd.DataFrame:
    """Rate, PSNR near and away from seams, and the seam measure, of each way to cut the image."""
    reference = next(way.decoded for way in made if way.tiling == "seamless")
    rows = []
    for way in made:
        layout = seams.measured_layout(image.shape[0], image.shape[1], way.tiling, overlap=way.overlap)
        rows.append(
            seams.measure(
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
    """`seams.seam_profile` of each scene without overlap, with `overlap` by mean, and seamless."""
    profiles = []
    for name, image in scenes:
        for way in made[name]:
            if way.weighting != "ramp" and way.overlap in (0, overlap):
                layout = seams.measured_layout(image.shape[0], image.shape[1], way.tiling, overlap=way.overlap)
                profiles.append(seam_profile(image, way.decoded, layout).assign(tiling=way.tiling))
    return pd.concat(profiles, ignore_index=True)


def seam_images(study: Study) -> list[tuple[str, Pixels]]:
    """The largest images of the profile's folder for it, or of val-compress, as many as it asks for."""
    wanted = study.profile.blending
    if wanted.root:
        read = sets.read_scene
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
    """What `figures_images.saved_seam` draws: the crop in which a seam of the independent patches shows most.

    Of the places where the blended image has a seam as well, so that the figure shows both.
    """
    height, width = image.shape[:2]
    apart, over = (grid(height, width, patch=256, overlap=o) for o in (0, blended.overlap))
    where = seams.worst_seam(image, plain.decoded, apart, beside=over)
    cut = (slice(where.top, where.top + where.size), slice(where.left, where.left + where.size))
    whole: dict[str, Pixels] = {"original": image, **{way.tiling: way.decoded for way in (plain, blended, seamless)}}
    place: dict[str, Any] = {"image": name, "height": height, "width": width, "overlap": blended.overlap}
    return {label: pixels[cut] for label, pixels in whole.items()}, {**where._asdict(), **place, "lam": lam}


def checkpoints(study: Study, lams: Sequence[float]) -> list[Checkpoint]:
    """The weights of the learned codecs of the profile, each once."""
    found = {}
    for name, settings in study.rd_settings(lams).items():
        if learned := registry.find(name).learned:
            every_rate = [study.every_rate(learned.domain)] if learned.every_rate else []
            for weights in every_rate or [study.weights(float(lam), learned.domain) for lam in settings]:
                found[weights.fingerprint] = weights
    return list(found.values())


def training_metrics(study: Study, lams: Sequence[float], domain: str = OVERHEAD) -> dict[str, pd.DataFrame]:
    """λ → the run's metrics, for those that this study has trained."""
    found = {}
    for lam in lams:
        path = study.training_folder(lam, domain) / "metrics.csv"
        if path.exists():
            found[f"λ={lam:g}"] = pd.read_csv(path)
    return found
