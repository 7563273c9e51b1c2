"""The conformance kit: what every plugin of a hook must do, as checks that pytest can run.

    import pytest
    from phosphene.testing import checks

    @pytest.mark.parametrize("check", checks("decoder", "nearest-mean"), ids=str)
    def test_conformance(check):
        check()

``phosphene plugins check NAME`` runs the same checks and measures time and memory.
"""

from phosphene.testing.examination import Check, Outcome, Result
from phosphene.testing.kit import Report, checks, examine
from phosphene.testing.measuring import Measurement

__all__ = ["Check", "Measurement", "Outcome", "Report", "Result", "checks", "examine"]
