"""Splits of tiles: groups stay whole, strips stay apart, targets are on all sides."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jido.data.cutting import tile_windows
from jido.data.splits import PARTS, split_tiles
from jido.data.tiles import Tiles, packed
from jido.errors import FoldsError, LabelsError
from jido.geo import Band

SIDE = 16


def tiles_of(sizes, *, groups=None, without=()):
    """Tiles of images of these sizes, name -> (height, width); all are positive but those of ``without``."""
    source, place = [], []
    for name, size in sizes.items():
        for rows, cols in tile_windows(size, SIDE):
            source.append(name)
            place.append((rows.start, cols.start))
    masks = np.zeros((len(source), SIDE, SIDE), dtype=bool)
    masks[~np.isin(source, without), 4:8, 4:8] = True
    return Tiles(
        images=np.zeros((len(source), 1, SIDE, SIDE), dtype=np.uint8),
        masks=packed(masks),
        valid=None,
        source=np.array(source),
        place=np.array(place),
        group=np.array(source if groups is None else [groups[name] for name in source]),
        bands=(Band("grey"),),
    )


def many(n, **options):
    return tiles_of({f"i{k:02}": (SIDE, SIDE * (1 + k % 3)) for k in range(n)}, **options)


def table(path, **said):
    path.write_text("image,part\n" + "".join(f"{name},{part}\n" for name, part in said.items()))
    return f"{path}:part"


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_positives_are_spread(seed):
    names = [f"i{k:02}" for k in range(30)]
    tiles = many(30, groups={name: f"g{k % 12}" for k, name in enumerate(names)}, without=names[::2])
    split = split_tiles(tiles, seed=seed, groups="folder/sites.csv:site")
    assert split.kind == "by group (column site of sites.csv)"
    for group in np.unique(tiles.group):
        assert len(np.unique(split.part[tiles.group == group])) == 1
    for part, share in zip(PARTS, (0.6, 0.2, 0.2), strict=True):
        assert tiles.positive()[split.places(part)].any()
        assert (split.part == part).mean() == pytest.approx(share, abs=0.15)


def test_a_split_follows_from_the_seed_alone():
    tiles = many(20)
    first, again, other = (split_tiles(tiles, seed=seed).part for seed in (3, 3, 4))
    assert (first == again).all()
    assert (first != other).any()
    assert split_tiles(tiles).kind == "by image"


@pytest.mark.parametrize("n", [3, 4, 5])
def test_every_part_gets_a_group_with_target(n):
    """Also where one group holds nearly all."""
    sizes = {f"i{k}": (SIDE, SIDE) for k in range(n)} | {"i0": (SIDE, 30 * SIDE)}
    groups = {name: f"g{name}" for name in sizes}
    for seed in range(10):
        tiles = tiles_of(sizes, groups=groups)
        split = split_tiles(tiles, seed=seed)
        assert all(len(split.places(part)) for part in PARTS)
        assert (split.part != "").all()


def test_too_few_groups_with_target_are_refused():
    with pytest.raises(FoldsError, match="of 6 groups 2 have any: give more images"):
        split_tiles(many(6, without=["i00", "i01", "i02", "i03"]))
    groups = {f"i{k:02}": "east" if k < 3 else "west" for k in range(6)}
    with pytest.raises(FoldsError, match="of 2 groups 2 have any"):
        split_tiles(many(6, groups=groups))


# -- strips ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 16 * 5), (16 * 5, 32), (70, 209), (300, 100), (50, 16 * 40 + 7)])
def test_tiles_of_two_strips_are_a_tile_apart(size):
    tiles = tiles_of({"a": size, "b": size})
    split = split_tiles(tiles)
    assert split.kind == "strips of 2 images with a gap of one tile"
    assert set(split.part) == {*PARTS, ""}
    longer = int(np.argmax(size))
    for name in "ab":
        ends = []
        for part in PARTS:
            here = tiles.place[(tiles.source == name) & (split.part == part), longer]
            ends += [here.min(), here.max() + SIDE]
        assert ends == sorted(ends)
        assert min(ends[2] - ends[1], ends[4] - ends[3]) >= SIDE
        assert (ends[0], ends[-1]) == (0, size[longer])


def test_strips_have_about_their_shares():
    split = split_tiles(tiles_of({"a": (48, 50 * SIDE)}))
    assert split.kind == "strips of one image with a gap of one tile"
    counts = np.array([len(split.places(part)) for part in PARTS])
    assert (counts / counts.sum()) == pytest.approx([0.6, 0.2, 0.2], abs=0.02)
    assert (split.part == "").sum() == 2 * 3
    halves = split_tiles(tiles_of({"a": (48, 50 * SIDE)}), shares=(2, 1, 1))
    assert len(halves.places("train")) == 24 * 3


def test_an_image_too_short_for_strips_is_trained_on():
    split = split_tiles(tiles_of({"long": (16, 16 * 9), "short": (16 * 4, 16 * 4)}))
    assert split.kind.endswith("all of short in train, too short for strips")
    with pytest.raises(LabelsError, match="No tile is left to validate with"):
        split_tiles(tiles_of({"short": (16 * 4, 16 * 4)}))


def test_training_without_target_is_refused():
    tiles = tiles_of({"a": (16, 160)})
    empty = Tiles(**(vars(tiles) | {"masks": tiles.masks * (np.arange(10) > 8)[:, None].astype(np.uint8)}))
    with pytest.raises(LabelsError, match="No training tile of 10 has any target"):
        split_tiles(empty)


def test_validation_without_target_is_refused(tmp_path):
    said = {"a": "train", "b": "val", "c": "test"}
    tiles = tiles_of(dict.fromkeys(said, (SIDE, SIDE)), without=["b"])
    with pytest.raises(LabelsError, match=r"None of the 1 tiles to validate with .*as given in t\.csv"):
        split_tiles(tiles, table=table(tmp_path / "t.csv", **said))


# -- a given split -----------------------------------------------------------------------------


def test_a_table_is_taken_at_its_word(tmp_path):
    said = {"a": "Training", "b": "dev", "c": "TEST", "d": "val", "e": "validation", "f": "train"}
    tiles = tiles_of(dict.fromkeys(said, (SIDE, SIDE)))
    split = split_tiles(tiles, table=table(tmp_path / "tiles.csv", **said))
    assert split.part.tolist() == ["train", "val", "test", "val", "val", "train"]
    assert split.kind == "as given in tiles.csv"


def test_a_table_that_tears_a_group_apart_is_refused(tmp_path):
    said = {"a": "train", "b": "val", "c": "test", "d": "test"}
    place = table(tmp_path / "t.csv", **said)
    groups = {"a": "north", "b": "south", "c": "west", "d": "south"}
    tiles = tiles_of(dict.fromkeys(said, (SIDE, SIDE)), groups=groups)
    with pytest.raises(FoldsError, match=r"t\.csv puts group south into test and val, which would leak"):
        split_tiles(tiles, table=place)


def joined(n, together):
    """Tiles of images of which the first ones show the same ground."""
    names = [f"i{k:02}" for k in range(n)]
    tiles = many(n, groups={name: names[0] if k < together else name for k, name in enumerate(names)})
    return replace(tiles, group_as_named=tiles.source)


def test_images_of_one_ground_are_never_parted():
    for seed in range(5):
        tiles = joined(8, 4)
        split = split_tiles(tiles, seed=seed)
        assert len(np.unique(split.part[tiles.group == "i00"])) == 1
        assert (split.kind, split.leaks) == ("by image, overlapping ones together", False)


def test_few_images_of_one_ground_are_not_cut_into_strips():
    with pytest.raises(FoldsError, match=r"of 1 groups 1 have any .*images of one ground .*gdalbuildvrt"):
        split_tiles(joined(2, 2))


def test_a_table_that_parts_one_ground_is_kept_and_called_leaking(tmp_path, caplog):
    said = {f"i{k:02}": PARTS[k % 3] for k in range(6)}
    split = split_tiles(joined(6, 2), table=table(tmp_path / "t.csv", **said))
    assert split.part[:3].tolist() == ["train", "val", "val"]
    assert (split.kind, split.leaks) == ("as given in t.csv (leaking)", True)
    assert "same ground (i00 and others) into train and val" in caplog.text
    said["i01"] = "train"
    assert not split_tiles(joined(6, 2), table=table(tmp_path / "t.csv", **said)).leaks


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            {"a": "train", "b": "holdout", "c": "val"},
            r"t\.csv holds 'holdout' in column 'part': write train",
        ),
        ({"a": "train", "b": "test", "c": "test"}, "No tile is left to validate with"),
        ({"a": "test", "b": "test", "c": "val"}, "No training tile of 3"),
        ({"a": "train", "b": "val"}, r"t\.csv lacks c of 3 images"),
    ],
)
def test_bad_tables_are_refused(tmp_path, said, says):
    tiles = tiles_of(dict.fromkeys("abc", (SIDE, SIDE)))
    with pytest.raises(LabelsError, match=says):
        split_tiles(tiles, table=table(tmp_path / "t.csv", **said))


COURTS = Path(__file__).parents[2] / "shared/data/courts"


@pytest.mark.skipif(not COURTS.exists(), reason="courts is not at ../shared/data")
def test_the_table_of_the_courts_gives_their_split():
    names = [path.name for part in PARTS for path in sorted((COURTS / part / "images").iterdir())]
    tiles = tiles_of(dict.fromkeys(names, (SIDE, SIDE)), groups={n: n.split("_")[0] for n in names})
    given = split_tiles(tiles, table=f"{COURTS}/tiles.csv:split")
    assert [len(given.places(part)) for part in PARTS] == [430, 158, 154]
    dealt = split_tiles(tiles)
    assert [len(dealt.places(part)) for part in PARTS] == pytest.approx([445, 148, 149], abs=10)
