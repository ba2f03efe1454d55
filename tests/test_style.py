"""The colours of a map, read back as other programs read them."""

from xml.etree import ElementTree as ET

import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.shutil import copy

from jido.io import aux_xml, geotiff_profile, qml
from jido.labels import ClassScheme, LandClass, lcz_scheme

WUDAPT = {
    1: "#8C0000", 2: "#D10000", 3: "#FF0000", 4: "#BF4D00", 5: "#FF6600", 6: "#FF9955", 7: "#FAEE05",
    8: "#BCBCBC", 9: "#FFCCAA", 10: "#555555", 11: "#006A00", 12: "#00AA00", 13: "#648525", 14: "#B9DB79",
    15: "#000000", 16: "#FBF7AE", 17: "#6A6AFF",
}  # fmt: skip
"""Colours of the WUDAPT LCZ maps, Demuzere et al. 2022, doi 10.5194/essd-14-3835-2022."""

OWN = ClassScheme(
    "own",
    (LandClass(3, "g", 'grass & "weeds" <tall>', "#00ff7f"), LandClass(200, "w", "Wald, naß", "#0a0B0c")),
)


@pytest.fixture
def lcz_map(tmp_path):
    """A COG of four bands with the colours beside it, as the map engine writes them."""
    box = GeoBox.from_bbox((500_000, 2_000_000, 501_000, 2_001_000), "EPSG:32649", resolution=100)
    profile = geotiff_profile(box, count=4, dtype="uint8", nodata=255)
    with rasterio.open(tmp_path / "plain.tif", "w", photometric="MINISBLACK", alpha="NO", **profile) as sink:
        sink.write(np.full((4, 10, 10), 17, np.uint8))
    copy(tmp_path / "plain.tif", tmp_path / "map.tif", driver="COG")
    (tmp_path / "map.tif.aux.xml").write_text(aux_xml(lcz_scheme(), (1, 2)), encoding="utf-8")
    return tmp_path / "map.tif"


def hexed(rgba):
    return "#{:02X}{:02X}{:02X}".format(*rgba[:3])


def test_gdal_reads_the_official_colours(lcz_map):
    with rasterio.open(lcz_map) as source:
        assert source.colorinterp[0] == ColorInterp.palette
        colours = source.colormap(1)
        assert {code: hexed(colours[code]) for code in range(1, 18)} == WUDAPT
        assert all(colours[code][3] == 255 for code in range(1, 18))
        assert colours[0] == (0, 0, 0, 0)
        assert (source.read() == 17).all()


def test_no_band_is_called_a_palette_that_has_none(lcz_map):
    """GDAL's GeoTIFF driver gives the colour table of band 1 alone, whatever stands beside the file."""
    with rasterio.open(lcz_map) as source:
        for band in (2, 3, 4):
            assert source.colorinterp[band - 1] not in (ColorInterp.palette, ColorInterp.alpha)


def test_every_class_band_has_the_official_colours_beside_it():
    bands = ET.fromstring(aux_xml(lcz_scheme(), (1, 2))).findall("PAMRasterBand")
    assert len(bands) == 2
    for band in bands:
        rows = [[f.text for f in row.findall("F")] for row in band.findall("GDALRasterAttributeTable/Row")]
        assert {int(row[0]): hexed([int(v) for v in row[3:6]]) for row in rows} == WUDAPT


@pytest.mark.parametrize("scheme", [lcz_scheme(), OWN])
def test_category_names_stand_at_their_codes(scheme):
    for number, band in enumerate(ET.fromstring(aux_xml(scheme, (1, 2))).findall("PAMRasterBand"), start=1):
        assert band.get("band") == str(number)
        names = [c.text or "" for c in band.findall("CategoryNames/Category")]
        assert len(names) == max(scheme.codes) + 1
        for code, name in enumerate(names):
            named = {c.code: f"{c.label} {c.name}" for c in scheme.classes}
            assert name == named.get(code, "")


@pytest.mark.parametrize("scheme", [lcz_scheme(), OWN])
def test_attribute_table_has_a_row_per_class(scheme):
    table = ET.fromstring(aux_xml(scheme, (1,))).find("PAMRasterBand/GDALRasterAttributeTable")
    fields = [
        (f.findtext("Name"), f.findtext("Type"), f.findtext("Usage")) for f in table.findall("FieldDefn")
    ]
    # GDAL: types 0 integer, 2 string; usages 5 value (min and max), 2 name, 6 7 8 red green blue
    assert fields[0] == ("Value", "0", "5")
    assert fields[3:] == [("Red", "0", "6"), ("Green", "0", "7"), ("Blue", "0", "8")]
    assert ("Name", "2", "2") in fields
    rows = [[f.text for f in row.findall("F")] for row in table.findall("Row")]
    assert rows == [[str(c.code), c.label, c.name, *map(str, c.rgb)] for c in scheme.classes]


@pytest.mark.parametrize("band", [1, 2])
@pytest.mark.parametrize("scheme", [lcz_scheme(), OWN])
def test_qml_is_complete(scheme, band):
    text = qml(scheme, band=band)
    assert text.startswith("<!DOCTYPE qgis")
    renderer = ET.fromstring(text).find("pipe/rasterrenderer")
    assert (renderer.get("type"), renderer.get("band"), renderer.get("opacity")) == (
        "paletted",
        str(band),
        "1",
    )
    assert renderer.get("alphaBand") == "-1"
    entries = [e.attrib for e in renderer.findall("colorPalette/paletteEntry")]
    assert entries == [
        {"value": str(c.code), "color": c.color.lower(), "label": f"{c.label} {c.name}", "alpha": "255"}
        for c in scheme.classes
    ]
    ends = ET.fromstring(text).find("pipe")
    assert next(part.tag for part in ends) == "rasterrenderer"
    assert {"brightnesscontrast", "huesaturation", "rasterresampler"} <= {part.tag for part in ends}
