"""The scripts of `workflow/`, which is no package, as modules."""

import importlib.util
from types import ModuleType

from satstudy.core import paths

ROOT = paths.PACKAGE.parent


def script(name: str) -> ModuleType:
    """`workflow/NAME.py`, loaded anew."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "workflow" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
