"""The only place that opens files."""

from jido.io.classmap import ClassMap
from jido.io.cog import Plane, describe_rows, smaller_levels, write_cog
from jido.io.files import (
    clear_leftovers,
    file_sha256,
    json_text,
    replacing,
    replacing_together,
    require_place,
)
from jido.io.geotiff import geotiff_profile, write_codes, write_image
from jido.io.mlm import mlm_item
from jido.io.package import Package, package_id, read_config, require_package_place
from jido.io.polygons import PolygonFile, polygon_file
from jido.io.process import keep_memory, peak_rss_mb
from jido.io.radiometry import describe_scene
from jido.io.raster import CACHE_MB, RESAMPLING, Progress, Scene, read_image
from jido.io.sample import Sample
from jido.io.style import aux_xml, polygon_qml, qml, read_classes
from jido.io.target import mask_target, read_target
from jido.io.vectors import read_labels, write_labels
from jido.io.weights import ESTIMATOR, TENSORS, load_estimator, load_tensors, write_estimator, write_tensors
from jido.io.work import working_folder

__all__ = [
    "CACHE_MB",
    "ESTIMATOR",
    "RESAMPLING",
    "TENSORS",
    "ClassMap",
    "Package",
    "Plane",
    "PolygonFile",
    "Progress",
    "Sample",
    "Scene",
    "aux_xml",
    "clear_leftovers",
    "describe_rows",
    "describe_scene",
    "file_sha256",
    "geotiff_profile",
    "json_text",
    "keep_memory",
    "load_estimator",
    "load_tensors",
    "mask_target",
    "mlm_item",
    "package_id",
    "peak_rss_mb",
    "polygon_file",
    "polygon_qml",
    "qml",
    "read_classes",
    "read_config",
    "read_image",
    "read_labels",
    "read_target",
    "replacing",
    "replacing_together",
    "require_package_place",
    "require_place",
    "smaller_levels",
    "working_folder",
    "write_codes",
    "write_cog",
    "write_estimator",
    "write_image",
    "write_labels",
    "write_tensors",
]
