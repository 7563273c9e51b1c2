"""The paper's 40 classes: wnids, human names, and their numbers in the published data set."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def paper_classes() -> Mapping[str, str]:
    """Return wnid -> human name of the paper's classes.

    The order is that of the integer labels in the published data set (EEG-CVPR40): label 0 first.

    >>> list(paper_classes().items())[0]
    ('n02389026', 'sorrel')
    """
    text = files("phosphene_stimuli").joinpath("classes.tsv").read_text("utf-8")
    _header, *rows = (line.split("\t") for line in text.splitlines())
    return MappingProxyType({wnid: name for _label, wnid, name in rows})
