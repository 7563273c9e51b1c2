"""The figures of a report."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from numpy.typing import NDArray

from phosphene.analysis.audits.finding import Finding
from phosphene.analysis.crossvalidation import Evaluation
from phosphene.analysis.drawing import ACCENT, LINE, SECOND, SOFT, drawing, set_title
from phosphene.analysis.feedback import Stage
from phosphene.analysis.html import Html
from phosphene.analysis.metrics import Accuracy
from phosphene.analysis.quality import Quality
from phosphene.signals import SignalSpec

WIDTH = 8.6
MICROVOLTS = 1e6
MILLISECONDS = 1e3
HIGHEST_FREQUENCY = 100.0
MIN_POSITIONS = 8
"""Electrodes of known position that make a map worth drawing."""


def accuracy_plot(rows: Mapping[str, Accuracy], title: str) -> Html:
    """Draw accuracies by name: a dot, its interval, and a tick at chance."""
    label = next((accuracy.label for accuracy in rows.values() if accuracy.label), "")

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _accuracies(axes, list(rows.values()))
        axes.set_yticks(range(len(rows)), list(rows))
        set_title(axes, title, label)

    alt = f"{title}: " + "; ".join(f"{name} {accuracy}" for name, accuracy in rows.items())
    return drawing(WIDTH, 0.9 + 0.34 * len(rows) + 0.25 * bool(label), alt, draw)


def class_plot(evaluation: Evaluation) -> Html:
    """Draw the top-1 accuracy of each class, the best on top."""
    order = sorted(evaluation.by_class.items(), key=lambda item: -item[1].fraction)
    title = "Top-1 accuracy by class of the image"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        _accuracies(axes, [accuracy for _, accuracy in order])
        axes.set_yticks(range(len(order)), [evaluation.classes[wnid] for wnid, _ in order])
        set_title(axes, title, evaluation.label)

    best, worst = (evaluation.classes[order[i][0]] for i in (0, -1))
    alt = f"{title}, with chance and interval; best {best}, worst {worst}. {evaluation.label}"
    return drawing(WIDTH, 1.1 + 0.2 * len(order), alt, draw)


def confusion_plot(evaluation: Evaluation) -> Html:
    """Draw the confusion matrix, each row a shown class."""
    counts = np.array(evaluation.confusion, float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names, title = list(evaluation.classes.values()), "Confusion matrix"
    side = min(7.4, 3.2 + 0.25 * len(names))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=max(shares.max(), 0.01))
        size = 9 if len(names) <= 20 else 6.5
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
        axes.set(xlabel="decoded class", ylabel="class of the image")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        bar = figure.colorbar(
            image, ax=axes, shrink=0.6, format=PercentFormatter(1, decimals=0, symbol=" %")
        )
        bar.set_label("share of the class's trials")
        bar.outline.set_visible(False)
        set_title(axes, title, evaluation.label)

    alt = f"{title} of {len(names)} classes, rows the class of the image. {evaluation.label}"
    return drawing(side + 0.9, side, alt, draw)


def evoked_plot(quality: Quality) -> Html:
    """Draw the average response to an image: posterior channels, global field power, map."""
    times = quality.times * MILLISECONDS
    posterior = quality.evoked[quality.posterior].mean(axis=0) * MICROVOLTS
    gfp = quality.evoked.std(axis=0) * MICROVOLTS
    peak = int(np.where(times >= 0, gfp, 0).argmax())

    def draw(figure: Figure) -> None:
        axes, head = _beside_map(figure, quality.spec)
        axes.axvline(0, color=SOFT, lw=0.8)
        axes.axhline(0, color=LINE, lw=0.8)
        name = f"mean of {len(quality.posterior)} posterior channels"
        axes.plot(times, posterior, color=ACCENT, lw=1.8, label=name)
        axes.plot(times, gfp, color=SECOND, lw=1.4, label="global field power")
        axes.set(xlabel="time from onset (ms)", ylabel="µV", xlim=(times[0], times[-1]))
        figure.legend(loc="outside lower left", ncols=2, fontsize=8.5)
        set_title(axes, f"Evoked response, average of {quality.n_trials} trials", "")
        if head:
            _map(head, quality.evoked[:, peak] * MICROVOLTS, quality.spec, "RdBu_r")
            head.set_title(f"at {times[peak]:.0f} ms (µV)", fontsize=9, fontweight="normal")

    alt = f"Evoked response; the global field power is largest {times[peak]:.0f} ms after onset"
    return drawing(WIDTH, 3.1, alt, draw)


def noise_plot(quality: Quality) -> Html:
    """Draw the noise of each channel, and as a map."""
    rms = quality.rms * MICROVOLTS
    median = float(np.median(rms))

    def draw(figure: Figure) -> None:
        axes, head = _beside_map(figure, quality.spec)
        axes.axhline(median, color=SOFT, lw=0.8)
        axes.plot(rms, ".", color=ACCENT, ms=5)
        for name in quality.suspects:
            index = quality.spec.channels.index(name)
            axes.plot(index, rms[index], "o", color=SECOND, ms=6)
            axes.annotate(name, (index, rms[index]), (4, 4), textcoords="offset points")
        axes.set(xlabel="channel, in the order of the amplifier", ylabel="µV rms")
        axes.set_ylim(0, float(rms.max()) * 1.15 or 1.0)
        set_title(axes, f"Signal by channel; median {median:.1f} µV rms", "")
        if head:
            _map(head, rms, quality.spec, "Blues")
            head.set_title("µV rms", fontsize=9, fontweight="normal")

    alt = f"Signal of {len(rms)} channels: {rms.min():.1f} to {rms.max():.1f} µV rms"
    return drawing(WIDTH, 2.7, alt, draw)


def spectrum_plot(quality: Quality) -> Html:
    """Draw the power spectrum: the median channel, and how far the others lie apart."""
    shown = (quality.freqs >= 1) & (quality.freqs <= HIGHEST_FREQUENCY)
    freqs, power = quality.freqs[shown], quality.power[:, shown] * MICROVOLTS**2
    low, median, high = np.percentile(power, (10, 50, 90), axis=0)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.fill_between(freqs, low, high, color=ACCENT, alpha=0.18, lw=0)
        axes.plot(freqs, median, color=ACCENT, lw=1.6)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set(xlabel="frequency (Hz)", ylabel="µV²/Hz", xlim=(freqs[0], freqs[-1]))
        set_title(axes, "Power spectrum: median channel, and 10th to 90th percentile", "")

    return drawing(WIDTH, 2.5, "Power spectrum of the unfiltered signal by channel", draw)


def timing_plot(errors: Mapping[str, NDArray[np.float64]]) -> Html:
    """Draw by how much the time between two images misses the plan, by phase."""
    spread = {phase: values * MILLISECONDS for phase, values in errors.items() if len(values)}
    reach = max(1.0, *(float(np.abs(values).max()) for values in spread.values()))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        bins = np.linspace(-reach, reach, 61)
        for (phase, values), color in zip(spread.items(), (ACCENT, SECOND), strict=False):
            axes.hist(values, list(bins), color=color, alpha=0.75, label=phase)
        axes.set(xlabel="time between images minus plan (ms)", ylabel="pairs of images")
        if len(spread) > 1:
            axes.legend()
        set_title(axes, "How regularly the images followed each other", "")

    return drawing(WIDTH, 2.1, "Time between images minus plan; see the table", draw)


def curve_plot(finding: Finding) -> Html:
    """Draw the accuracy of decoding by the middle of its window, beside chance."""
    x, y, low, high = np.array(finding.curve).T
    times = x * MILLISECONDS

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=SOFT, lw=0.8)
        axes.fill_between(times, low, high, color=ACCENT, alpha=0.18, lw=0)
        axes.plot(times, y, color=ACCENT, lw=1.8, marker="o", ms=4, label="accuracy, 95 % interval")
        if finding.null is not None:
            axes.axhline(finding.null, color=SECOND, lw=1.4, label="chance")
        axes.set(xlabel="middle of the window, time from onset (ms)", ylim=(0, None))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        figure.legend(loc="outside lower left", ncols=2, fontsize=8.5)
        set_title(axes, f"{finding.audit}: when the class can be decoded", finding.label)

    peak = f"highest {times[int(np.argmax(y))]:.0f} ms after onset"
    return drawing(WIDTH, 2.7, f"Decoding by time, {peak}. {finding.label}", draw)


def latency_plot(stages: Sequence[Stage]) -> Html:
    """Draw when the stages of a trial were done, each beside its budget."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.boxplot(
            [stage.seconds * MILLISECONDS for stage in stages],
            orientation="horizontal",
            whis=(5, 95),
            tick_labels=[stage.name for stage in stages],
            medianprops={"color": ACCENT},
        )
        for row, stage in enumerate(stages, start=1):
            if stage.budget is not None:
                limit = stage.budget * MILLISECONDS
                axes.plot([limit, limit], [row - 0.4, row + 0.4], "--", color=SECOND)
        axes.invert_yaxis()
        axes.set_xlabel("after the onset of the last image (ms); whiskers at 5 and 95 %")
        set_title(axes, "How long the subject's answer took", "")

    return drawing(WIDTH, 2.4, "Latency of each stage; see the table", draw)


def _accuracies(axes: Axes, accuracies: Sequence[Accuracy]) -> None:
    """Draw one accuracy a row, from the top."""
    rows = np.arange(len(accuracies))
    chance = [each.chance for each in accuracies]
    values = [each.fraction for each in accuracies]
    axes.hlines(rows, [a.low for a in accuracies], [a.high for a in accuracies], ACCENT, lw=2.2)
    axes.plot(values, rows, "o", color=ACCENT, ms=6, clip_on=False, label="accuracy, 95 % interval")
    axes.vlines(chance, rows - 0.42, rows + 0.42, SECOND, lw=2, label="chance")
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    axes.grid(axis="x", color=LINE, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0, pad=9)
    axes.spines["left"].set_visible(False)
    axes.figure.legend(loc="outside lower right", ncols=2, fontsize=8.5)


def _beside_map(figure: Figure, spec: SignalSpec) -> tuple[Axes, Axes | None]:
    """Return axes, and beside them axes for a map if enough positions are known."""
    if len(spec.positions) < MIN_POSITIONS:
        return figure.add_subplot(), None
    left, right = figure.subplots(1, 2, width_ratios=(3.2, 1))
    return left, right


def _map(axes: Axes, values: NDArray[np.float64], spec: SignalSpec, colours: str) -> None:
    """Draw values by channel on a head seen from above."""
    import mne
    from scipy.spatial import QhullError

    known = [i for i, name in enumerate(spec.channels) if name in spec.positions]
    names = [spec.channels[i] for i in known]
    info = mne.create_info(names, spec.sfreq, "eeg")
    positions = {name: spec.positions[name] for name in names}
    info.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"))
    limit = float(np.abs(values[known]).max()) or 1.0
    low = -limit if colours == "RdBu_r" else 0.0
    try:
        image, _ = mne.viz.plot_topomap(
            values[known], info, axes=axes, show=False, cmap=colours, vlim=(low, limit), contours=0
        )
    except (QhullError, ValueError):
        # Positions come with the signal; what an amplifier makes up need not be on a head.
        axes.text(0.5, 0.5, "no map: unlikely\npositions", ha="center", color=SOFT)
        axes.set_axis_off()
        return
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.5, aspect=10)
    bar.outline.set_visible(False)
