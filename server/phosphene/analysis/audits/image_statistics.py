"""A14: whether luminance, contrast and spatial frequency explain what is decoded.

Images of a class are alike in them, so that a decoder may tell classes by them alone. Whether the
EEG follows them can be seen *within* a class, where a response to the class itself is the same.
"""

import numpy as np
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding, Measured, not_applicable
from phosphene.analysis.audits.material import TMAX, TMIN, Material
from phosphene.analysis.audits.picture_features import measure
from phosphene.analysis.audits.reference import cross_decode
from phosphene.analysis.metrics import CONFOUNDED, Accuracy, accuracy, chance
from phosphene.design import run_of
from phosphene.errors import PhospheneError

Values = NDArray[np.float64]

N_PERMUTATIONS = 999
AT_ONCE = 50
"""Orders of the images that are regressed together."""
RIDGE = 1.0
"""Penalty of the regression, in units of a feature's variance."""


def image_statistics(material: Material) -> Measured | Finding:
    """Return A14: how three statistics of the images correlate with what the EEG tells of them.

    Both are taken relative to their class in the run. The regression is tested in the decoder's
    folds; images change places within class and run, and are regressed again. It fires if the EEG
    follows the statistics and these tell the class.
    """
    try:
        statistics = _statistics(material)
    except PhospheneError as error:
        return _unfit(f"The images cannot be read: {error}.")
    if statistics is None:
        return _unfit("The images are not at hand.")
    groups = _groups(material)
    within = _relative(statistics, groups)
    regression = _regression(material, groups)
    followed = _correlation(regression, within)
    null = _permuted(regression, within, groups, material.rng("A14"))
    p = (1 + np.count_nonzero(null >= followed)) / (1 + N_PERMUTATIONS)
    told = _told(material, statistics)
    low, high = _interval(followed, int(np.count_nonzero(regression.any(axis=1))))
    return Measured(
        "A14",
        "image statistics",
        "warning",
        "The EEG follows luminance, contrast or spatial frequency of the images of a class, and "
        f"these alone, without any EEG, tell the class in {told}: what is decoded may be no more.",
        "The EEG does not follow luminance, contrast and spatial frequency of the images of a "
        f"class; these alone, without any EEG, tell the class in {told}.",
        "correlation within a class",
        followed,
        float(null.mean()),
        low,
        high,
        float(p) if told.low > told.chance else 1.0,
        is_accuracy=False,
    )


def _unfit(reason: str) -> Finding:
    return not_applicable("A14", "image statistics", "warning", reason)


def _statistics(material: Material) -> Values | None:
    """Return the statistics of each trial's image, (n_trials, 3), or None without the images."""
    known = {image.id for image in material.stimuli.images} if material.stimuli else set()
    shown = {trial.image for trial in material.trials}
    if material.stimuli is None or not shown <= known:
        return None
    measured = {image: measure(material.stimuli.pixels(image)) for image in sorted(shown)}
    return np.array([measured[trial.image] for trial in material.trials])


def _told(material: Material, statistics: Values) -> Accuracy:
    """Return how often the statistics alone tell the class."""
    decoded = cross_decode((statistics,), material.wnids, material.folds)
    labels = np.array(material.wnids)[decoded.rows]
    hits = int(np.count_nonzero(decoded.labels == labels))
    label = CONFOUNDED if material.nested else ""
    return accuracy(hits, len(labels), chance(labels.tolist()), label=label)


def _groups(material: Material) -> NDArray[np.intp]:
    """Return a number for the class and run of each trial."""
    numbers: dict[tuple[object, ...], int] = {}
    keys = [(*run_of(trial), trial.wnid) for trial in material.trials]
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.intp)


def _relative(values: Values, groups: NDArray[np.intp]) -> Values:
    """Return values relative to the mean of their group, with unit variance over all."""
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    np.add.at(sums, groups, values)
    apart = values - (sums / np.bincount(groups)[:, np.newaxis])[groups]
    spread = apart.std(axis=0)
    return np.asarray(apart / np.where(spread > 0, spread, 1.0))


def _regression(material: Material, groups: NDArray[np.intp]) -> Values:
    """Return the matrix that turns statistics into what the EEG tells of them, (n, n).

    Ridge regression is linear in what is regressed, so that permuting and regressing again takes
    one product. Rows of trials without a whole signal are 0.
    """
    features = np.concatenate(material.frames.features(TMIN, TMAX), axis=1)
    known = np.asarray(~np.isnan(features).any(axis=1))
    _, numbers = np.unique(groups[known], return_inverse=True)
    seen = np.zeros_like(features)
    seen[known] = _relative(features[known], numbers)
    kernel: Values = seen @ seen.T / features.shape[1]
    matrix = np.zeros_like(kernel)
    for fold in material.folds:
        train, test = fold.train[known[fold.train]], fold.test[known[fold.test]]
        penalised = kernel[np.ix_(train, train)] + RIDGE * np.eye(len(train))
        # The kernel is symmetric: solving from the left is solving from the right.
        matrix[np.ix_(test, train)] = np.linalg.solve(penalised, kernel[np.ix_(train, test)]).T
    return matrix


def _correlation(regression: Values, statistics: Values) -> float:
    """Return the mean correlation over the statistics of a trial."""
    return float(_correlations(regression, statistics[:, np.newaxis])[0])


def _correlations(regression: Values, drawn: Values) -> Values:
    """Return the same by order of the images; ``drawn`` is (n_trials, n_orders, 3)."""
    told = (regression @ drawn.reshape(len(drawn), -1)).reshape(drawn.shape)
    product = (told * drawn).sum(axis=0)
    scale = np.sqrt((told**2).sum(axis=0) * (drawn**2).sum(axis=0))
    found: Values = (product / np.where(scale > 0, scale, 1.0)).mean(axis=1)
    return found


def _permuted(
    regression: Values, statistics: Values, groups: NDArray[np.intp], rng: np.random.Generator
) -> Values:
    """Return the correlations of images in another order within their groups."""
    order = np.argsort(groups, kind="stable")
    found = []
    for start in range(0, N_PERMUTATIONS, AT_ONCE):
        n = min(AT_ONCE, N_PERMUTATIONS - start)
        mixed = np.argsort(groups[order] + rng.random((n, len(groups))), axis=1)
        drawn = np.empty((len(groups), n, statistics.shape[1]))
        drawn[order] = statistics[order][mixed].swapaxes(0, 1)
        found.append(_correlations(regression, drawn))
    return np.concatenate(found)


def _interval(correlation: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval after Fisher's transformation, trials taken as independent."""
    middle, half = np.arctanh(correlation), 1.96 / np.sqrt(max(n - 3, 1))
    return float(np.tanh(middle - half)), float(np.tanh(middle + half))
