"""Whole objects are split into two groups of exact sizes whenever that is possible."""

import itertools
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from satstudy.data.records import ImageRecord
from satstudy.data.splits import all_objects, count_images, draw_objects, draw_pool, group_split


def records(*categories: list[int]) -> list[ImageRecord]:
    """One list a category: the number of images of each of its objects."""
    return [
        ImageRecord(Path(f"/d/c{c}/c{c}_{o}/{t}.png"), f"c{c}", f"c{c}_{o}", 9, 9)
        for c, objects in enumerate(categories)
        for o, images in enumerate(objects)
        for t in range(images)
    ]


def pool_of(*categories: list[int], seed: int = 0):
    return draw_pool(records(*categories), np.random.default_rng(seed))


POOLS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=150)
@given(categories=POOLS, data=st.data())
def test_both_groups_are_large_enough_if_any_split_of_whole_objects_is(categories, data):
    pool = pool_of(*categories)
    total = count_images(all_objects(pool))
    first = data.draw(st.integers(0, total))
    second = data.draw(st.integers(0, total - first))
    if not first + second:
        return
    one, two = group_split(pool, first, second, np.random.default_rng(1))
    has = count_images(all_objects(one)), count_images(all_objects(two))
    sizes = [n for objects in categories for n in objects]
    sums = {
        sum(s for s, take in zip(sizes, chosen, strict=True) if take)
        for chosen in itertools.product((0, 1), repeat=len(sizes))
    }
    possible = [s for s in sums if s >= first and total - s >= second]
    assert (has[0] >= first and has[1] >= second) == bool(possible)
    names = [{o[0].object for o in all_objects(side)} for side in (one, two)]
    assert not names[0] & names[1]


def test_a_tight_split_that_greed_would_miss():
    one, two = group_split(pool_of([2, 2, 3, 3]), 5, 5, np.random.default_rng(0))
    assert count_images(all_objects(one)) == count_images(all_objects(two)) == 5


def test_every_category_stands_on_both_sides_where_it_can():
    pool = pool_of(*[[4, 4, 4]] * 6)
    for first in (6, 12, 24):
        one, two = group_split(pool, first, 72 - 24, np.random.default_rng(first))
        assert all(len(objects) for objects in one.values())
        assert all(len(objects) for objects in two.values())


def test_neither_side_is_left_empty():
    one, two = group_split(pool_of([50, 50]), 1, 100, np.random.default_rng(0))
    assert all_objects(one)
    assert all_objects(two)


@given(categories=POOLS, data=st.data())
def test_draws_are_exact_and_even_over_the_categories(categories, data):
    pool = pool_of(*categories)
    totals = {c: count_images(objects) for c, objects in pool.items()}
    count = data.draw(st.integers(0, sum(totals.values())))
    drawn = draw_objects(pool, count, np.random.default_rng(0))
    assert len(drawn) == count == len({r.path for r in drawn})
    got = {c: sum(r.category == c for r in drawn) for c in pool}
    most = max(got.values())
    assert all(got[c] >= most - 1 or got[c] == totals[c] for c in pool)


def test_objects_are_drawn_whole_but_for_the_last():
    drawn = draw_objects(pool_of([3, 3, 3, 3]), 7, np.random.default_rng(0))
    taken = sorted(sum(r.object == name for r in drawn) for name in {r.object for r in drawn})
    assert taken == [1, 3, 3]
