import pytest

from phosphene.testing import Check, checks


@pytest.mark.parametrize("check", checks("decoder", "nearest-mean", {"scale": 0.5}), ids=str)
def test_conformance(check: Check) -> None:
    check()
