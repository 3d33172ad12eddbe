"""Synthetic overhead scenes with labels: the data set that ships with the study, drawn from a seed.

The scenes are synthetic. They stand in for fMoW, which cannot be shipped, so that every stage runs
end to end; numbers measured on them are about the method, not about satellite images.
"""

from satstudy.data.synthetic.scene import CATEGORIES, GENERATOR_VERSION, Scene, draw
from satstudy.data.synthetic.tree import Planned, plan, write_tree

__all__ = ["CATEGORIES", "GENERATOR_VERSION", "Planned", "Scene", "draw", "plan", "write_tree"]
