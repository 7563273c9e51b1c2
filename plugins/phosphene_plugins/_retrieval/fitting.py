"""Fits ``clip-retrieval``, and measures how well it decodes classes that it was not trained on."""

from collections.abc import Iterable
from typing import cast

import msgspec
import numpy as np

from phosphene import Context, TrainingSet
from phosphene_plugins._distillation.fitting import Design, learn
from phosphene_plugins._retrieval.decoder import NAME, RetrievalCard, RetrievalDecoder
from phosphene_plugins._retrieval.gallery import Gallery, images_of
from phosphene_plugins._retrieval.inputs import Whitened
from phosphene_plugins._retrieval.network import Retrieval
from phosphene_plugins._retrieval.objective import Alignment, to_tensor
from phosphene_plugins._retrieval.settings import RetrievalSettings
from phosphene_plugins._retrieval.zero_shot import ZeroShot, choose

Classes = tuple[str, ...]


def fit_retrieval(
    settings: RetrievalSettings, training_set: TrainingSet, context: Context
) -> RetrievalDecoder:
    """Return the decoder, with the zero-shot figure among its metrics.

    The figure comes last, so that Ctrl-C costs no more than the figure.
    """
    trained = training_set.classes
    classes = trained if settings.classes == "trained" else _all_classes(training_set)
    held = choose(trained, settings.zero_shot, context.rng(*b"zero-shot"))
    unseen = {*held} | ({*classes} - {*trained})
    gallery = _gallery(settings, training_set, unseen, context.part(0, 0.1))
    middle = 0.55 if held else 1.0
    decoder = _fit(settings, training_set, classes, gallery, context.part(0.1, middle))
    if held and not decoder.card.training.interrupted:
        figure = _zero_shot(
            settings, training_set, held, gallery, context.part(middle, 1, "zero-shot")
        )
        if figure is not None:
            decoder.report(figure)
    return decoder


def _zero_shot(
    settings: RetrievalSettings,
    training_set: TrainingSet,
    held: Classes,
    gallery: Gallery,
    context: Context,
) -> ZeroShot | None:
    """Return how well a second fit, without some classes, decodes them; None if interrupted."""
    is_new = np.isin(training_set.wnids, held)
    seen, new = (training_set.select(np.flatnonzero(side)) for side in (~is_new, is_new))
    try:
        decoder = _fit(settings, seen, held, gallery, context)
    except KeyboardInterrupt:
        return None
    if decoder.card.training.interrupted:
        return None
    columns = decoder.decode(new.epochs).probabilities.argmax(axis=1)
    decoded = [held[column] for column in columns]
    return ZeroShot.of(held, new.wnids, decoded, context.rng(*b"permutations"))


def _fit(
    settings: RetrievalSettings,
    training_set: TrainingSet,
    classes: Classes,
    gallery: Gallery,
    context: Context,
) -> RetrievalDecoder:
    """Return a decoder of some classes, whether the training trials show them or not."""
    alignment = Alignment(gallery, settings, training_set.stimuli, training_set.classes)
    design = Design(NAME, Whitened, alignment.build)
    learnt = learn(design, settings, training_set, context, alignment.objective)
    network = cast(Retrieval, learnt.network)
    network.prototypes = to_tensor(alignment.prototypes(classes)).to(learnt.device)
    common = msgspec.structs.asdict(learnt.card) | {"classes": classes}
    card = RetrievalCard(
        **common,
        sfreq=training_set.epochs.spec.sfreq,
        trained=learnt.card.classes,
        features=gallery.name,
        length=gallery.length,
        radius=gallery.radius(alignment.images, alignment.centre),
        components=settings.components,
        n_dimensions=len(alignment.centre),
    )
    return RetrievalDecoder(card, learnt.inputs, network, learnt.device)


def _gallery(
    settings: RetrievalSettings, training_set: TrainingSet, wnids: Iterable[str], context: Context
) -> Gallery:
    """Return the features of all images that were shown, and of all images of some classes."""
    shown = {trial.image for trial in training_set.trials}
    stimuli = training_set.stimuli
    images = shown.union(*(images_of(stimuli, wnid) for wnid in wnids))
    return Gallery.of(settings.features, stimuli, sorted(images), context)


def _all_classes(training_set: TrainingSet) -> Classes:
    """Return the classes that have images, sorted."""
    return tuple(sorted({image.wnid for image in training_set.stimuli.images}))
