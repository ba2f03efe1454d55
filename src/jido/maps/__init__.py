"""From model and scene to a map package, and from a map and a reference to its accuracy."""

from jido.maps.assess import RESUBSTITUTION, assess, find_report
from jido.maps.assess_binary import assess_binary
from jido.maps.assess_sample import assess_sample
from jido.maps.engine import MapResult, map_scene
from jido.maps.estimate import Estimate, estimate_map
from jido.maps.polygons import PolygonsResult, polygonise
from jido.maps.postfilter import gaussian_filter_lcz
from jido.maps.reference import Reference, read_reference

__all__ = [
    "RESUBSTITUTION",
    "Estimate",
    "MapResult",
    "PolygonsResult",
    "Reference",
    "assess",
    "assess_binary",
    "assess_sample",
    "estimate_map",
    "find_report",
    "gaussian_filter_lcz",
    "map_scene",
    "polygonise",
    "read_reference",
]
