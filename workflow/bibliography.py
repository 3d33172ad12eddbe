"""Sphinx extension: a bibliography whose labels are the first author's name and the year, as the text cites them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.sorting.author_year_title import SortingStyle


class NameAndYear(BaseLabelStyle):  # type: ignore[misc]
    """Labels such as "Minnen 2018"; a second one of an author and year gets a letter."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        seen: dict[str, int] = {}
        for entry in sorted_entries:
            label = f"{' '.join(entry.persons['author'][0].rich_last_names[0].render_as('text').split())} "
            label += entry.fields["year"]
            seen[label] = seen.get(label, 0) + 1
            yield label if seen[label] == 1 else f"{label}{chr(ord('a') + seen[label] - 1)}"


class Style(Unsorted):  # type: ignore[misc]
    """The usual format, by author, with labels that can be read."""

    default_label_style = NameAndYear
    default_sorting_style = SortingStyle


def setup(app: Any) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "name-and-year", Style)
    return {"parallel_read_safe": True}
