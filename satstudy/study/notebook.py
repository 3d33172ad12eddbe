"""What the first cell of every notebook needs: parameters checked, style set, study opened."""

from __future__ import annotations

import difflib
import json
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import Markdown, display

from satstudy.codecs.learned.checkpoint import Checkpoint
from satstudy.core import paths
from satstudy.core.errors import InputError
from satstudy.core.types import Pixels
from satstudy.data.images import find_images
from satstudy.report import figures_rd, pictures, tables
from satstudy.study.experiments import of_tiling
from satstudy.study.study import Study, open_study

#: Set in a notebook whose parameters have been checked: what it defines later is no parameter.
_CHECKED = "_parameters_checked"
#: The notebook that writes a table.
_WRITERS = {
    "rate_distortion": "rd", "bd_rate": "rd", "bd_rate_category": "rd",
    "rate_distortion_scenes": "rd", "bd_rate_scenes": "rd", "seams": "blending", "seam": "blending",
    "crops": "rd", "conditions": "accuracy", "leakage": "accuracy",
}  # fmt: skip
#: Names that IPython itself puts into a notebook.
_IPYTHON = {"In", "Out", "get_ipython", "exit", "quit", "open"}


def check_parameters(namespace: Mapping[str, Any]) -> None:
    """Stop at a parameter that the notebook does not have, or that has the wrong type.

    papermill only warns about an unknown name and runs with the default. The parameters cell annotates
    what it knows, so anything else that is defined before the first import was handed in.

    Raises
    ------
    InputError
        Naming the parameter that was probably meant.
    """
    known: dict[str, Any] = namespace.get("__annotations__", {})
    for name in () if _CHECKED in namespace else namespace:
        if name.startswith("_") or name in _IPYTHON or name in known:
            continue
        value = namespace[name]
        if callable(value) or isinstance(value, types.ModuleType) or type(value).__module__ != "builtins":
            continue  # papermill hands in plain values
        near = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {near[0]}? It" if near else "it"
        raise InputError(f"This notebook has no parameter {name!r}: {hint} takes {', '.join(known)}.")
    for name, kind in known.items():
        value = namespace.get(name)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            continue
        wrong = isinstance(value, bool) and kind is int
        if isinstance(kind, type) and (wrong or not isinstance(value, kind)):
            raise InputError(f"The parameter {name} is {value!r} and must be {kind.__name__}.")


def begin(namespace: dict[str, Any]) -> Study:
    """Check the parameters, quieten what a reader cannot act on, and open the study of `profile`.

    A parameter `images` is looked for, with `~` for the home folder, and so are the folders that the profile names,
    before anything is trained or measured.

    Raises
    ------
    InputError
        A parameter that does not fit, or images that are not there.
    """
    check_parameters(namespace)
    namespace[_CHECKED] = True
    if namespace.get("images"):
        namespace["images"] = str(Path(namespace["images"]).expanduser())
        find_images([namespace["images"]])
    warnings.filterwarnings("ignore", message="`torch.jit")
    warnings.filterwarnings("ignore", message="IProgress not found")
    study = open_study(namespace["profile"])
    if "images" in namespace.get("__annotations__", {}):  # the notebook that trains first and reads all images later
        data = study.profile.data
        for folder in filter(None, (data.root, data.natural, study.profile.rd.scenes)):
            study.named_folder(folder)
    if study.profile.synthetic:
        show(
            "> **Synthetic scenes.** The images of this page are drawn, and its numbers say nothing about real imagery."
        )
    return study


def show(text: str) -> None:
    """Prose with numbers in it, shown as text of the page."""
    display(Markdown(text))  # type: ignore[no-untyped-call]


def show_scenes(scenes: pd.DataFrame, places: pd.DataFrame) -> None:
    """For each place the curves of its scenes, and how codecs and tilings compare.

    Parameters
    ----------
    scenes : of `experiments.scenes_frame`
    places : of `experiments.scenes_comparison`
    """
    for place, part in scenes.groupby("category"):
        count, (height, width) = part["image"].nunique(), part[["height", "width"]].iloc[0]
        show(f"**{place}**: {f'{count} scenes, the first' if count > 1 else 'one scene'} of {height}×{width} pixels.")
        here = places[places["category"] == place]
        figure = figures_rd.rate_distortion(of_tiling(part, "seamless"), log=True)
        for thing in (figure, *(tables.bd_table(here, reference) for reference in ("jpeg2000", "learned-blend"))):
            display(thing)  # type: ignore[no-untyped-call]


def provenance(study: Study, checkpoints: Sequence[Checkpoint] = (), kept: Mapping[str, Any] | None = None) -> None:
    """The foot of a page: which profile, commit and weights made it, or the results that were `kept`.

    Raises
    ------
    InputError
        Nothing is known of what was kept.
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


def load_table(study: Study, name: str) -> pd.DataFrame:
    """A result table that another notebook wrote.

    Raises
    ------
    InputError
        Not there: says which notebook to run.
    """
    path = _written(study, name, f"{name}.csv")
    # A category may be called "NA", and text that is empty was so when it was written.
    frame = pd.read_csv(path, keep_default_na=False, na_values=["", "nan"])
    text = frame.select_dtypes("object").columns
    return frame.assign(**{name: frame[name].fillna("") for name in text})


def _written(study: Study, name: str, file: str) -> Path:
    path = study.results / file
    if not path.exists():
        stage = _WRITERS.get(name.removesuffix("-own"), name)
        raise InputError(
            f"{file} of profile {study.profile.name} is not there yet: run notebooks/{stage}.ipynb with "
            f"profile={study.profile.name} first, or make report."
        )
    return path


def save_pictures(study: Study, name: str, crops: Mapping[str, Pixels], facts: Mapping[str, Any]) -> Path:
    """Write crops as PNG files, and what their figure needs besides, into a folder of the results."""
    folder = study.results / name
    pictures.save(folder, crops, facts)
    return folder


def load_pictures(study: Study, name: str) -> tuple[dict[str, Pixels], dict[str, Any]]:
    """Crops and facts that another notebook wrote.

    Raises
    ------
    InputError
        Not there, which says which notebook to run, or damaged.
    """
    return pictures.load(_written(study, name, f"{name}/{pictures.FACTS}").parent)


def load_facts(study: Study, name: str) -> dict[str, Any]:
    """Single results that another notebook wrote; empty if there are none."""
    path = study.results / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}
