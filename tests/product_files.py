"""Miniature products with the names, folders and metadata of real ones."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

S2_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
SIDES = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B09": 60, "B10": 60}
"""Metres; 20 of the others in level 2A."""

LEFT, TOP = 600_000, 2_500_020


def s2_numbers(bands=S2_BANDS, side=96, seed=0) -> dict[str, np.ndarray]:
    """Numbers of each band on its own grid, unlike in all bands; ``side`` in pixels of 10 m."""
    rng = np.random.default_rng(seed)
    return {
        band: (1200 + 100 * i + rng.integers(0, 90, (side * 10 // s2_side(band),) * 2)).astype("uint16")
        for i, band in enumerate(bands)
    }


def s2_side(band: str) -> int:
    return SIDES.get(band, 60 if band == "B01" else 20)


def write_band(
    path: Path, data: np.ndarray, pixel: float, *, left=LEFT, top=TOP, crs="EPSG:32649", **more
) -> Path:
    """One plane; JPEG 2000 without loss, or GeoTIFF, by the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lossless = (
        {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES"} if path.suffix == ".jp2" else {}
    )
    profile = {"driver": "GTiff", **lossless, **more}
    height, width = data.shape
    profile |= {"count": 1, "dtype": data.dtype, "height": height, "width": width, "crs": crs}
    with rasterio.open(path, "w", transform=from_origin(left, top, pixel, pixel), **profile) as sink:
        sink.write(data, 1)
    return path


def make_safe(
    folder: Path,
    numbers: Mapping[str, np.ndarray] | None = None,
    *,
    level: str = "2A",
    baseline: str = "05.00",
    offset: int | None = -1000,
    scl: np.ndarray | None = None,
    day: str = "20210705",
    left: float = LEFT,
    top: float = TOP,
    crs: str = "EPSG:32649",
) -> Path:
    """A ``.SAFE`` folder.

    Args:
        folder: where it is put.
        numbers: of bands on their own grids; level 2A has no B10.
        level: ``1C`` or ``2A``.
        baseline: of processing.
        offset: in the metadata; ``None`` states none.
        scl: scene classes at 20 m.
        day: of sensing.
        left: easting of its upper left corner.
        top: northing of it.
        crs: of both.
    """
    numbers = dict(s2_numbers() if numbers is None else numbers)
    if level == "2A":
        numbers.pop("B10", None)
    when, tile = f"{day}T030541", "T49QGE"
    name = f"S2A_MSIL{level}_{when}_N{baseline.replace('.', '')}_R075_{tile}_{day}T060606.SAFE"
    granule = f"GRANULE/L{level}_{tile}_A031519_{when}/IMG_DATA"
    side = len(next(iter(numbers.values()))) * s2_side(next(iter(numbers))) // 20
    planes = {band: (data, s2_side(band)) for band, data in numbers.items()}
    if level == "2A":
        planes["SCL"] = (np.full((side, side), 4, "uint8") if scl is None else scl, 20)
    stems, place = [], {"left": left, "top": top, "crs": crs}
    for band, (data, pixel) in planes.items():
        where = f"R{pixel}m/" if level == "2A" else ""
        stems.append(f"{granule}/{where}{tile}_{when}_{band}" + (f"_{pixel}m" if level == "2A" else ""))
        write_band(folder / name / f"{stems[-1]}.jp2", data, pixel, **place)
        if level == "2A" and pixel == 10:  # coarser copies of a band, as real products have them
            half = f"{granule}/R20m/{tile}_{when}_{band}_20m"
            stems.insert(0, half)
            write_band(folder / name / f"{half}.jp2", np.full_like(data[::2, ::2], 9999), 20, **place)
    stems.append(f"{granule}/{tile}_{when}_TCI")
    (folder / name / f"MTD_MSIL{level}.xml").write_text(_safe_xml(name, level, baseline, offset, day, stems))
    (folder / name / "manifest.safe").write_text("<xfdu:XFDU/>")
    return folder / name


def _safe_xml(name: str, level: str, baseline: str, offset: int | None, day: str, stems: list[str]) -> str:
    kind, quantity = (
        ("BOA", "BOA_QUANTIFICATION_VALUE") if level == "2A" else ("RADIO", "QUANTIFICATION_VALUE")
    )
    group = "BOA_ADD_OFFSET_VALUES_LIST" if level == "2A" else "Radiometric_Offset_List"
    each = "".join(f'<{kind}_ADD_OFFSET band_id="{i}">{offset}</{kind}_ADD_OFFSET>' for i in range(13))
    files = "".join(f"<IMAGE_FILE>{stem}</IMAGE_FILE>" for stem in stems)
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
  <n1:General_Info>
    <Product_Info>
      <PRODUCT_START_TIME>{date}T03:05:41.024Z</PRODUCT_START_TIME>
      <PRODUCT_URI>{name}</PRODUCT_URI>
      <PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL>
      <PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
      <PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
      <Product_Organisation><Granule_List><Granule imageFormat="JPEG2000">{files}</Granule></Granule_List>
      </Product_Organisation>
    </Product_Info>
    <Product_Image_Characteristics>
      <Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX>
      </Special_Values>
      <QUANTIFICATION_VALUES_LIST><{quantity} unit="none">10000</{quantity}></QUANTIFICATION_VALUES_LIST>
      {"" if offset is None else f"<{group}>{each}</{group}>"}
    </Product_Image_Characteristics>
  </n1:General_Info>
  <n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>12.4</Cloud_Coverage_Assessment>
  </n1:Quality_Indicators_Info>
</n1:Level-{level}_User_Product>
"""


def make_landsat(
    folder: Path,
    *,
    craft: int = 8,
    level: str = "L2SP",
    side: int = 32,
    qa: np.ndarray | None = None,
    formats: tuple[str, ...] = ("txt", "xml", "json"),
    day: str = "20210705",
) -> Path:
    """A folder of Landsat Collection 2: band n has the numbers 10000 + 100 n everywhere."""
    name = f"L{'C' if craft > 7 else 'E' if craft == 7 else 'T'}0{craft}_{level}_122044_{day}_20210713_02_T1"
    two = level.startswith("L2")
    reflective = range(1, 8) if craft > 7 else (1, 2, 3, 4, 5, 7)
    reflective = [*reflective, *((9,) if craft > 7 and not two else ())]
    heat = 10 if craft > 7 else 6
    keys = {f"FILE_NAME_BAND_{n}": f"{name}_{'SR_' * two}B{n}.TIF" for n in reflective}
    keys[f"FILE_NAME_BAND_ST_B{heat}" if two else f"FILE_NAME_BAND_{heat}"] = (
        f"{name}_{'ST_' * two}B{heat}.TIF"
    )
    for key, file in keys.items():
        number = int(key.rpartition("_")[2].lstrip("B"))
        write_band(folder / name / file, np.full((side, side), 10_000 + 100 * number, "uint16"), 30)
    if craft > 6 and not two:
        keys["FILE_NAME_BAND_8"] = f"{name}_B8.TIF"
        write_band(folder / name / keys["FILE_NAME_BAND_8"], np.full((2 * side,) * 2, 9, "uint16"), 15)
    keys["FILE_NAME_QUALITY_L1_PIXEL"] = f"{name}_QA_PIXEL.TIF"
    clear = np.full((side, side), 21_824, "uint16")
    write_band(folder / name / f"{name}_QA_PIXEL.TIF", clear if qa is None else qa, 30, nodata=1)
    groups = {
        "PRODUCT_CONTENTS": {"LANDSAT_PRODUCT_ID": name, "PROCESSING_LEVEL": level, "COLLECTION_NUMBER": "02"}
        | keys,
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f"LANDSAT_{craft}",
            "DATE_ACQUIRED": f"{day[:4]}-{day[4:6]}-{day[6:]}",
            "CLOUD_COVER": "6.34",
            "SUN_ELEVATION": "30.0",
        },
    }
    if two:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = _factors(
            "REFLECTANCE", reflective, "2.75e-05", "-0.2"
        )
        heated = _factors("TEMPERATURE", [f"ST_B{heat}"], "0.00341802", "149.0")
        groups["LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"] = heated
    groups["LEVEL1_RADIOMETRIC_RESCALING"] = _factors("REFLECTANCE", reflective, "2.0000E-05", "-0.100000")
    for ending in formats:
        (folder / name / f"{name}_MTL.{ending}").write_text(_mtl(groups, ending))
    return folder / name


def _factors(what: str, bands, scale: str, offset: str) -> dict[str, str]:
    return {
        f"{what}_{word}_BAND_{n}": text for word, text in (("MULT", scale), ("ADD", offset)) for n in bands
    }


def _mtl(groups: Mapping[str, Mapping[str, str]], ending: str) -> str:
    if ending == "json":
        import json

        return json.dumps({"LANDSAT_METADATA_FILE": groups})
    if ending == "xml":
        inner = "".join(
            f"<{group}>" + "".join(f"<{key}>{text}</{key}>" for key, text in keys.items()) + f"</{group}>"
            for group, keys in groups.items()
        )
        return f'<?xml version="1.0"?><LANDSAT_METADATA_FILE>{inner}</LANDSAT_METADATA_FILE>'
    lines = ["GROUP = LANDSAT_METADATA_FILE"]
    for group, keys in groups.items():
        lines += [f"  GROUP = {group}"]
        lines += [
            f"    {k} = {v}" if v[:1].isdigit() or v[:1] == "-" else f'    {k} = "{v}"'
            for k, v in keys.items()
        ]
        lines += [f"  END_GROUP = {group}"]
    return "\n".join([*lines, "END_GROUP = LANDSAT_METADATA_FILE", "END", ""])


def make_radar(
    folder: Path, *, day: str = "20210705", left: float = LEFT, seed: int = 0
) -> tuple[Path, Path]:
    """VV and VH of a terrain-corrected Sentinel-1 image, in dB."""
    rng = np.random.default_rng(seed)
    stem = f"S1A_IW_{day}T095012_DVP_RTC10_G_gpuned_1234"
    vv, vh = (
        write_band(
            folder / f"{stem}_{name}.tif", rng.normal(level, 2, (96, 96)).astype("float32"), 10, left=left
        )
        for name, level in (("VV", -9), ("VH", -16))
    )
    return vv, vh


def packed(folder: Path, archive: Path, *, inside: bool = True) -> Path:
    """A folder as ``.zip`` or ``.tar``; with ``inside`` the folder itself is in it, else what it holds."""
    base = folder.parent if inside else folder
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packing:
            for one in files:
                packing.write(one, one.relative_to(base))
    else:
        with tarfile.open(archive, "w") as packing:
            for one in files:
                packing.add(one, one.relative_to(base))
    return archive
