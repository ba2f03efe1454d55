"""What builds a net by name."""

from __future__ import annotations

Setting = int | float | str
"""What the constructor of a net takes."""
