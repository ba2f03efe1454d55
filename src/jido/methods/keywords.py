"""Settings that somebody chose by name: checked against what a constructor takes before it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, create_model

from jido.errors import ModelError

Share = Annotated[float, Field(ge=0, le=1)]
"""0..1."""


def checked(
    what: str, kind: Callable[..., Any], given: Mapping[str, Any], *, remedy: str = "correct its settings"
) -> dict[str, Any]:
    """Every keyword of ``kind``: as it is given, or else its default.

    Args:
        what: is set up, as the error says it.
        kind: class or function, whose keywords are what has a default. Annotations say what they may be,
            bounds included: ``Annotated[float, Field(gt=0)]``.
        given: values by keyword, not all of them.
        remedy: what to do, as the error says it.

    Raises:
        ModelError: for a keyword that there is not, and for a value that it cannot have.
    """
    taken = inspect.signature(kind, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        one.name: (one.annotation, one.default) for one in taken if one.default is not one.empty
    }
    rules = create_model("Keywords", __config__=ConfigDict(extra="forbid", allow_inf_nan=False), **fields)
    try:
        return dict(rules(**given))
    except ValidationError as err:
        wrong = "; ".join(
            f"{'.'.join(map(str, e['loc']))} = {e['input']!r}: {e['msg']}" for e in err.errors()
        )
        known = ", ".join(fields)
        raise ModelError(f"{what} cannot be set up ({wrong}; known are {known}): {remedy}.") from err
