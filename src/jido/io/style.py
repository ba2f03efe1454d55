"""How a class map looks in other programs: colours, attribute table, QGIS style.

A GeoTIFF with several bands cannot hold a palette, so the colours stand beside it: GDAL's
``.tif.aux.xml`` (colour table, category names, attribute table; read by QGIS, ArcGIS, GDAL) and a
complete ``.qml`` (QGIS loads it by itself; one with opacity alone would wipe the palette).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from jido.labels import ClassScheme, LandClass

# GDAL's numbers for the columns of an attribute table (GDALRATFieldUsage, GDALRATFieldType)
_COLUMNS = (("Value", 0, 5), ("Label", 2, 2), ("Name", 2, 2), ("Red", 0, 6), ("Green", 0, 7), ("Blue", 0, 8))


def aux_xml(scheme: ClassScheme, bands: tuple[int, ...]) -> str:
    """Text of the ``.aux.xml`` that gives these bands (numbers from 1) the scheme's colours.

    Band 1 has them as colour table and as attribute table, the others as attribute table: GDAL's
    GeoTIFF driver hands out no colour table but that of band 1.
    """
    root = ET.Element("PAMDataset")
    by_code = {c.code: c for c in scheme.classes}
    listed = [by_code.get(code) for code in range(max(by_code) + 1)]
    for number in bands:
        band = ET.SubElement(root, "PAMRasterBand", band=str(number))
        if number == 1:
            ET.SubElement(band, "ColorInterp").text = "Palette"
            table = ET.SubElement(band, "ColorTable")
            for cls in listed:
                red, green, blue, alpha = (*cls.rgb, 255) if cls else (0, 0, 0, 0)
                ET.SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4=str(alpha))
        names = ET.SubElement(band, "CategoryNames")
        for cls in listed:
            ET.SubElement(names, "Category").text = f"{cls.label} {cls.name}" if cls else ""
        band.append(_attribute_table(scheme))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _attribute_table(scheme: ClassScheme) -> ET.Element:
    table = ET.Element("GDALRasterAttributeTable", tableType="thematic")
    for index, (name, kind, usage) in enumerate(_COLUMNS):
        field = ET.SubElement(table, "FieldDefn", index=str(index))
        ET.SubElement(field, "Name").text = name
        ET.SubElement(field, "Type").text = str(kind)
        ET.SubElement(field, "Usage").text = str(usage)
    for index, cls in enumerate(scheme.classes):
        row = ET.SubElement(table, "Row", index=str(index))
        for value in (cls.code, cls.label, cls.name, *cls.rgb):
            ET.SubElement(row, "F").text = str(value)
    return table


def qml(scheme: ClassScheme, *, band: int) -> str:
    """Text of a complete QGIS style that shows one band in the scheme's colours, nodata clear."""
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        type="paletted",
        band=str(band),
        opacity="1",
        alphaBand="-1",
        nodataColor="",
    )
    ET.SubElement(renderer, "rasterTransparency")
    palette = ET.SubElement(renderer, "colorPalette")
    for cls in scheme.classes:
        ET.SubElement(
            palette,
            "paletteEntry",
            value=str(cls.code),
            color=cls.color.lower(),
            label=f"{cls.label} {cls.name}",
            alpha="255",
        )
    ET.SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma="1")
    ET.SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    ET.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    return "<!DOCTYPE qgis>\n" + ET.tostring(root, encoding="unicode") + "\n"


def ramp_qml(colours: Mapping[float, str], *, band: int) -> str:
    """Text of a QGIS style that shows one band in colours that change between values, nodata clear.

    Args:
        colours: value -> ``#RRGGBB``, values rising.
        band: of the raster.
    """
    low, high = min(colours), max(colours)
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    facts = {"type": "singlebandpseudocolor", "band": str(band), "opacity": "1", "alphaBand": "-1",
             "classificationMin": repr(low), "classificationMax": repr(high)}  # fmt: skip
    shader = ET.SubElement(ET.SubElement(pipe, "rasterrenderer", facts), "rastershader")
    ramp = ET.SubElement(
        shader,
        "colorrampshader",
        colorRampType="INTERPOLATED",
        classificationMode="2",
        clip="0",
        minimumValue=repr(low),
        maximumValue=repr(high),
    )
    for value, colour in colours.items():
        ET.SubElement(ramp, "item", value=repr(value), label=f"{value:.4g}", color=colour, alpha="255")
    ET.SubElement(root, "blendMode").text = "0"
    ET.indent(root)
    return "<!DOCTYPE qgis>\n" + ET.tostring(root, encoding="unicode") + "\n"


def read_classes(path: Path) -> dict[int, LandClass]:
    """Code -> class, of the map ``path`` that :func:`aux_xml` was written beside; else empty."""
    try:
        root = ET.parse(path.with_name(path.name + ".aux.xml")).getroot()
    except (OSError, ET.ParseError):
        return {}
    table = root.find("PAMRasterBand/GDALRasterAttributeTable")
    columns = [] if table is None else [field.findtext("Name") for field in table.findall("FieldDefn")]
    if table is None or columns != [name for name, _, _ in _COLUMNS]:
        return {}
    rows = ([cell.text or "" for cell in row.findall("F")] for row in table.findall("Row"))
    return {
        int(code): LandClass(int(code), label, name, "#{:02X}{:02X}{:02X}".format(*map(int, rgb)))
        for code, label, name, *rgb in rows
    }


def polygon_qml(classes: Iterable[LandClass], *, column: str) -> str:
    """Text of a QGIS style that fills polygons with the colour of the class whose code is in a column."""
    root = ET.Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = ET.SubElement(root, "renderer-v2", type="categorizedSymbol", attr=column)
    categories, symbols = ET.SubElement(renderer, "categories"), ET.SubElement(renderer, "symbols")
    for index, cls in enumerate(classes):
        ET.SubElement(
            categories,
            "category",
            value=str(cls.code),
            type="long",
            symbol=str(index),
            label=f"{cls.label} {cls.name}".strip(),
            render="true",
        )
        symbols.append(_fill(str(index), cls))
    ET.SubElement(root, "layerGeometryType").text = "2"  # polygons
    ET.indent(root)
    return "<!DOCTYPE qgis>\n" + ET.tostring(root, encoding="unicode") + "\n"


def _fill(name: str, cls: LandClass) -> ET.Element:
    """A fill with an outline of the same colour, so that no light shines through between neighbours."""
    symbol = ET.Element("symbol", name=name, type="fill", alpha="1", clip_to_extent="1")
    layer = ET.SubElement(
        symbol, "layer", {"class": "SimpleFill", "enabled": "1", "locked": "0", "pass": "0"}
    )
    colour = ",".join(map(str, (*cls.rgb, 255)))
    options = {"color": colour, "style": "solid", "outline_color": colour, "outline_style": "solid",
               "outline_width": "0.1", "outline_width_unit": "MM", "joinstyle": "bevel"}  # fmt: skip
    table = ET.SubElement(layer, "Option", type="Map")
    for key, value in options.items():
        ET.SubElement(table, "Option", type="QString", name=key, value=value)
    return symbol
