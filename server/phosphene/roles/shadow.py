"""A shadow: a decoder beside the driver, in a process of its own, whose failure stops nothing."""

from collections.abc import Callable

from phosphene.messages import Follow, Following, LoadDecoder, Message, Trained
from phosphene.roles import Outgoing
from phosphene.roles.decode import LiveDecoding


class Shadow:
    """Fits its own decoder when it is told to; from then on decodes what the driver decodes."""

    idle = True

    def __init__(self, name: str, decoding: LiveDecoding, fit: Callable[[str], Trained]) -> None:
        self._name = name
        self._decoding = decoding
        self._fit = fit

    def handle(self, message: Message) -> Outgoing:
        """Answer ``Follow``; everything else is decoding."""
        if isinstance(message, Follow):
            return self._follow(message)
        return self._decoding.handle(message)

    def poll(self, now: float) -> Outgoing:
        """Do nothing: decoding is driven by samples, not by the clock."""
        return self._decoding.poll(now)

    def close(self) -> None:
        """Do nothing: a decoder holds no device."""
        self._decoding.close()

    def _follow(self, order: Follow) -> Outgoing:
        trained = self._fit(order.session)
        load = LoadDecoder(trained.bundle, order.spec, trained.sha256)
        classes = self._decoding.load(load).classes
        return [("server", Following(self._name, trained.bundle, trained.sha256, classes))]
