"""Class schemes: codes, names, colours, and how a class is written in other people's files."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Sequence
from colorsys import hls_to_rgb
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import numpy as np

from jido.errors import LabelsError


@dataclass(frozen=True)
class LandClass:
    """One class: whole-number ``code`` as in a map, short ``label``, full ``name``, ``#RRGGBB``."""

    code: int
    label: str
    name: str
    color: str

    def __post_init__(self) -> None:
        if not re.fullmatch("#[0-9A-Fa-f]{6}", self.color) or not self.label.isprintable():
            raise LabelsError(
                f"Class {self.code} has the label {self.label!r} and the colour {self.color!r}: "
                "give a label that can be printed and a colour like #1A9850."
            )

    @property
    def rgb(self) -> tuple[int, int, int]:
        """Red, green, blue, 0..255."""
        value = int(self.color.lstrip("#"), 16)
        return (value >> 16, value >> 8 & 255, value & 255)


@dataclass(frozen=True, eq=False)
class ClassScheme:
    """A closed list of classes.

    Args:
        name: ``lcz`` or a name of the user's.
        classes: in the order of probability planes and confusion matrices.
        weights: (K, K) similarity of truth and prediction, 0..1, 1 on the diagonal, or ``None``.
        built: codes of the classes that count as built-up, for OAu and OAbu.
        codings: other ways of writing a class, ``coding name -> {text: code}``.

    Raises:
        LabelsError: when codes are not different whole numbers from 1 to 254.
    """

    name: str
    classes: tuple[LandClass, ...]
    weights: np.ndarray | None = None
    built: frozenset[int] = frozenset()
    codings: dict[str, dict[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = sorted({code for code in self.codes if not 1 <= code <= 254})
        if wrong or len(set(self.codes)) < len(self.codes):
            raise LabelsError(
                f"The class scheme {self.name!r} needs different codes from 1 to 254 (0 is no label, 255 no "
                f"data), not {', '.join(map(str, wrong or self.codes))}."
            )

    def to_dict(self) -> dict[str, Any]:
        """All but the codings, JSON-ready."""
        return {
            "name": self.name,
            "classes": [asdict(c) for c in self.classes],
            "weights": None if self.weights is None else self.weights.tolist(),
            "built": sorted(self.built),
        }

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> ClassScheme:
        """The opposite of :meth:`to_dict`; classes may be written as code, label or name."""
        classes = tuple(LandClass(**c) for c in facts["classes"])
        plain = {
            "codes": {str(c.code): c.code for c in classes},
            "labels": {c.label.upper(): c.code for c in classes},
            "names": {c.name.upper(): c.code for c in classes},
        }
        return cls(
            name=facts["name"],
            classes=classes,
            weights=None if facts["weights"] is None else np.array(facts["weights"]),
            built=frozenset(facts["built"]),
            codings=_lcz_codings(classes) if facts["name"] == "lcz" else plain,
        )

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes in order."""
        return tuple(c.code for c in self.classes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Short labels in order."""
        return tuple(c.label for c in self.classes)

    @property
    def palette(self) -> dict[int, tuple[int, int, int, int]]:
        """Code -> red, green, blue, alpha, 0..255, as a GeoTIFF takes it."""
        return {c.code: (*c.rgb, 255) for c in self.classes}

    def index(self, codes: np.ndarray) -> np.ndarray:
        """Place of each code in the scheme (int64, same shape); -1 for codes that are no class."""
        codes = np.asarray(codes)
        place = np.full(codes.shape, -1, dtype=np.int64)
        for i, code in enumerate(self.codes):
            place[codes == code] = i
        return place

    def subset(self, codes: Sequence[int]) -> ClassScheme:
        """The scheme with these classes only, in scheme order."""
        keep = [i for i, code in enumerate(self.codes) if code in set(codes)]
        weights = None if self.weights is None else self.weights[np.ix_(keep, keep)]
        classes = tuple(self.classes[i] for i in keep)
        return ClassScheme(self.name, classes, weights, self.built, self.codings)

    def parse(self, text: object) -> tuple[int, str] | None:
        """Class code and coding of a class as written in a file, or ``None`` when it is no class.

        Takes numbers, letters, names, and folder names such as ``LCZ 3``, ``lcz_A``,
        ``3 - Compact lowrise`` and ``1 (#2)`` (how GDAL names a second folder ``1``).
        """
        token = re.sub(r"\s*\(#\d+\)$", "", str(text).strip())
        token = re.sub(rf"^{re.escape(self.name)}[\s_:-]*(?=\S)", "", token, flags=re.IGNORECASE)
        for candidate in (token, re.split(r"[\s_:]|[.,-](?!\d)", token, maxsplit=1)[0]):
            key = re.sub(r"\.0+$", "", candidate).upper()
            for coding, table in self.codings.items():
                if key in table:
                    return table[key], coding
        return None


def _lcz_codings(classes: Sequence[LandClass]) -> dict[str, dict[str, int]]:
    """Every way LCZ classes are written in the wild; no text means two things.

    WRF knows eleven urban classes at an offset of 30 or 50: LCZ 1-10 and, in place 11, asphalt,
    which is LCZ E (URBPARM_LCZ.TBL).
    """
    built = [c for c in classes if c.code <= 10]
    natural = [c for c in classes if c.code > 10]
    wrf = {c.code: c.code for c in built} | {11: 15}
    return {
        "standard codes 1-17": {str(c.code): c.code for c in classes},
        "letters A-G": {c.label: c.code for c in natural},
        "class names": {c.name.upper(): c.code for c in classes},
        "class names with a hyphen or 'or'": {
            other.upper(): c.code
            for c in classes
            if (other := c.name.replace("rise", "-rise").replace(", ", " or ")) != c.name
        },
        "codes 101-107": {str(90 + c.code): c.code for c in natural},
        "WRF codes (+30)": {str(30 + i): code for i, code in wrf.items()},
        "WRF codes (+50)": {str(50 + i): code for i, code in wrf.items()},
    }


@functools.cache
def lcz_scheme() -> ClassScheme:
    """The 17 Local Climate Zones: codes 1-10 built, 11-17 natural (letters A-G).

    Classes: Stewart and Oke 2012, doi 10.1175/BAMS-D-11-00019.1; colours: WUDAPT; similarity
    weights in twelfths: Bechtel et al. 2017, doi 10.3390/ijgi6070199, as used for OAw.
    """
    here = resources.files(__package__)
    rows = csv.DictReader(here.joinpath("lcz_classes.csv").read_text(encoding="utf-8").splitlines())
    classes = tuple(LandClass(int(r["code"]), r["letter"], r["name"], r["color"]) for r in rows)
    lines = here.joinpath("lcz_weights_twelfths.csv").read_text(encoding="utf-8").splitlines()[1:]
    twelfths = np.array([[int(v) for v in line.split(",")[1:]] for line in lines])
    return ClassScheme(
        name="lcz",
        classes=classes,
        weights=twelfths / 12,
        built=frozenset(c.code for c in classes if c.code <= 10),
        codings=_lcz_codings(classes),
    )


PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#332288",
    "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499",
)  # fmt: skip
"""Colours that the colour-blind can tell apart as well as may be (Okabe and Ito 2008; Tol 2021)."""


def named_scheme(name: str, classes: Sequence[str]) -> ClassScheme:
    """Classes of the user's: codes from 1 in the order given, colours of our own choice.

    Raises:
        LabelsError: for more than 254 classes, and for names that cannot be printed.
    """
    made = []
    for i, label in enumerate(classes):
        red, green, blue = (
            (int(part * 255) for part in hls_to_rgb(i * 0.618034 % 1, (0.35, 0.6)[i % 2], 0.6))
            if i >= len(PALETTE)
            else bytes.fromhex(PALETTE[i][1:])
        )
        made.append(asdict(LandClass(i + 1, label, label, f"#{red:02X}{green:02X}{blue:02X}")))
    return ClassScheme.from_dict({"name": name, "classes": made, "weights": None, "built": ()})


def binary_scheme(name: str = "target") -> ClassScheme:
    """Two classes: code 1 ``background``, code 2 what is looked for, under its own name.

    Raises:
        LabelsError: when the name is empty, or stands for something else already: ``background``, a code.
    """
    name = name.strip()
    if name.upper() in ("", "1", "2", "BACKGROUND"):
        raise LabelsError(f"The target cannot be called {name!r}: give a name of its own, such as 'field'.")
    pair = LandClass(1, "background", "background", "#F0F0F0"), LandClass(2, name, name, "#D6006E")
    classes = [asdict(one) for one in pair]
    return ClassScheme.from_dict({"name": "binary", "classes": classes, "weights": None, "built": ()})
