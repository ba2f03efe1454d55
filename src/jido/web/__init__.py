"""Pages that one process shows at one port, without the internet; only what is vendored is loaded."""

from __future__ import annotations

import importlib.util

from jido.errors import JidoError


def require_web() -> None:
    """Say how to get what pages need.

    Raises:
        JidoError: when it is missing.
    """
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn", "rio_tiler")):
        raise JidoError('Pages need starlette, uvicorn and rio-tiler: pip install "jido[web]".')
