"""Settings of a method from a preset and a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from jido.errors import ModelError

Settings = TypeVar("Settings", bound=BaseModel)


def read_settings(
    kind: type[Settings],
    path: str | Path | None,
    preset: Mapping[str, Any],
    *,
    given: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Settings:
    """``defaults``, overruled by a preset, overruled by a TOML file, overruled by what is ``given``.

    Of a table (``encoder = {kernels = 1}``) the entries that are given are overruled, the others stay.

    Raises:
        ModelError: when the file cannot be read or holds a setting that does not exist.
    """
    try:
        read = tomllib.loads(Path(path).read_text(encoding="utf-8")) if path is not None else {}
        chosen = {**defaults, **preset}
        for name, value in {**read, **(given or {})}.items():
            before = chosen.get(name)
            chosen[name] = (
                {**before, **value} if isinstance(before, dict) and isinstance(value, dict) else value
            )
        return kind(**chosen)
    except ValidationError as err:
        wrong = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in err.errors())
        known = ", ".join(kind.model_fields)
        where = f" in {path}" if path is not None else ""
        raise ModelError(f"The settings{where} cannot be used ({wrong}); known are {known}.") from err
    except (OSError, ValueError) as err:  # ValueError: no TOML, or no text at all
        raise ModelError(f"The settings in {path} cannot be read ({err}): give a TOML file.") from err
