"""The radiometry guard: no map from numbers that mean something else than those of the training."""

from __future__ import annotations

from jido.errors import ModelError
from jido.geo.radiometry import compare
from jido.io import Scene, describe_scene
from jido.methods import Model


def require_radiometry(model: Model, scene: Scene, *, convert: bool) -> Scene:
    """The scene, with the numbers of the training.

    What cannot be told for certain, and every conversion, becomes a sentence in ``scene.notes``.

    Args:
        model: the model; one that does not know its radiometry gets a note only.
        scene: the images to be mapped.
        convert: convert numbers instead of refusing them, where that can be done.

    Raises:
        ModelError: when the scene differs from the training in unit, factor, offset, processing
            level or order of bands.
    """
    if model.radiometry is None:
        scene.notes.append("The model does not know the radiometry of its training: it was not checked.")
        return scene
    found = compare(model.radiometry, describe_scene(scene))
    scene.notes.extend(one.sentence for one in found if not one.refuses)
    wrong = [one for one in found if one.refuses]
    stops = [one for one in wrong if not (convert and one.conversion)]
    if stops:
        more = f" The same or more is wrong with {len(stops) - 1} more images." if len(stops) > 1 else ""
        raise ModelError(stops[0].sentence + more)
    changes = {name: one.conversion for one in wrong if one.conversion for name in one.names}
    fresh = scene.converted(changes)
    fresh.notes += [one.converted for one in wrong]
    return fresh
