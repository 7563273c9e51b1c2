"""``eeg-cvpr40``: the published recordings of Spampinato et al. (CVPR 2017), in their own files."""

from collections.abc import Mapping
from pathlib import Path

from phosphene import Dataset, DatasetConfig, hookimpl
from phosphene_plugins._distillation.settings import need


class EegCvpr40Config(DatasetConfig, frozen=True):
    """Files that the authors published. Needs the extra ``torch``."""

    file: Path
    """The segments, e.g. ``eeg_14_70_std.pth``."""
    splits: Path | None = None
    """Which images train, validate and test, e.g. ``block_splits_by_image_all.pth``."""

    def open(self) -> Dataset:
        """Return the data set; ``PhospheneError`` names the file and what is wrong with it."""
        need("torch", "torch")
        from phosphene_plugins._published.eeg_cvpr40 import EegCvpr40

        return EegCvpr40(self.file, self.splits)


@hookimpl
def dataset() -> Mapping[str, type[DatasetConfig]]:
    """Offer ``eeg-cvpr40``."""
    return {"eeg-cvpr40": EegCvpr40Config}
