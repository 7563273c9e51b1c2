"""What of an image the eye answers to whatever it shows: luminance, contrast, spatial frequency."""

from functools import cache

import numpy as np
import PIL.Image
from numpy.typing import NDArray

SIDE = 128
"""Pixels to which an image is scaled first: it holds up to 64 cycles an image."""
LUMA = (0.2126, 0.7152, 0.0722)
"""Of linear red, green and blue: ITU-R BT.709."""

Values = NDArray[np.float64]


def measure(pixels: NDArray[np.uint8]) -> Values:
    """Return luminance, contrast and spatial frequency of an sRGB image, (height, width, 3).

    Mean and standard deviation of the relative luminance (root mean square contrast: Peli, Journal
    of the Optical Society of America A 7:2032, 1990), and the mean of the logarithm to base 2 of
    the spatial frequency in cycles an image, weighted by amplitude.
    """
    image = PIL.Image.fromarray(pixels).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
    luminance = _linear()[np.asarray(image)] @ np.array(LUMA)
    return np.array([luminance.mean(), luminance.std(), _frequency(luminance)])


@cache
def _linear() -> Values:
    """Return the linear light of each of the 256 values of sRGB: IEC 61966-2-1."""
    srgb = np.arange(256) / 255
    return np.asarray(np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4))


def _frequency(luminance: Values) -> float:
    window = np.hanning(SIDE)
    tapered = (luminance - luminance.mean()) * window * window[:, np.newaxis]
    octaves, within = _frequencies()
    amplitude = np.abs(np.fft.rfft2(tapered))[within]
    total = amplitude.sum()
    return float(amplitude @ octaves / total) if total > 0 else 0.0


@cache
def _frequencies() -> tuple[Values, NDArray[np.bool_]]:
    """Return the octaves of the frequencies that count, and which of a spectrum they are."""
    cycles = SIDE * np.hypot(*np.meshgrid(np.fft.rfftfreq(SIDE), np.fft.fftfreq(SIDE)))
    within = (cycles >= 1) & (cycles <= SIDE / 2)
    return np.log2(cycles[within]), within
