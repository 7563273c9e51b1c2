"""The simulated subject's head: what each electrode sees of each dipole.

Computed once with MNE and shipped as ``simulated_leadfield.npz``, so that MNE is not needed at run
time. ``python -m phosphene_plugins.simulated_leadfield`` makes the file again.
"""

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "simulated_leadfield.npz"
MONTAGE = "brainproducts-RNP-BA-128"
REFERENCE = "FCz"
GROUND = "Fpz"
CAPS = (32, 64, 128)
"""The montage's first 32 and 64 electrodes are the maker's smaller caps."""
EOG = {"HEOG": ("F8", "F7"), "VEOG": ("Fp1", "AF3")}
"""Bipolar channels, and electrodes between which the brain looks much the same."""
N_DIPOLES = 80
DEPTH = 0.80
"""Distance of the dipoles from the centre, in radii of the head: the brain ends at 0.90."""


@dataclass(frozen=True)
class Head:
    """Channels and cortical dipoles of a sphere model, in MNE's head frame."""

    channels: tuple[str, ...]
    positions: NDArray[np.float32]
    """Of the electrodes on the scalp, metres, shape (n_channels - n_eog, 3)."""
    dipoles: NDArray[np.float32]
    """Positions of the dipoles, metres, shape (n_dipoles, 3)."""
    leadfield: NDArray[np.float32]
    """Volts against FCz for 1 nAm, shape (n_channels, n_dipoles)."""
    n_eog: int = 0
    """How many of the channels, the last ones, are no electrodes on the scalp."""

    @property
    def types(self) -> tuple[str, ...]:
        """MNE's channel types."""
        return ("eeg",) * (len(self.channels) - self.n_eog) + ("eog",) * self.n_eog

    @property
    def scalp(self) -> slice:
        """The rows of the electrodes on the scalp."""
        return slice(len(self.channels) - self.n_eog)

    @property
    def hind(self) -> NDArray[np.intp]:
        """The dipoles in the back half of the head, hindmost first."""
        y = self.dipoles[:, 1]
        return np.argsort(y)[: np.count_nonzero(y < 0)]

    def electrodes(self) -> dict[str, tuple[float, float, float]]:
        """Return the positions of the electrodes on the scalp by channel."""
        known = zip(self.channels[self.scalp], self.positions.tolist(), strict=True)
        return {channel: (x, y, z) for channel, (x, y, z) in known}

    def field(self, sources: NDArray[np.intp] | slice, rms: float) -> NDArray[np.float32]:
        """Return volts of sources of unit variance that are ``rms`` at the average electrode."""
        field = self.leadfield[:, sources]
        size = np.sqrt(np.mean(np.sum(field[self.scalp] ** 2, axis=1)))
        return field * np.float32(rms / size)

    def with_eog(self) -> "Head":
        """Return this head, which must be whole, with ``EOG``.

        The occipital cortex is too far from them to be seen.
        """
        rows = {name: row for row, name in enumerate(self.channels)}
        pairs = np.array([[rows[name] for name in pair] for pair in EOG.values()])
        seen = self.leadfield[pairs[:, 0]] - self.leadfield[pairs[:, 1]]
        seen[:, self.hind] = 0
        return replace(
            self,
            channels=(*self.channels, *EOG),
            leadfield=np.vstack([self.leadfield, seen]),
            n_eog=len(EOG),
        )

    def reduced(self, n_channels: int) -> "Head":
        """Return the head with fewer electrodes, spread over the scalp and denser behind."""
        cap = min(size for size in CAPS if size >= n_channels)
        keep = _spread(self.positions[:cap], n_channels)
        rows = np.append(keep, np.arange(len(self.positions), len(self.channels)))
        return replace(
            self,
            channels=tuple(self.channels[i] for i in rows),
            positions=self.positions[keep],
            leadfield=self.leadfield[rows],
        )


def load_head() -> Head:
    """Return the head that ships with the package: 128 electrodes, 80 dipoles."""
    with files("phosphene_plugins").joinpath(FILE).open("rb") as file:
        data = np.load(file, allow_pickle=False)
        return Head(
            tuple(data["channels"].tolist()), data["positions"], data["dipoles"], data["leadfield"]
        )


def _spread(positions: NDArray[np.float32], count: int) -> NDArray[np.intp]:
    """Return the rows of ``count`` far apart electrodes, sorted.

    The first is the hindmost; each further one is the farthest from those chosen so far, where
    distances on the back of the head count half as much again.
    """
    weight = np.where(positions[:, 1] < 0, 1.5, 1.0)
    chosen = [int(np.argmin(positions[:, 1]))]
    while len(chosen) < count:
        steps = positions[:, np.newaxis] - positions[chosen]
        nearest = np.linalg.norm(steps, axis=2).min(axis=1)
        chosen.append(int(np.argmax(nearest * weight)))
    return np.sort(np.array(chosen))


def compute_head() -> Head:
    """Return the head computed with MNE: dipoles even over the cortex, mostly radial."""
    import mne

    montage = mne.channels.make_standard_montage(MONTAGE)
    names = [name for name in montage.ch_names if name != GROUND]
    info = mne.create_info(names, 1000.0, "eeg").set_montage(montage)
    sphere = mne.make_sphere_model("auto", "auto", info, verbose=False)
    shell = _shell(N_DIPOLES)
    centre, radius = sphere["r0"], sphere.radius
    dipoles = centre + DEPTH * radius * shell
    tilt = 0.4 * np.random.default_rng(0).standard_normal(shell.shape)
    directions = shell + tilt
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    ones = np.ones(N_DIPOLES)
    source = mne.Dipole(np.arange(N_DIPOLES), dipoles, 1e-9 * ones, directions, 100 * ones)
    forward, _stc = mne.make_forward_dipole(source, sphere, info, verbose=False)
    gain = forward["sol"]["data"] * 1e-9
    keep = [i for i, name in enumerate(names) if name != REFERENCE]
    return Head(
        tuple(names[i] for i in keep),
        np.array([info["chs"][i]["loc"][:3] for i in keep], dtype=np.float32),
        dipoles.astype(np.float32),
        (gain[keep] - gain[names.index(REFERENCE)]).astype(np.float32),
    )


def _shell(count: int) -> NDArray[np.float64]:
    """Return ``count`` even directions over the upper three quarters of a sphere (Fibonacci)."""
    height = 1 - 1.4 * (np.arange(count) + 0.5) / count
    around = np.arange(count) * np.pi * (3 - np.sqrt(5))
    wide = np.sqrt(1 - height**2)
    return np.stack([wide * np.cos(around), wide * np.sin(around), height], axis=1)


def main() -> None:
    """Write the file."""
    head = compute_head()
    np.savez(
        Path(__file__).with_name(FILE),
        channels=np.array(head.channels),
        positions=head.positions,
        dipoles=head.dipoles,
        leadfield=head.leadfield,
    )


if __name__ == "__main__":
    main()
