"""One-shot tasks: each request finds its work, and a SIGINT ends it."""

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from phosphene import PhospheneError
from phosphene.messages import Assess, Export, Exported, Retrain, Retrained
from phosphene.roles import once
from phosphene.roles.once import OneShot, cancellable, interruptible


def test_each_kind_of_request_is_answered_by_its_own_work() -> None:
    role = OneShot(Export, lambda order: Exported(order.path)).also(
        Retrain, lambda order: Retrained(order.run, 0.0, 0.0, 0)
    )
    assert role.handle(Export("a")) == [("server", Exported("a"))]
    assert role.handle(Retrain("s", "b", 3)) == [("server", Retrained(3, 0.0, 0.0, 0))]
    assert role.handle(Assess("s", "b")) == []


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_training_can_keep_its_best_when_it_is_interrupted_and_once_is_enough() -> None:
    kept = False
    with interruptible():
        try:
            interrupt()
        except KeyboardInterrupt:
            kept = True
            interrupt()
    assert kept


def test_training_that_keeps_nothing_ends_in_words() -> None:
    with pytest.raises(PhospheneError, match="before there was anything to keep"), interruptible():
        interrupt()


def work_in_parts() -> None:
    try:
        interrupt()
    except KeyboardInterrupt:
        pytest.fail("a part of the work took it for its own end")


def test_what_is_cancelled_ends_although_its_parts_would_go_on() -> None:
    with pytest.raises(PhospheneError, match="interrupted"), cancellable():
        work_in_parts()


@pytest.mark.parametrize("kind", [interruptible, cancellable])
def test_an_interrupt_that_came_too_early_is_not_lost(
    monkeypatch: pytest.MonkeyPatch, kind: Callable[[], AbstractContextManager[None]]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(once, "_EARLY", threading.Event())
    try:
        once.remember_interrupt()
        interrupt()
        with pytest.raises(PhospheneError, match="interrupted"), kind():
            pytest.fail("it began")
    finally:
        signal.signal(signal.SIGINT, before)
