"""Pictures made ahead: none twice, none of another class, the likeliest classes first."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from phosphene.pool import Pool

CLASSES = ("n00000001", "n00000002", "n00000003")


def filled(per_class: int) -> Pool:
    pool = Pool(per_class, session_seed=1)
    pool.restrict(CLASSES)
    fill(pool)
    return pool


def fill(pool: Pool) -> list[str]:
    """Make whatever the pool asks for; return the classes in the order in which it asked."""
    asked = []
    while order := pool.order(only_missing=False):
        asked.append(order.classes[order.probabilities.index(1.0)])
        assert pool.made(order.id)
    return asked


@given(per_class=st.integers(1, 5))
def test_a_pool_asks_for_as_many_pictures_of_each_class(per_class: int) -> None:
    pool = filled(per_class)
    assert pool.full
    assert Counter(pool.waiting.values()) == dict.fromkeys(CLASSES, per_class)


def test_one_picture_is_asked_for_at_a_time() -> None:
    pool = Pool(2, 1)
    pool.restrict(CLASSES)
    first = pool.order(only_missing=False)
    assert first
    assert pool.order(only_missing=False) is None
    pool.failed(first.id)
    assert pool.order(only_missing=False)


@given(st.lists(st.sampled_from(CLASSES), max_size=60))
def test_no_picture_is_taken_twice_and_each_is_of_the_class_asked_for(wanted: list[str]) -> None:
    pool = filled(2)
    taken = []
    for wnid in wanted:
        waiting = pool.waiting
        picture = pool.take(wnid)
        assert (picture is None) == (wnid not in waiting.values())
        if picture:
            assert waiting[picture] == wnid
            taken.append(picture)
        if len(taken) % 3 == 0:
            fill(pool)
    assert len(set(taken)) == len(taken)


def test_no_two_pictures_have_the_same_seed_in_a_session_or_in_two() -> None:
    seeds = [Pool(1, session).name()[1] for session in range(50)]
    pool = Pool(1, 1)
    seeds += [pool.name()[1] for _ in range(1, 50)]
    assert len(set(seeds)) >= 98  # The first of session 1 is there twice.


def test_the_class_that_is_shown_most_is_asked_for_first() -> None:
    pool = filled(3)
    for _ in range(3):
        pool.take(CLASSES[2])
    pool.take(CLASSES[0])
    assert fill(pool)[0] == CLASSES[2]


def test_in_a_block_only_a_class_without_a_picture_is_asked_for() -> None:
    pool = filled(2)
    pool.take(CLASSES[1])
    assert pool.order(only_missing=True) is None
    pool.take(CLASSES[1])
    order = pool.order(only_missing=True)
    assert order
    assert order.classes[order.probabilities.index(1.0)] == CLASSES[1]


def test_pictures_of_classes_that_were_not_chosen_are_given_up() -> None:
    pool = filled(2)
    others = {picture for picture, wnid in pool.waiting.items() if wnid == CLASSES[0]}
    assert set(pool.restrict(CLASSES[1:])) == others
    assert CLASSES[0] not in pool.waiting.values()
    assert pool.full


def test_a_picture_that_comes_when_its_class_was_given_up_is_not_kept() -> None:
    pool = Pool(1, 1)
    pool.restrict(CLASSES)
    order = pool.order(only_missing=False)
    assert order
    made_for = order.classes[order.probabilities.index(1.0)]
    pool.restrict([wnid for wnid in CLASSES if wnid != made_for])
    assert not pool.made(order.id)
    assert not pool.waiting
