"""What each kind of training data brings to the wavelet codec, measured on ground and sensors that no training saw.

Small models are trained from random weights for the same number of steps with different mixtures of images
(`every_rate.sensors`, `.shrunk`, `.recolour`), and measured on the sets of `rd.sets` by the bytes of real files. They
serve a narrow range of λ. One more, with all images, serves every λ: what it loses is the price of one network.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from satstudy.codecs.learned.codec import LearnedCodec
from satstudy.codecs.wavelet.config import LAM_MAX, LAM_MIN
from satstudy.core.errors import InputError
from satstudy.core.loss import rate_distortion as rate_distortion_loss
from satstudy.metrics import quality
from satstudy.metrics.bootstrap import change_interval
from satstudy.study import rate_distortion, sets
from satstudy.study.program import write_tables
from satstudy.study.study import Study

#: Everything, as the profile mixes it, for a narrow range of λ; what the others change.
ALL = "all"
CHANGES: Mapping[str, Mapping[str, Any]] = {
    ALL: {},
    "no other sensors": {"sensors": 0.0},
    "no shrunk tiles": {"shrunk": 0.0},
    "no colour changes": {"recolour": False},
    "tiles alone": {"sensors": 0.0, "shrunk": 0.0, "recolour": False},
    "all, for every λ": {"lams": (LAM_MIN, LAM_MAX)},
}


def changed(study: Study, name: str) -> Study:
    """The study whose weights are small and trained with one change."""
    full = study.profile.every_rate
    small = dataclasses.replace(study.profile.domain.training, sensors=full.sensors, shrunk=full.shrunk)
    profile = dataclasses.replace(study.profile, every_rate=dataclasses.replace(small, **CHANGES[name]))
    return dataclasses.replace(study, profile=profile)


def results(study: Study) -> pd.DataFrame:
    """Rate and distortion of every mixture on every set.

    Returns
    -------
    DataFrame
        columns of `satstudy.study.rate_distortion`, `trained_on` and `set`

    Raises
    ------
    InputError
        The profile trains no weights for every rate, or names no set.
    """
    profile = study.profile
    if not (profile.every_rate.sensors and profile.every_rate.shrunk and profile.rd.sets):
        raise InputError(f"The profile {profile.name} needs every_rate.sensors, every_rate.shrunk and rd.sets above 0.")
    found = []
    for name in CHANGES:
        mixed = changed(study, name)
        weights = mixed.every_rate()
        codecs = [LearnedCodec(weights, profile.rd.tiling, lam=lam) for lam in profile.domain.measured]
        for kind, folder in profile.rd.sets.items():
            images = sets.images_of(kind, study.named_folder(folder), first=profile.splits.number)
            table = mixed.every_rate_folder() / f"{kind}.csv"
            frame = rate_distortion.evaluate(images, codecs, table, progress=study.progress, ms_ssim=False)
            found.append(frame.assign(trained_on=name, set=kind))
    return pd.concat(found, ignore_index=True)


def gains(frame: pd.DataFrame) -> pd.DataFrame:
    """What each change costs: the loss λ · 255² · MSE + bpp in % against `ALL`, by set, positive where it is larger.

    The geometric mean over images and λ. The interval resamples places. A BD-rate would need more λ: the PSNR of so
    short a training changes little with λ on some sets.
    """
    lam = frame["setting"].str.removeprefix("lam=").astype(float)
    losses = frame.assign(loss=rate_distortion_loss(lam, quality.mse(frame["psnr"]), frame["bpp"]))
    rows = []
    for kind, part in losses.groupby("set", sort=False):
        table = part.pivot_table(index=["category", "image", "setting"], columns="trained_on", values="loss")
        logs = table.apply(np.log)
        places = list(logs.index.get_level_values("category"))
        for name in CHANGES:
            if name != ALL and name in logs:
                change = change_interval((logs[name] - logs[ALL]).to_numpy(), clusters=places)
                images = part["image"].nunique()
                rows.append({"set": kind, "test": name, "reference": ALL, **change._asdict(), "images": images})
    return pd.DataFrame(rows)


def tables(study: Study) -> dict[str, pd.DataFrame]:
    """What the program of this module writes."""
    frame = results(study)
    return {"data_kinds": frame.drop(columns=["ms_ssim", "encode_s", "decode_s"]), "data_kinds_gains": gains(frame)}


def main(arguments: Sequence[str] | None = None) -> None:
    """The program of this module: `data_kinds.csv` and `data_kinds_gains.csv` among the results of a profile."""
    write_tables("data_kinds", __doc__, tables, arguments)


if __name__ == "__main__":
    main()
