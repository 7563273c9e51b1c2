"""A9: whether an image that was tested on was also trained on."""

from phosphene.analysis.audits.finding import Measured
from phosphene.analysis.audits.material import Material


def exemplars(material: Material) -> Measured:
    """Return A9: test trials whose image is among the training trials of their fold."""
    shared = 0
    for fold in material.folds:
        trained = {material.trials[index].image for index in fold.train}
        shared += sum(material.trials[index].image in trained for index in fold.test)
    return Measured(
        "A9",
        "exemplars",
        "warning",
        "Images were tested on that had been trained on: the image may be told, not its class.",
        "No image was tested on that had been trained on.",
        "trials",
        float(shared),
        0.0,
        fires=shared > 0,
        is_accuracy=False,
    )
