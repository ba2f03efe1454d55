"""Splits of images with a class: as a table says, at random, by place; what leaks is said."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jido.data.chip_splits import split_chips
from jido.data.chips import Chips
from jido.data.places import (
    EARTH_M,
    lonlat_column,
    nearest_m,
    square_side_m,
    squares,
    usual_distance_m,
    with_places,
)
from jido.data.splits import PARTS
from jido.errors import FoldsError, LabelsError
from jido.geo import Band

EUROSAT = Path(__file__).parents[2] / "shared/data/eurosat"
DEGREE = np.pi / 180 * EARTH_M
"""Metres."""


def chips_of(counts, *, lonlat=None, pixel_m=None, side=4):
    """Images of classes a, b, ...: so many of each, all different."""
    label = np.repeat(np.arange(len(counts)), counts)
    classes = tuple("abcdefgh"[: len(counts)])
    name = np.array([f"{classes[k]}/{i:04}.png" for i, k in enumerate(label)])
    images = np.arange(len(label) * side**2, dtype=np.uint32).reshape(-1, 1, side, side)
    return Chips(images, label, name, classes, (Band("x"),), lonlat=lonlat, pixel_m=pixel_m)


def line(*metres):
    """Places on the equator, metres east of Greenwich."""
    return np.array([(m / DEGREE, 0.0) for m in metres])


def table(path, said, column="part"):
    rows = "".join(f"{name},{part}\n" for name, part in said)
    path.write_text(f"image,{column}\n{rows}", encoding="utf-8")
    return f"{path}:{column}"


def sizes(split):
    return [len(split.places(part)) for part in PARTS]


# -- at random ---------------------------------------------------------------------------------


def test_every_class_is_dealt_out_by_its_shares():
    chips = chips_of([100, 20, 3])
    split = split_chips(chips)
    for label, expected in enumerate(([70, 15, 15], [14, 3, 3], [1, 1, 1])):
        assert [np.count_nonzero((split.part == part) & (chips.label == label)) for part in PARTS] == expected
    assert (split.part != split_chips(chips, seed=1).part).any()
    assert (split.part == split_chips(chips).part).all()
    assert (split.leaks, split.touching) == (True, None)
    assert split.kind == "random images (leaking: neighbours may stand on both sides)"
    assert (split.group == np.arange(123)).all()


def test_the_order_of_the_images_does_not_matter():
    chips = chips_of([30, 30])
    mixed = np.random.default_rng(0).permutation(60)
    assert (split_chips(chips.subset(mixed)).part == split_chips(chips).part[mixed]).all()


def test_shares_and_classes_that_cannot_be_are_refused():
    with pytest.raises(FoldsError, match="three numbers above 0"):
        split_chips(chips_of([9, 9]), shares=(1, 0, 1))
    with pytest.raises(FoldsError, match="class 'b' has 2 images but"):
        split_chips(chips_of([9, 2]))
    with pytest.raises(FoldsError, match="not both"):
        split_chips(chips_of([9, 9]), table="t.csv:x", by_place=True)
    with pytest.raises(FoldsError, match="-5 m is no length"):
        split_chips(chips_of([9, 9]), ground_m=-5)
    chips = chips_of([9, 9])
    with pytest.raises(LabelsError, match="18 images have no class"):
        split_chips(replace(chips, label=np.full(18, -1)))


# -- as a table says ---------------------------------------------------------------------------

SIX = ("a/0000", "a/0001", "a/0002", "b/0003", "b/0004", "b/0005")


def test_a_table_is_taken_at_its_word(tmp_path):
    words = ("Training", "validation", "TEST", "train", "", "dev")
    split = split_chips(chips_of([3, 3]), table=table(tmp_path / "t.csv", zip(SIX, words, strict=True)))
    assert split.part.tolist() == ["train", "val", "test", "train", "", "val"]
    assert (
        split.kind == "as given in t.csv, column part (whether neighbours stand on both sides is not known)"
    )
    assert split.leaks
    assert split.notes == ("There is no test image of b.",)


def test_images_without_a_row_are_not_used(tmp_path):
    said = zip(SIX[:5], ("train", "val", "test", "train", "val"), strict=True)
    split = split_chips(chips_of([3, 4]), table=table(tmp_path / "t.csv", said))
    assert split.part.tolist() == ["train", "val", "test", "train", "val", "", ""]


@pytest.mark.parametrize(
    ("said", "error", "says"),
    [
        (
            [*zip(SIX, ["train", "val"] * 3, strict=True), ("a/7", "test"), ("a/8", "test"), ("a/9", "")],
            LabelsError,
            r"t\.csv uses a/7, a/8 in column 'part', but no such images were given: give them too",
        ),
        (
            [*zip(SIX, ["train", "val"] * 3, strict=True), (SIX[0], "test")],
            LabelsError,
            r"says 'test' and 'train' of a/0000\.png in column 'part'",
        ),
        (zip(SIX, ["train", "later"] * 3, strict=True), LabelsError, r"holds 'later' in column 'part'"),
        (zip(SIX, ["train"] * 3 + ["val"] * 3, strict=True), FoldsError, "No image of b is left to train on"),
        (zip(SIX, ["train", "test"] * 3, strict=True), FoldsError, "No image is left to validate with"),
        ([("x", "train")], LabelsError, r"t\.csv lacks a/0000\.png, .* of 6 images"),
    ],
)
def test_bad_tables_are_refused(tmp_path, said, error, says):
    with pytest.raises(error, match=says):
        split_chips(chips_of([3, 3]), table=table(tmp_path / "t.csv", said))


def test_the_table_of_a_split_may_tell_places_too(tmp_path):
    chips = chips_of([3, 3])
    file = tmp_path / "t.csv"
    file.write_text("image,part,lat,Lon\na/0000,train,1,2\na/0001,val,,\n", encoding="utf-8")
    found = with_places(chips, split=f"{file}:part").lonlat
    assert found[0].tolist() == [2, 1]
    assert np.isnan(found[1:]).all()
    placed = replace(chips, lonlat=np.zeros((6, 2)))
    assert with_places(placed, split=f"{file}:part") is placed  # the files know better
    with pytest.raises(LabelsError, match=r"t\.csv lacks a/0002\.png"):
        with_places(placed, file)  # a table that is given for that
    file.write_text("image,part,y,x\na/0000,train,1,2\n", encoding="utf-8")
    assert with_places(chips, split=f"{file}:part") is chips
    assert with_places(chips) is chips
    file.write_text("image,part,lat,lon\na/0000,train,1000,2\n", encoding="utf-8")
    with pytest.raises(LabelsError, match="latitude 1000: give degrees"):
        with_places(chips, split=f"{file}:part")


# -- what touches ------------------------------------------------------------------------------


def test_touching_counts_test_images_nearer_than_the_diagonal(tmp_path):
    # images of 4 pixels of 10 m: diagonal 56.6 m; two of four test images have a training image that near
    lonlat = line(0, 1000, 50, 950, 60, 2000)
    words = ("train", "train", "test", "test", "test", "test")
    place = table(tmp_path / "t.csv", [*zip(SIX, words, strict=True), ("b/0006", "val")])
    chips = chips_of([1, 6], lonlat=np.vstack([lonlat, line(9000)]), pixel_m=(10, 10))
    names = np.array([f"{name}.png" for name in (*SIX, "b/0006")])
    split = split_chips(replace(chips, name=names), table=place)
    assert split.touching == 0.5
    assert split.leaks
    assert (
        split.kind
        == "as given in t.csv, column part (leaking: 50% of the test images touch a training image)"
    )
    apart = replace(chips, name=names, lonlat=chips.lonlat * 100)
    split = split_chips(apart, table=place)
    assert (split.touching, split.leaks, split.kind) == (0, False, "as given in t.csv, column part")
    apart.lonlat[3] = np.nan
    assert split_chips(apart, table=place).leaks  # nobody knows of one
    near = split_chips(replace(chips, name=names, pixel_m=None), table=place, ground_m=50)  # diagonal 70.7 m
    assert near.touching == 0.75


def test_distances_are_those_on_the_sphere_also_across_the_date_line():
    assert nearest_m(np.array([[0.0, 0.0]]), np.array([[0.0, 90.0]])) == pytest.approx(np.pi / 2 * EARTH_M)
    assert nearest_m(np.array([[179.9, 0]]), np.array([[-179.9, 0]])) == pytest.approx(0.2 * DEGREE)
    assert nearest_m(np.array([[20.0, 60.0]]), np.array([[20.01, 60.0]])) == pytest.approx(
        0.005 * DEGREE, rel=1e-3
    )
    unknown = np.array([[np.nan, np.nan]])
    assert np.isinf(nearest_m(unknown, line(0))).all()
    assert np.isinf(nearest_m(line(0), unknown)).all()


def test_the_side_of_an_image_is_guessed_from_images_side_by_side():
    rng = np.random.default_rng(0)
    pairs = np.repeat(rng.uniform(-1e6, 1e6, 60), 2)
    pairs[1::2] += 640
    assert usual_distance_m(line(*pairs, *pairs)) == pytest.approx(640, rel=1e-6)
    assert usual_distance_m(line(5)) is None
    chips = chips_of([60, 60], lonlat=line(*pairs))
    assert "was taken for 640 m" in split_chips(chips).notes[0]


# -- by place ----------------------------------------------------------------------------------


def test_squares_are_as_large_at_every_latitude():
    rng = np.random.default_rng(0)
    for lat in (0, 45, 70):
        lonlat = np.stack([rng.uniform(0, 5, 4000), rng.uniform(lat, lat + 5, 4000)], axis=1)
        count = len(np.unique(squares(lonlat, 50_000)))
        area = 25 * DEGREE**2 * np.cos(np.radians(lat + 2.5))
        assert count == pytest.approx(area / 50_000**2, rel=0.25)  # those at the rim are cut
    assert squares(np.array([[np.nan, 1.0], [3.0, 1.0]]), 1000).tolist() == [-1, 0]


def test_sides_of_squares_leave_sixty_or_four_images():
    grid = np.stack(np.meshgrid(np.arange(100) * 0.01, np.arange(100) * 0.01), axis=-1).reshape(-1, 2)
    side = square_side_m(grid, 100)
    assert side == 10_000
    assert len(np.unique(squares(grid, side))) >= 60
    assert square_side_m(grid, 5000) == 20_000


@pytest.fixture(scope="module")
def country():
    """3,000 images of three classes, in clusters, of 4 pixels of 100 m."""
    rng = np.random.default_rng(0)
    towns = rng.uniform((10, 50), (11, 51), (100, 2))
    lonlat = np.repeat(towns, 30, axis=0) + rng.normal(0, 0.01, (3000, 2))
    chips = chips_of([1500, 1000, 500], lonlat=lonlat, pixel_m=(100, 100))
    return chips.subset(rng.permutation(3000))


def test_by_place_nothing_touches_and_every_part_has_its_share(country):
    shuffled = replace(country, lonlat=country.lonlat[np.random.default_rng(1).permutation(3000)])
    split = split_chips(shuffled, by_place=True)
    assert (split.leaks, split.touching) == (False, 0)
    assert split.buffer_m == pytest.approx(400 * 2**0.5)
    assert split.kind.startswith("by place: ")
    assert "squares of 10 km with a gap of 566 m" in split.kind
    for label, total in enumerate((1500, 1000, 500)):
        n = [np.count_nonzero((split.part == part) & (shuffled.label == label)) for part in PARTS]
        assert np.array(n) / total == pytest.approx([0.7, 0.15, 0.15], abs=0.04)
    assert (split_chips(shuffled, by_place=True, seed=1).part != split.part).any()
    for group in np.unique(split.group):
        assert len(set(split.part[split.group == group]) - {""}) <= 1


def test_a_buffer_keeps_all_parts_apart(country):
    split = split_chips(country, by_place=True, buffer_m=3000, block_m=8000)
    places = [country.lonlat[split.part == part] for part in PARTS]
    for here, there in ((0, 1), (0, 2), (1, 2)):
        assert nearest_m(places[here], places[there]).min() >= 3000
    unused = np.count_nonzero(split.part == "")
    assert split.notes[0] == f"{unused:,} images in the gaps between the parts are not used."
    assert "squares of 8,000 m with a gap of 3,000 m" in split.kind
    none = split_chips(country, by_place=True, buffer_m=1e-6, block_m=1000)
    assert (none.part != "").all()
    assert none.leaks  # and this is said
    assert "leaking" in none.kind


def test_by_place_needs_places_and_squares(country):
    with pytest.raises(FoldsError, match=r"No image has a place, .* table with the latitude and longitude"):
        split_chips(replace(country, lonlat=None), by_place=True)
    lonlat = country.lonlat.copy()
    lonlat[7] = np.nan
    with pytest.raises(FoldsError, match=rf"1 images have no place, {country.name[7]} for one"):
        split_chips(replace(country, lonlat=lonlat), by_place=True)
    with pytest.raises(FoldsError, match=r"lie in \d squares of 5000 km, but .*smaller squares"):
        split_chips(country, by_place=True, block_m=5e6)
    with pytest.raises(FoldsError, match=r"(is left to train on|is left to validate with) \(by place"):
        split_chips(country, by_place=True, buffer_m=1e6)


def test_groups_are_squares_and_images_without_a_place_are_their_own(country):
    lonlat = country.lonlat.copy()
    lonlat[:5] = np.nan
    split = split_chips(replace(country, lonlat=lonlat), block_m=20_000)
    assert len(np.unique(split.group[:5])) == 5
    assert not np.isin(split.group[:5], split.group[5:]).any()
    assert len(np.unique(split.group[5:])) < 40


# -- twins -------------------------------------------------------------------------------------


def test_the_same_image_in_two_parts_or_of_two_classes_is_told(tmp_path):
    chips = chips_of([3, 3])
    chips.images[4] = chips.images[0]
    words = ("train", "val", "test", "train", "train", "val")
    split = split_chips(chips, table=table(tmp_path / "t.csv", zip(SIX, words, strict=True)))
    assert split.notes[1:] == (
        "1 images occur twice to the last pixel and are of two classes: a/0000.png and b/0004.png for one.",
    )
    words = ("train", "val", "test", "train", "test", "val")
    split = split_chips(chips, table=table(tmp_path / "t.csv", zip(SIX, words, strict=True)))
    assert len(split.notes) == 2
    assert "stand in two parts: a/0000.png and b/0004.png" in "".join(split.notes)


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not EUROSAT.exists(), reason="eurosat is not at ../shared/data")
def test_the_splits_of_eurosat_have_the_known_sizes_and_leaks():
    index = EUROSAT / "eurosat_index.csv.gz"
    with gzip.open(index, "rt") as file:
        name = np.array([row.split(",")[0] for row in file][1:])
    classes, label = np.unique([text.split("/")[0] for text in name], return_inverse=True)
    images = np.arange(len(name), dtype=np.int64).reshape(-1, 1, 1, 1)  # of places only
    chips = Chips(images, label, name, tuple(classes.tolist()), (Band("x"),))
    placed = replace(chips, lonlat=lonlat_column(index, name.tolist()))
    known = {
        "vir_seed42": ([18_900, 4_050, 4_050], 1_709),
        "torchgeo_random": ([16_200, 5_400, 5_400], 2_101),
        "torchgeo_spatial": ([16_200, 5_400, 5_400], 0),
        "gem0": ([300, 200, 19_500], 205),
    }
    for column, (expected, touching) in known.items():
        split = split_chips(placed, table=f"{index}:{column}", ground_m=640)
        assert sizes(split) == expected
        assert split.touching == pytest.approx(touching / expected[2])
        assert split.leaks == (touching > 0)
    assert usual_distance_m(placed.lonlat) == pytest.approx(640, rel=0.02)
    assert sizes(split_chips(chips)) == [18_900, 4_050, 4_050]
    apart = split_chips(placed, by_place=True, ground_m=640)
    assert (apart.leaks, apart.touching) == (False, 0)
    assert sizes(apart) == pytest.approx([18_900, 4_050, 4_050], rel=0.03)
    assert len(np.unique(apart.group[apart.part == "test"])) >= 20
