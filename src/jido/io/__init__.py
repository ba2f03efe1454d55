"""The only place that opens files."""

from jido.io.files import file_sha256, json_text, replacing, replacing_together, require_place
from jido.io.package import Package, package_id, read_config, require_package_place
from jido.io.raster import RESAMPLING, Progress, Scene, geotiff_profile, read_image, write_codes, write_image
from jido.io.style import aux_xml, qml
from jido.io.vectors import read_labels, write_labels

__all__ = [
    "RESAMPLING",
    "Package",
    "Progress",
    "Scene",
    "aux_xml",
    "file_sha256",
    "geotiff_profile",
    "json_text",
    "package_id",
    "qml",
    "read_config",
    "read_image",
    "read_labels",
    "replacing",
    "replacing_together",
    "require_package_place",
    "require_place",
    "write_codes",
    "write_image",
    "write_labels",
]
