"""Shared by all notebooks: check the parameters, open the study, show text, store and load results."""

from __future__ import annotations

import itertools
import json
import types
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from IPython.core.getipython import get_ipython
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from matplotlib_inline.config import InlineBackend

from satstudy.codecs import registry
from satstudy.codecs.learned import checkpoint
from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.core import paths
from satstudy.core.errors import InputError, choices
from satstudy.core.types import Pixels
from satstudy.data.images import find_images
from satstudy.metrics import bd_rate, transfer
from satstudy.report import figures_accuracy, figures_rd, findings, html, pictures, tables
from satstudy.report.labels import codec_name, condition_labels, counted
from satstudy.study.experiments import places
from satstudy.study.profiles import Data, EveryRate
from satstudy.study.study import Study, open_study

_Shown = TypeVar("_Shown", Figure, pd.DataFrame)
#: Set in a notebook after the check: names that it defines later are no parameters.
_CHECKED = "_parameters_checked"
#: Result → the notebook that writes it.
_WRITERS = {
    "rate_distortion": "rd", "bd_rate": "rd", "slices": "rd", "losses": "rd", "wrapping": "rd", "speed": "rd",
    "crops": "rd", "seams": "blending", "seam": "blending", "tilings": "blending", "bd_rate_tilings": "blending",
}  # fmt: skip
#: Names that IPython defines in a notebook.
_IPYTHON = {"In", "Out", "get_ipython", "exit", "quit", "open"}


def check_parameters(namespace: Mapping[str, Any]) -> None:
    """Check the parameters of a notebook: their names, and their types by the annotations of the parameters cell.

    papermill only warns about an unknown name and uses the default. So every plain value that is defined before the
    first import and has no annotation is an unknown parameter.

    Raises
    ------
    InputError
        An unknown name, with the nearest known one, or a wrong type.
    """
    known: dict[str, Any] = namespace.get("__annotations__", {})
    for name in () if _CHECKED in namespace else namespace:
        if name.startswith("_") or name in _IPYTHON or name in known:
            continue
        value = namespace[name]
        if callable(value) or isinstance(value, types.ModuleType) or type(value).__module__ != "builtins":
            continue  # papermill defines plain values only
        raise InputError(f"This notebook has no parameter {name!r}: {choices(name, known)}.")
    for name, kind in known.items():
        value = namespace.get(name)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            continue
        wrong = isinstance(value, bool) and kind is int
        if isinstance(kind, type) and (wrong or not isinstance(value, kind)):
            raise InputError(f"The parameter {name} is {value!r} and must be {kind.__name__}.")


def _changed(study: Study, namespace: dict[str, Any]) -> Study:
    """The study as the parameters `codecs`, `images` or `image`, and `weights` of a notebook change it.

    Own images are coded with the weights that ship, and their results have a folder of their own.
    """
    profile = study.profile
    if codecs := namespace.get("codecs"):
        profile = replace(profile, rd=replace(profile.rd, codecs=read_codecs(codecs)))
    if images := namespace.get("images") or namespace.get("image"):
        ships = tuple(checkpoint.shipped()) or tuple(study.lams)
        learned = {name: registry.find(name).learned for name in profile.rd.codecs}
        usable = {
            name: settings for name, settings in profile.rd.codecs.items()
            if codecs or not (of := learned[name]) or checkpoint.ships(of)
        }  # fmt: skip
        profile = replace(
            profile,
            name=f"{profile.name}-own",
            data=Data(kind="folders", root=images, label="own images"),
            train=replace(profile.train, init="shipped", steps=0, lams=ships, M=(0,)),
            every_rate=EveryRate(),
            rd=replace(profile.rd, codecs=usable, lams=ships, sets={}, speed=0),
        )
    elif "image" in namespace.get("__annotations__", {}):
        profile = replace(profile, data=Data(kind="synthetic", label="synthetic scenes"))
    if weights := namespace.get("weights"):
        known = checkpoint.load(weights)
        if known.serves_every_rate:
            profile = replace(profile, every_rate=EveryRate(init=weights))
        else:
            namespace["lam"], lams = known.lam, (known.lam,)
            train = replace(profile.train, init=weights, steps=0, lams=lams, M=(0,))
            profile = replace(profile, train=train, rd=replace(profile.rd, lams=lams))
    return study if profile is study.profile else open_study(profile, study.progress)


def read_codecs(text: str) -> dict[str, Any]:
    """Codec → its settings, as a profile has them, of the parameter `codecs` of a notebook.

    Parameters
    ----------
    text : names with their settings, separated by commas; a name alone stands for the settings of the registry or,
        for a learned codec, for every λ of the study

    Raises
    ------
    InputError
        No such codec, one that stands twice or is not installed, or a setting that it does not take.

    Examples
    --------
    >>> read_codecs("avif 20 40 60, jpeg2000 0.5, learned")
    {'avif': (20, 40, 60), 'jpeg2000': (0.5,), 'learned': 'default'}
    """
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, *settings = part.split() or [""]
        try:
            entry = registry.find(name)
            if name in found or entry.missing:
                raise InputError(entry.missing or f"{name} stands there twice: name each codec once.")
            found[name] = entry.parse_settings(settings) if settings else registry.DEFAULT
        except InputError as error:
            raise InputError(f"The parameter codecs is {text!r}. {error}") from None
    return found


def begin(namespace: dict[str, Any]) -> Study:
    """Check the parameters of a notebook and open the study of its profile.

    The folder in a parameter `images` and those that the profile names must exist before anything is trained or
    measured.

    Parameters
    ----------
    namespace : `globals()` of the notebook

    Raises
    ------
    InputError
        A parameter of another name or type, images that are not there, or codecs that are none.
    """
    check_parameters(namespace)
    namespace[_CHECKED] = True
    for name in ("images", "image", "weights"):
        if namespace.get(name):
            path = Path(namespace[name]).expanduser()
            if name != "weights":
                find_images([path])
            namespace[name] = str(path.absolute())
    warnings.filterwarnings("ignore", message="`torch.jit")
    warnings.filterwarnings("ignore", message="IProgress not found")
    study = _changed(open_study(namespace["profile"]), namespace)
    if "images" in namespace.get("__annotations__", {}):  # the notebook that trains first and reads all images later
        data = study.profile.data
        for folder in () if namespace["images"] else (data.root, data.natural, *study.profile.rd.sets.values()):
            if folder:
                study.named_folder(folder)
        for sentence in study.missing_codecs():
            show(f"> **Left out.** {sentence}")
    number_outputs("synthetic scenes" if study.profile.synthetic else "")
    if study.profile.synthetic:
        show(
            "> **Synthetic scenes.** The images of this page are drawn, and its numbers say nothing about real imagery."
        )
    return study


def number_outputs(mark: str = "") -> None:
    """Have this notebook show figures and tables as `report.html` writes them, numbered from 1.

    Parameters
    ----------
    mark : what is written above every figure, "synthetic scenes"
    """
    shell = get_ipython()  # type: ignore[no-untyped-call]
    if shell is None or shell.display_formatter is None:  # a test, or a script
        return
    figures, counted = itertools.count(1), itertools.count(1)
    InlineBackend.instance(parent=shell).figure_formats = set()  # PNG beside the HTML would only make the file larger
    kinds = ((Figure, html.figure), (html.Pictures, html.pictures), (html.Curves, html.curves))
    formatter = shell.display_formatter.formatters["text/html"]
    for kind, write in kinds:
        formatter.for_type(kind, lambda thing, write=write: write(thing, next(figures), mark))
    formatter.for_type(pd.DataFrame, lambda table: html.table(table, next(counted)))


def captioned(thing: _Shown, caption: str) -> _Shown:
    """A figure or a table with this caption."""
    if isinstance(thing, Figure):
        thing.set_label(caption)
    else:
        thing.attrs["caption"] = caption
    return thing


def show(text: str) -> None:
    """Show Markdown as text of the page, such as a sentence with computed numbers."""
    display(Markdown(text))  # type: ignore[no-untyped-call]


def save_comparisons(
    study: Study, suffix: str, frame: pd.DataFrame, lams: Sequence[float], wrapping: pd.DataFrame
) -> None:
    """Write the measurements of a set of images, and how every pair of codecs compares on it.

    Parameters
    ----------
    suffix : of the tables' names, "_naip"
    wrapping : of `experiments.wrapping_frame`
    """
    options: dict[str, Any] = {"objects": places(frame), "resamples": study.profile.rd.resamples}
    bare = bd_rate.without_wrapping(frame, dict(zip(wrapping["codec"], wrapping["bytes"], strict=True)))
    save_table(study, f"rate_distortion{suffix}", frame)
    save_table(study, f"bd_rate{suffix}", bd_rate.all_pairs(frame, **options))
    save_table(study, f"bd_rate_bare{suffix}", bd_rate.all_pairs(bare, **options))
    if frame["ms_ssim"].notna().any():
        alike = bd_rate.in_ms_ssim(frame)
        save_table(study, f"bd_rate_ms_ssim{suffix}", bd_rate.all_pairs(alike, **options))
    save_table(study, f"slices{suffix}", bd_rate.by_slice(frame, _anchor(frame), **options))
    save_table(study, f"losses{suffix}", bd_rate.losses(frame, lams, **options))


def _anchor(frame: pd.DataFrame) -> str:
    """What other codecs are drawn against: AVIF, or JPEG 2000, or the first of the table."""
    return next((codec for codec in ("avif", "jpeg2000") if codec in set(frame["codec"])), str(frame["codec"].iloc[0]))


def show_comparisons(study: Study, suffix: str, wrapping: pd.DataFrame, curves: bool = True) -> None:
    """Curves, the matrix of pairs, slices of PSNR, losses and wrapping of one set, from the tables kept of it.

    Parameters
    ----------
    curves : draw the curves, which a page may have elsewhere
    """
    frame, pairs, bare, slices, losses = (
        load_table(study, f"{name}{suffix}")
        for name in ("rate_distortion", "bd_rate", "bd_rate_bare", "slices", "losses")
    )
    anchor = _anchor(frame)
    count, units = counted(frame["image"].nunique(), "image"), frame["category"].nunique()
    sizes = f"{frame['height'].min()}×{frame['width'].min()} to {frame['height'].max()}×{frame['width'].max()}"
    where = f" of {units} {'places or classes' if units > 1 else 'place'}" if frame["category"].any() else ""
    show(f"{count}{where}, {sizes} pixels.")
    against = f"against {codec_name(anchor)}"
    if curves:
        _show_all(figures_rd.rate_distortion(frame, log=True, objects=places(frame)))
    _show_all(
        figures_rd.pair_matrix(pairs),
        captioned(tables.pair_table(pairs), "Bits of the codec of a row against that of a column, at equal PSNR."),
        captioned(tables.bd_table(pairs, anchor), f"BD-rates {against}, image by image and of the mean curves."),
    )
    if not slices.empty:  # few images or codecs may share no whole slice
        by_psnr = f"Bits {against} in %, by slices of PSNR; in parentheses the images."
        _show_all(figures_rd.rate_by_psnr(slices), captioned(tables.slice_table(slices), by_psnr))
    _show_all(
        captioned(tables.loss_table(losses), "The loss over the set for each λ, and of the worst tenth of images."),
        captioned(
            tables.wrapping_table(wrapping, pairs, bare, anchor),
            "What each format needs for an empty image, and what that changes.",
        ),
    )
    if (study.results / f"bd_rate_ms_ssim{suffix}.csv").exists():
        table = tables.bd_table(load_table(study, f"bd_rate_ms_ssim{suffix}"), anchor, "MS-SSIM")
        _show_all(captioned(table, f"BD-rates {against} at equal MS-SSIM, on the images that are large enough for it."))


def show_speeds(speeds: pd.DataFrame) -> None:
    """Bits against speed, from the table of `metrics.bd_rate.speeds`."""
    about = f"Bits and speed against JPEG 2000 on {speeds['compared'].max():,} crops, the fastest encoder first."
    _show_all(figures_rd.rate_against_speed(speeds), captioned(tables.speed_table(speeds), about))


def _show_all(*things: Any) -> None:
    for thing in things:
        display(thing)  # type: ignore[no-untyped-call]


def _kept(study: Study, name: str) -> pd.DataFrame | None:
    """A table of `accuracy`, or None if this study has none."""
    return load_table(study, f"accuracy_{name}") if (study.results / f"accuracy_{name}.csv").exists() else None


def show_matrix(study: Study) -> None:
    """The matrix of each classifier, the rates that were reached, and the classes of the first."""
    matrix, conditions = load_table(study, "accuracy"), load_table(study, "accuracy_conditions")
    for name, part in matrix.groupby("classifier", sort=False):
        few = part[["seeds", "images", "objects"]].iloc[0]
        show(
            f"**{name}**: {few['images']:,} images of {few['objects']:,} objects, each validated "
            f"{counted(few['seeds'], 'time')}. In parentheses the paper's number."
        )
        _show_all(figures_accuracy.accuracy_heatmap(part, conditions))
    if matrix["trained_on"].nunique() > 1:
        show(findings.where_they_fail(matrix, conditions))
    if not (pairs := transfer.agreement(matrix)).empty:
        show(findings.agreement(pairs, conditions))
    table = conditions.assign(name=list(condition_labels(conditions).values())).round(3)
    _show_all(captioned(table, "The conditions, and the rates and qualities that they reached."))
    classes = load_table(study, "accuracy_classes")
    first, trained = classes[["classifier", "trained_on"]].iloc[0]
    show(f"Classes, of **{first}** trained on {trained}; those that lose most stand first.")
    chosen = classes[classes["classifier"] == first]
    _show_all(figures_accuracy.class_heatmap(chosen, conditions, str(trained)))


def show_confusion(study: Study) -> None:
    """How the first classifier, trained on the first condition, confuses the classes of images of several rates."""
    confusions = load_table(study, "accuracy_confusion")
    conditions = load_table(study, "accuracy_conditions")
    trained = condition_labels(conditions)[str(confusions["trained_on"].iloc[0])]
    classifier = load_table(study, "accuracy")["classifier"].iloc[0]
    show(f"Answers of **{classifier}**, trained on {trained}.")
    _show_all(figures_accuracy.confusion_by_rate(confusions, conditions))


def show_hypotheses(study: Study) -> None:
    """How near each hypothesis comes to the pattern of the paper's Table 2."""
    if (table := _kept(study, "hypotheses")) is None:
        return
    show(findings.explanation(table))
    for name, part in table.groupby("classifier", sort=False):
        show(f"**{name}**, nearest first; {part['cells'].iloc[0]} cells are compared.")
        axis = "distance to the paper's pattern (0: the same)"
        _show_all(
            figures_accuracy.ranking(part, part["hypothesis"].tolist(), "distance", axis, 2),
            captioned(
                tables.estimates(
                    part, ["hypothesis"], {"distance": "distance", "difference": "less that of the first hypothesis"}, 2
                ).assign(**{"accuracy on the own condition in %": (100 * part["own"]).round(1).tolist()}),
                f"Distance of each hypothesis to the paper's Table 2, of {name}.",
            ),
        )


def show_remedies(study: Study) -> None:
    """The worst row of each training set, and what a synthesis head for the task changes."""
    if (table := _kept(study, "remedies")) is not None:
        show(findings.remedies(table))
        for name, part in table.groupby("classifier", sort=False):
            part = part.sort_values("accuracy", ascending=False, ignore_index=True)
            show(f"**{name}**")
            columns = {"accuracy": "lowest accuracy in %", "gain": "above uncompressed-trained, in %"}
            found = tables.estimates(part, ["trained_on", "worst"], columns)
            _show_all(captioned(found, f"The condition in which {name} is worst, by what it was trained on."))
    if (table := _kept(study, "heads")) is not None:
        columns = {"gain": "gain in accuracy in %"}
        found = tables.estimates(table, ["classifier", "condition"], columns).join(table[_HEAD].round(3))
        _show_all(captioned(found, "A second synthesis of the same files, for a classifier of uncompressed images."))


_HEAD = ["bpp", "psnr", "psnr_task", "accuracy", "accuracy_task"]


def show_rates(study: Study) -> None:
    """Accuracy against rate, the rates that suffice, and what predicts accuracy."""
    if (table := _kept(study, "curves")) is None:
        return
    rates, measures = load_table(study, "accuracy_rates"), load_table(study, "accuracy_measures")
    show(findings.sufficient(rates))
    _show_all(
        figures_accuracy.accuracy_curves(table),
        captioned(
            tables.sufficient_table(rates),
            "bpp from which accuracy stays within one point of that on uncompressed images.",
        ),
        captioned(
            tables.estimates(measures, ["measure"], {"correlation": "rank correlation with accuracy"}, 2),
            "What predicts accuracy: rank correlations over the conditions.",
        ),
    )


def provenance(study: Study, checkpoints: Sequence[Checkpoint] = (), kept: Mapping[str, Any] | None = None) -> None:
    """Show, at the foot of a page, the profile, commit and weights of its results.

    Parameters
    ----------
    kept : these facts as stored with results, if the page shows stored ones

    Raises
    ------
    InputError
        `kept` is empty.
    """
    if kept is not None and not kept:
        raise InputError(f"What made the results in {study.results} is not kept with them: measure them again.")
    facts = study.provenance(checkpoints) if kept is None else kept
    show(
        f"*Made by profile* `{facts['profile']}` *at commit* `{facts['commit']}` *from* {facts['data']}; "
        f"*weights (fingerprint):* {facts['weights']}."
    )


def save_table(study: Study, name: str, frame: pd.DataFrame) -> Path:
    """Write a result table as CSV among the results of the study."""
    path = study.results / f"{name}.csv"
    with paths.atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g")
    return path


def save_facts(study: Study, name: str, facts: Mapping[str, Any]) -> Path:
    """Write single results as JSON among the results of the study."""
    path = study.results / f"{name}.json"
    with paths.atomic(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1, sort_keys=True, default=float) + "\n")
    return path


def save_sat(study: Study, name: str, data: bytes) -> str:
    """Write a `.sat` file among the results of the study; returns its path below the folder that holds `build`."""
    path = study.results / f"{name}.sat"
    with paths.atomic(path) as temporary:
        temporary.write_bytes(data)
    return path.relative_to(paths.BUILD.parent).as_posix() if path.is_relative_to(paths.BUILD.parent) else path.name


def load_table(study: Study, name: str) -> pd.DataFrame:
    """A result table that another notebook wrote.

    Raises
    ------
    InputError
        It is not there; the message has the notebook to run.
    """
    path = _written(study, name, f"{name}.csv")
    # A category may be called "NA"; empty text stays empty.
    frame = pd.read_csv(path, keep_default_na=False, na_values=["", "nan"])
    text = frame.select_dtypes("object").columns
    return frame.assign(**{name: frame[name].fillna("") for name in text})


def _written(study: Study, name: str, file: str) -> Path:
    path = study.results / file
    if not path.exists():
        # The longest name that the table's begins with: "bd_rate_naip" is one of rd's.
        stage = next((_WRITERS[key] for key in sorted(_WRITERS, key=len, reverse=True) if name.startswith(key)), "")
        stage = stage or name.partition("_")[0]
        raise InputError(
            f"{file} of profile {study.profile.name} is not there yet: run notebooks/{stage}.ipynb with "
            f"profile={study.profile.name} first, or make report."
        )
    return path


def save_pictures(study: Study, name: str, crops: Mapping[str, Pixels], facts: Mapping[str, Any]) -> Path:
    """Write crops as PNG files, with the facts of their figure, into a folder of the results."""
    folder = study.results / name
    pictures.save(folder, crops, facts)
    return folder


def load_pictures(study: Study, name: str) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """Crops and facts that another notebook wrote.

    Raises
    ------
    InputError
        They are not there (the message has the notebook to run), or damaged.
    """
    return pictures.load(_written(study, name, f"{name}/{pictures.FACTS}").parent)


def load_facts(study: Study, name: str) -> dict[str, Any]:
    """Single results that another notebook wrote; empty if there are none."""
    path = study.results / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}
