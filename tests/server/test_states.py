"""The state machine is data: every way through it can be walked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phosphene.errors import PhospheneError
from phosphene.states import TRANSITIONS, Event, State, after

FINAL = {State.FINISHED, State.FAILED}


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_any_walk_stays_inside_the_table_and_refusals_change_nothing(events: list[Event]) -> None:
    state = State.CONFIGURED
    for event in events:
        if event in TRANSITIONS[state]:
            state = after(state, event)
        else:
            with pytest.raises(PhospheneError, match=f"{event} is not possible while {state}"):
                after(state, event)
    assert state in State


@pytest.mark.parametrize("state", set(State) - FINAL)
def test_every_state_can_fail(state: State) -> None:
    assert after(state, Event.FAIL) is State.FAILED


@pytest.mark.parametrize("state", FINAL)
def test_nothing_leaves_a_final_state(state: State) -> None:
    assert TRANSITIONS[state] == {}


def test_every_state_can_be_reached_from_the_first() -> None:
    reached = {State.CONFIGURED}
    while True:
        further = reached | {s for state in reached for s in TRANSITIONS[state].values()}
        if further == reached:
            break
        reached = further
    assert reached == set(State)
