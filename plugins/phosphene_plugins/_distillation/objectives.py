"""What the networks are trained to: labels alone, or the labels and a teacher's soft ones."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from phosphene import Context, PhospheneError
from phosphene_plugins._distillation.decoder import Distillation
from phosphene_plugins._distillation.features import image_features
from phosphene_plugins._distillation.fitting import Fitting, Objective
from phosphene_plugins._distillation.settings import DistillationSettings
from phosphene_plugins._distillation.soft_labels import make_soft_labels, of_trials
from phosphene_plugins._distillation.training import Loss


def labels_alone(label_smoothing: float) -> Objective:
    """Return the objective of cross-entropy with hard labels."""

    def objective(fitting: Fitting) -> tuple[Loss, None]:
        labels = torch.from_numpy(fitting.labels).to(fitting.device)

        def loss(logits: Tensor, batch: Tensor) -> Tensor:
            return cross_entropy(logits, labels[batch], label_smoothing=label_smoothing)

        return loss, None

    return objective


def distilled(settings: DistillationSettings, context: Context) -> Objective:
    """Return the objective of the paper: alpha CE(hard) + (1 - alpha) T^2 KL(soft).

    The sum of both losses is the paper's (arXiv 2309.07149, section 2.3); T^2 keeps their balance
    whatever the temperature (Hinton et al. 2015).
    """
    alpha = settings.alpha if settings.mode == "kd+ce" else 0.0

    def objective(fitting: Fitting) -> tuple[Loss, Distillation]:
        soft, said = _teach(fitting, settings, alpha, context)
        labels = torch.from_numpy(fitting.labels).to(fitting.device)

        def loss(logits: Tensor, batch: Tensor) -> Tensor:
            hard = cross_entropy(logits, labels[batch])
            return alpha * hard + (1 - alpha) * distillation_loss(
                logits, soft[batch], said.temperature
            )

        return loss, said

    return objective


def distillation_loss(logits: Tensor, soft: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(soft || softmax(logits / T)), the mean over trials (Hinton et al. 2015)."""
    divergence = torch.nn.functional.kl_div(
        torch.log_softmax(logits / temperature, dim=1), soft, reduction="batchmean"
    )
    return temperature**2 * divergence


def _teach(
    fitting: Fitting, settings: DistillationSettings, alpha: float, context: Context
) -> tuple[Tensor, Distillation]:
    """Return the soft label of each trial; the teacher sees the images of training alone."""
    shown = [trial.image for trial in fitting.trials]
    images = sorted(set(shown))
    rows = of_trials(images, shown)
    labels = np.empty(len(images), np.intp)
    labels[rows] = fitting.labels
    if (labels[rows] != fitting.labels).any():
        raise PhospheneError("the teacher cannot learn: an image was shown as two classes")
    features, name = image_features(settings.features, fitting.stimuli, images, context)
    made = make_soft_labels(features, labels, settings, context.rng(*b"teacher"))
    said = Distillation(
        name, settings.teacher, made.accuracy, alpha, made.temperature, made.entropy
    )
    soft = torch.from_numpy(made.probabilities[rows].astype(np.float32))
    return soft.to(fitting.device), said
