"""The radiometry guard on simulated scenes: every wrong one is caught, no right one is refused."""

import json

import numpy as np
import pytest
from radiometry_scenes import (
    BYTES,
    C2,
    C2_HEAT,
    CELSIUS,
    DB,
    DN,
    L1,
    LANDS,
    NEW,
    NUMBERS,
    ONE,
    PERCENT,
    POWER,
    RADAR,
    RGB,
    ROOT,
    TENTH,
    TOWN,
    K,
    as_kind,
    away,
    drone,
    echo,
    heat,
    kelvin,
    land,
    landsat,
    mixed_up,
    photo,
    radar,
    seen,
    town,
)

from jido.geo.radiometry import Conversion, Radiometry, compare


def refusals(trained, here):
    """Mismatches that refuse, through the JSON of a package."""
    kept = Radiometry.from_dict(json.loads(json.dumps(trained.to_dict(), allow_nan=False)))
    return [one for one in compare(kept, here) if one.refuses]


IN_ONE, IN_DN = seen(town()), seen(town(DN))
FIELD, FIELD_POWER, WARM = echo(-10, -17, seed=0), echo(-10, -17, POWER, seed=0), heat(300, seed=0)
SUBURB = photo(150, 128, 92, seed=0)
RGBN = ("B02", "B03", "B04", "B08")

# name -> training, scene, code, kinds that a conversion goes from and to (None: cannot be converted)
WRONG = {
    "x 10000 for reflectance": (IN_ONE, seen(town(DN, seed=1)), "scale", (DN, ONE)),
    "reflectance for x 10000": (IN_DN, seen(town(seed=1)), "scale", (ONE, DN)),
    "snow x 10000": (IN_ONE, seen(away("snow", DN)), "scale", (DN, ONE)),
    "desert x 10000": (IN_ONE, seen(away("sand desert", DN)), "scale", (DN, ONE)),
    "open sea x 10000": (IN_ONE, seen(away("open sea", DN)), "scale", (DN, ONE)),
    "sea as reflectance": (IN_DN, seen(away("open sea")), "scale", (ONE, DN)),
    "offset over lakes": (IN_DN, seen(away("lakes", NEW)), "offset", (NEW, DN)),
    "offset over a forest": (IN_DN, seen(away("forest", NEW)), "offset", (NEW, DN)),
    "offset in a city, told by its likeness": (
        seen(away("dense city", DN)),
        seen(as_kind(NEW, land(LANDS["dense city"], seed=7))), "offset", (NEW, DN)),
    "no offset where training had it": (
        seen(town(NEW)), seen(away("burnt forest", DN)), "offset", (DN, NEW)),
    "offset left in reflectance": (IN_ONE, seen(away("summer fields", TENTH)), "offset", (TENTH, ONE)),
    "offset of a desert, by its metadata": (
        IN_DN, seen(away("sand desert", NEW), offset=True, dtype="uint16", words="baseline 05.09"),
        "offset", (NEW, DN)),
    "offset that the metadata denies": (
        IN_DN, seen(away("lakes", NEW), offset=False, dtype="uint16", words="baseline 02.09"),
        "offset", (NEW, DN)),
    "x 10000 that its metadata calls reflectance": (
        IN_ONE, seen(town(DN, seed=1), unit="reflectance", words="unit reflectance"), "scale", (DN, ONE)),
    "offset and factor": (IN_ONE, seen(away("lakes", NEW)), "scale", (NEW, ONE)),
    "percent for reflectance": (IN_ONE, seen(town(PERCENT, seed=1)), "scale", (PERCENT, ONE)),
    "percent for x 10000": (IN_DN, seen(town(PERCENT, seed=1)), "scale", (PERCENT, DN)),
    "reflectance for percent": (seen(town(PERCENT)), seen(away("snow")), "scale", (ONE, PERCENT)),
    "Landsat Collection 2 for reflectance": (landsat(ONE), landsat(C2, seed=1), "scale", (C2, ONE)),
    "reflectance for Landsat Collection 2": (landsat(C2), landsat(ONE, place="snow"), "scale", (ONE, C2)),
    "x 10000 for Landsat Collection 2": (landsat(C2), landsat(DN, place="salt flat"), "scale", (DN, C2)),
    "Landsat level 1 for reflectance": (landsat(ONE), landsat(L1, seed=1), "scale", None),
    "8 bit for x 10000": (IN_DN, seen(town(BYTES, seed=1)), "8-bit", None),
    "8 bit for reflectance": (IN_ONE, seen(away("forest", BYTES), dtype="uint8"), "8-bit", None),
    "standardised numbers": (IN_ONE, seen((town(seed=1) - 0.2) / 0.1), "unknown", None),
    "one value everywhere": (IN_ONE, seen(np.full((10, 2000), 0.2)), "constant", None),
    "zeros everywhere": (IN_ONE, seen(np.zeros((10, 2000))), "constant", None),
    "level 1 for level 2": (
        seen(town(), level="2", words="Level-2A"), seen(town(seed=1), level="1", words="Level-1C"),
        "level", None),
    "B8 and B2 exchanged": (IN_ONE, mixed_up(6, 1, 2, 3, 4, 5, 0, 7, 8, 9), "order", None),
    "B8 and B2 exchanged in a forest": (
        IN_ONE, seen(away("forest")[[6, 1, 2, 3, 4, 5, 0, 7, 8, 9]]), "order", None),
    "red and near infrared exchanged": (IN_ONE, mixed_up(0, 1, 6, 3, 4, 5, 2, 7, 8, 9), "order", None),
    "bands reversed": (IN_ONE, mixed_up(*range(9, -1, -1)), "order", None),
    "bands reversed, and x 10000": (IN_ONE, seen(town(DN, seed=1)[::-1]), "order", None),
    "four bands, near infrared first": (
        seen(town()[[0, 1, 2, 6]], RGBN), seen(town(seed=1)[[6, 0, 1, 2]], RGBN), "order", None),
    "power for decibels": (FIELD, echo(-9, -15, POWER), "decibels", (POWER, DB)),
    "power of calm water for decibels": (FIELD, echo(-25, -33, POWER), "decibels", (POWER, DB)),
    "decibels for power": (FIELD_POWER, echo(-26, -34), "decibels", (DB, POWER)),
    "amplitude for power, by the metadata": (
        echo(-10, -17, POWER, unit="linear"), echo(-8, -14, ROOT, unit="amplitude", words="unit amplitude"),
        "scale", (ROOT, POWER)),
    "uncalibrated radar for decibels": (
        FIELD, seen(np.rint(400 * np.sqrt(radar(-8, -14, seed=1))), RADAR), "decibels", None),
    "VV and VH exchanged": (FIELD, echo(-15, -9), "order", None),
    "degrees Celsius for kelvin": (WARM, heat(280, CELSIUS), "temperature", (CELSIUS, K)),
    "thermal numbers for kelvin": (WARM, heat(310, C2_HEAT), "scale", (C2_HEAT, K)),
    "16-bit drone for 8-bit": (
        SUBURB, seen(drone((60, 90, 50), seed=1) * 257, RGB, dtype="uint16"), "8-bit", None),
    "drone from 0 to 1 for 8-bit": (
        SUBURB, seen(drone((200, 190, 180), seed=1) / 255, RGB), "8-bit", None),
    "blue, green, red for red, green, blue": (SUBURB, photo(92, 128, 150), "order", None),
    "index x 10000": (
        seen(np.random.default_rng(0).uniform(-0.2, 0.9, (1, 2000)), ("ndvi",)),
        seen(np.random.default_rng(1).uniform(-1000, 8000, (1, 2000)).round(), ("ndvi",)), "scale", None),
    "power for decibels in bands without names": (
        seen(as_kind(DB, radar(-10, -17, seed=0)), ("band1", "band2")),
        seen(radar(-5, -11, seed=1), ("band1", "band2")), "sign", None),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_scene_is_caught(name):
    trained, here, code, kinds = WRONG[name]
    found = refusals(trained, here)
    assert code in [one.code for one in found]
    first = next(one for one in found if one.code == code)
    assert first.conversion == (Conversion(*kinds) if kinds else None)
    assert "scene.tif" in first.sentence
    assert ("--convert" in first.sentence) == bool(kinds)
    assert first.sentence.endswith(".")


@pytest.mark.parametrize("kind", [ONE, DN, NEW])
@pytest.mark.parametrize("place", LANDS)
def test_another_landscape_is_right(place, kind):
    assert refusals(seen(town(kind)), seen(away(place, kind))) == []


@pytest.mark.parametrize("kind", [C2, L1, DN])
@pytest.mark.parametrize("place", LANDS)
def test_another_landscape_of_landsat_is_right(place, kind):
    assert refusals(landsat(kind), landsat(kind, seed=1, place=place)) == []


def patched(values, share, number):
    """Another number in a share of the pixels, in every band."""
    values = np.array(values)
    values[:, np.random.default_rng(2).random(values.shape[1]) < share] = number
    return values


NIGHT = land(TOWN, seed=1, light=0.02)

RIGHT = {
    "slope at night": (IN_ONE, seen(NIGHT)),
    "slope at night, x 10000": (IN_DN, seen(as_kind(DN, NIGHT), dtype="uint16")),
    "slope at night with the offset": (seen(town(NEW)), seen(as_kind(NEW, NIGHT))),
    "night of a few counts": (IN_DN, seen(as_kind(DN, land(LANDS["snow"], seed=1, light=0.0002)))),
    "sunlit snow on a slope": (IN_ONE, seen(land(LANDS["snow"], seed=1, light=1.35))),
    "hazy, not corrected": (IN_ONE, seen(town(seed=1) + np.linspace(0.09, 0, 10)[:, None])),
    "too much haze taken away over water": (IN_ONE, seen(away("open sea") - 0.012)),
    "clipped at 1": (IN_DN, seen(np.maximum(away("open sea", DN) - 60, 1))),
    "saturated cloud": (IN_DN, seen(patched(away("cloud over sea", DN), 0.2, 65535))),
    "8 x 8 pixels": (IN_ONE, seen(land(LANDS["dense city"], seed=1, n=64))),
    "8 x 8 pixels of one roof": (IN_DN, seen(np.full((10, 64), 1200.0))),
    "90 % without data": (IN_ONE, seen(patched(town(seed=1), 0.9, np.nan))),
    "90 % zeros around the swath": (seen(town(NEW)), seen(patched(town(NEW, seed=1), 0.9, 0))),
    "-9999 around the swath": (IN_DN, seen(patched(town(DN, seed=1), 0.5, -9999))),
    "averaged counts": (IN_DN, seen(town(DN, seed=1) + 0.3)),
    "trained on snow": (seen(away("snow")), seen(away("open sea"))),
    "trained on the open sea, x 10000": (seen(away("open sea", DN)), seen(away("snow", DN))),
    "metadata that agrees": (IN_ONE, seen(away("ice"), unit="reflectance", words="unit reflectance")),
    "calm sea in dB": (FIELD, echo(-26, -34)),
    "calm sea in power": (FIELD_POWER, echo(-25, -33, POWER)),
    "bright city in dB": (FIELD, echo(10, 2, spread=4)),
    "bright city in power": (FIELD_POWER, echo(2, -5, POWER, spread=4)),
    "forest in dB": (FIELD, echo(-7, -13, spread=1)),
    "sand in dB, trained on a city": (echo(-1, -8), echo(-22, -29)),
    "polar night in kelvin": (WARM, heat(225)),
    "winter in degrees Celsius": (heat(300, CELSIUS, seed=0), heat(263, CELSIUS)),
    "bright roof from a drone": (SUBURB, photo(250, 248, 240)),
    "dark forest from a drone": (SUBURB, photo(22, 35, 18)),
    "sea from a drone": (SUBURB, photo(40, 95, 120)),
    "heights of a polder and of the Alps": (
        seen(np.random.default_rng(0).normal(2500, 400, (1, 2000)), ("height",)),
        seen(np.random.default_rng(1).normal(-1, 1.5, (1, 2000)), ("height",))),
    "bands that the training did not have": (IN_ONE, FIELD),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_scene_is_not_refused(name):
    trained, here = RIGHT[name]
    assert refusals(trained, here) == []


@pytest.mark.parametrize("pair", sorted({case[3] for case in WRONG.values() if case[3]}))
def test_a_conversion_brings_the_numbers_back(pair):
    quantity = kelvin(280, seed=3) if K in pair else land(TOWN, seed=3)
    given, wanted = (NUMBERS[kind](quantity) for kind in pair)
    np.testing.assert_allclose(Conversion(*pair).apply(given), wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("source", "target", "given", "wanted"),
    [
        (DN, ONE, [0, 1530, 10000, np.nan], [0, 0.153, 1, np.nan]),
        (NEW, DN, [1000, 900, 2530], [0, -100, 1530]),
        (C2, ONE, [7273, 43636], [0.0000075, 0.99999]),
        (POWER, DB, [1, 0.01, 0], [0, -20, np.nan]),
        (DB, ROOT, [0, -20], [1, 0.1]),
        (CELSIUS, K, [0, 26.85], [273.15, 300]),
    ],
)
def test_a_conversion_gives_known_numbers(source, target, given, wanted):
    found = Conversion(source, target).apply(np.array(given, dtype=np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_hints_do_not_refuse():
    air = np.array([9, 6, 3, 2, 1, 1, 1, 1, 0, 0])[:, None] / 100
    for trained, here, codes in (
        (seen(away("lakes")), seen(away("lakes") + air), ["haze"]),
        (IN_ONE, seen(NIGHT), ["unusual"]),
        (IN_DN, seen(away("gypsum dunes", DN)), ["unsure"]),
        (IN_ONE, seen(away("lakes")), []),
    ):
        assert [(one.code, one.refuses) for one in compare(trained, here)] == [
            (code, False) for code in codes
        ]
