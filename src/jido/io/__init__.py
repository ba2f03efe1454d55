"""The only place that opens files."""

from jido.io.files import replacing
from jido.io.package import Package, read_config
from jido.io.raster import RESAMPLING, Progress, Scene, geotiff_profile, read_image, write_codes, write_image
from jido.io.style import aux_xml, qml
from jido.io.vectors import read_labels, write_labels

__all__ = [
    "RESAMPLING",
    "Package",
    "Progress",
    "Scene",
    "aux_xml",
    "geotiff_profile",
    "qml",
    "read_config",
    "read_image",
    "read_labels",
    "replacing",
    "write_codes",
    "write_image",
    "write_labels",
]
