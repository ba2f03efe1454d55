"""From model and scene to a map package, and from a map and a reference to its accuracy."""

from jido.maps.engine import MapResult, map_scene

__all__ = ["MapResult", "map_scene"]
