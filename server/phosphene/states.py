"""The states of a session, and what leads from one to another."""

from enum import StrEnum

from phosphene.errors import PhospheneError


class State(StrEnum):
    """Where a session is."""

    CONFIGURED = "configured"
    """The settings are valid; processes are starting."""
    READY = "ready"
    """All checks passed; waiting for ``start``."""
    RUNNING = "running"
    """A block is on the screen."""
    RESTING = "resting"
    """The pause between two blocks."""
    PAUSED = "paused"
    """The operator paused, at a trial boundary."""
    TRAINING = "training"
    """A decoder is being fitted, or is starting up."""
    CLOSING = "closing"
    """The last data are being filed and the report written."""
    FINISHED = "finished"
    FAILED = "failed"


class Event(StrEnum):
    """What moves a session on."""

    CHECKED = "checked"
    START = "start"
    BLOCK_STARTED = "block_started"
    BLOCK_DONE = "block_done"
    PAUSE = "pause"
    RESUME = "resume"
    TRAIN = "train"
    TRAINED = "trained"
    CLOSE = "close"
    DONE = "done"
    STOP = "stop"
    FAIL = "fail"


_S, _E = State, Event
_ENDING: dict[Event, State] = {_E.STOP: _S.CLOSING, _E.FAIL: _S.FAILED}

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.CONFIGURED: _ENDING | {_E.CHECKED: _S.READY},
    _S.READY: _ENDING | {_E.START: _S.RESTING},
    _S.RESTING: _ENDING
    | {
        _E.BLOCK_STARTED: _S.RUNNING,
        _E.PAUSE: _S.PAUSED,
        _E.TRAIN: _S.TRAINING,
        _E.CLOSE: _S.CLOSING,
    },
    _S.RUNNING: _ENDING | {_E.BLOCK_DONE: _S.RESTING},
    _S.PAUSED: _ENDING | {_E.RESUME: _S.RESTING},
    _S.TRAINING: _ENDING | {_E.TRAINED: _S.RESTING},
    _S.CLOSING: {_E.DONE: _S.FINISHED, _E.FAIL: _S.FAILED},
    _S.FINISHED: {},
    _S.FAILED: {},
}


def after(state: State, event: Event) -> State:
    """Return the state that follows; ``PhospheneError`` if ``event`` is not possible now.

    >>> after(State.RUNNING, Event.BLOCK_DONE)
    <State.RESTING: 'resting'>
    """
    allowed = TRANSITIONS[state]
    if event not in allowed:
        choice = ", ".join(allowed) or "nothing: the session is over"
        raise PhospheneError(f"{event} is not possible while {state}; possible now: {choice}")
    return allowed[event]
