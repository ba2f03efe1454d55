"""The radiometry guard: no map from numbers that mean something else than those of the training."""

from __future__ import annotations

from jido.errors import ModelError
from jido.geo.radiometry import compare
from jido.io import Scene, describe_scene
from jido.methods import Model


def require_radiometry(model: Model, scene: Scene, *, convert: bool) -> Scene:
    """The scene, read with the numbers of the training; the one given stays as it is.

    Its ``notes`` say what was converted, and what cannot be told for certain.

    Args:
        model: the model; one that does not know its radiometry gets a note only.
        scene: the images to be mapped.
        convert: convert numbers instead of refusing them, where that can be done.

    Raises:
        ModelError: when the scene differs from the training in unit, factor, offset, processing
            level or order of bands.
    """
    if model.radiometry is None:
        fresh = scene.converted({})
        fresh.notes.append("The model does not know the radiometry of its training: it was not checked.")
        return fresh
    found = compare(model.radiometry, describe_scene(scene))
    wrong = [one for one in found if one.refuses]
    stops = [one for one in wrong if not (convert and one.conversion)]
    if stops:
        more = f" ({len(stops) - 1} more of the kind)" if len(stops) > 1 else ""
        more += "; --convert cannot mend this" if convert else ""
        raise ModelError(f"{stops[0].sentence.rstrip('.')}{more}.")
    fresh = scene.converted({name: one.conversion for one in wrong if one.conversion for name in one.names})
    fresh.notes += [one.converted if one.refuses else one.sentence for one in found]
    return fresh
