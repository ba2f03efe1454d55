"""Pictures of tiles: colours, pieces counted by hand, and a figure even where there is nothing to see."""

import struct
from pathlib import Path

import numpy as np
import pytest

from jido.data.tiles import Tiles, packed
from jido.geo import Band
from jido.methods.figures.pictures import (
    error_gallery,
    false_positives_picture,
    recovered_picture,
    stages_picture,
    to_rgb,
)
from jido.methods.figures.pieces import MOST, distinct, false_pieces, largest_pieces, recovered_pieces

RGB = (Band("red"), Band("green"), Band("blue"))
SIDE = 32


def block(*boxes):
    """A mask (S, S) that is true in boxes (top, left, bottom, right)."""
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def tiles_of(masks, *, images=None, bands=RGB, **others):
    masks = np.asarray(masks)
    n = len(masks)
    rng = np.random.default_rng(0)
    facts = {
        "images": rng.integers(0, 256, (n, len(bands), SIDE, SIDE), dtype=np.uint8)
        if images is None
        else images,
        "masks": packed(masks),
        "valid": None,
        "source": np.array([f"folder/image_{i}.tif" for i in range(n)]),
        "place": np.zeros((n, 2), dtype=int),
        "group": np.arange(n),
        "bands": bands,
    }
    return Tiles(**(facts | others))


def said(truth, stage1, stage2):
    """What is said of tiles, asked for by their places."""
    return lambda which: (truth[which], stage1[which], stage2[which])


@pytest.fixture
def drawn(monkeypatch):
    """All texts of the figures that are written, in order; no picture is painted."""
    texts = []

    def keep(figure, path, **_):
        from matplotlib.text import Text

        figure.canvas.draw()
        texts.extend(found.get_text() for found in figure.findobj(Text) if found.get_text())
        Path(path).write_bytes(b"")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    return texts


def test_whole_numbers_of_a_byte_are_shown_as_they_are():
    pixels = np.arange(3 * 64, dtype=np.float32).reshape(3, 8, 8)
    assert (to_rgb(pixels, RGB) == pixels.transpose(1, 2, 0)).all()


def test_bands_are_found_by_name_or_by_common_name():
    pixels = np.stack([np.full((8, 8), value, dtype=np.float32) for value in (10, 20, 30, 40)])
    pixels[:, 0, 0] = 255
    named = (Band("B02", common_name="blue"), Band("Green"), Band("B04", common_name="red"), Band("B08"))
    assert to_rgb(pixels, named)[1, 1].tolist() == [30, 20, 10]
    assert to_rgb(pixels, tuple(Band(f"x{i}") for i in range(4)))[1, 1].tolist() == [10, 20, 30]
    assert to_rgb(pixels[:2], (Band("VV"), Band("VH")))[1, 1].tolist() == [10, 10, 10]


def test_other_numbers_are_stretched_between_percentiles():
    pixels = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (3, 1, 1)) * np.float32(
        [[[1]], [[5000]], [[-30]]]
    )
    picture = to_rgb(pixels, RGB)[0]
    assert picture[[2, 26, 98], 0].tolist() == [0, 64, 255]
    assert np.abs(np.diff(picture[:, :2].astype(int))).max() <= 1  # each band by itself
    assert picture[[2, 98], 2].tolist() == [255, 0]


def test_no_data_and_flat_bands_are_grey():
    pixels = np.full((3, 8, 8), 0.3, dtype=np.float32)
    pixels[1, 0, 0] = np.nan
    assert (to_rgb(pixels, RGB) == 128).all()
    assert (to_rgb(np.full((3, 8, 8), np.nan, dtype=np.float32), RGB) == 128).all()
    bright = np.full((3, 8, 8), 200, dtype=np.float32)
    bright[1, 0, 0] = np.nan
    picture = to_rgb(bright, RGB)
    assert (picture[0, 0] == 128).all()
    assert (picture[1:] == 200).all()


def test_recovered_pieces_counted_by_hand():
    truth = np.array([block((0, 0, 4, 4), (8, 8, 16, 16), (20, 20, 30, 30)), block((2, 2, 4, 8))])
    stage1 = np.array([block((8, 8, 12, 16), (20, 20, 24, 30)), block()])  # 0 %, 50 %, 40 %, 0 %
    stage2 = np.array([block((0, 0, 4, 3), (8, 8, 16, 16), (20, 20, 30, 30)), block((2, 2, 4, 5))])
    found = recovered_pieces(truth, stage1, stage2)
    assert [(p.tile, p.pixels, p.box) for p in found] == [(0, 100, (20, 20, 30, 30)), (0, 16, (0, 0, 4, 4))]
    assert [(p.found1, p.found2) for p in found] == [(0.4, 1.0), (0.0, 0.75)]
    assert (found[1].inside == block((0, 0, 4, 4))).all()


def test_pieces_do_not_hang_together_by_corners():
    truth = np.array([block((0, 0, 4, 4), (4, 4, 8, 8))])
    assert [p.pixels for p in recovered_pieces(truth, truth & False, truth)] == [16, 16]


def test_both_channels_of_stage_2_count_and_numbers_do_for_bools():
    truth = np.array([block((0, 0, 4, 4))])
    halves = np.array([block((0, 0, 2, 4))]), np.array([block((2, 0, 4, 4))])
    nothing = np.zeros_like(truth, dtype=np.uint8)
    assert recovered_pieces(truth, nothing, halves[0]) == []  # half is not more than half
    assert recovered_pieces(truth, nothing, halves)[0].found2 == 1
    assert false_pieces(truth, nothing, tuple(half.astype(np.uint8) for half in halves)) == []


def test_false_pieces_touch_no_truth():
    truth = np.array([block((0, 0, 4, 4)), block()])
    overlaps, borders, corner, alone = (2, 2, 6, 6), (0, 4, 4, 5), (4, 4, 6, 6), (20, 20, 23, 23)
    stage2 = np.array([block(borders, corner, alone), block((0, 0, 32, 32))])
    stage1 = np.array([block((20, 20, 21, 23)), block()])
    found = false_pieces(truth, stage1, stage2)
    assert [(p.tile, p.pixels) for p in found] == [(1, 1024), (0, 9)]
    assert found[1].found1 == pytest.approx(1 / 3)
    stage2 = np.array([block(corner), block()])
    assert [p.pixels for p in false_pieces(truth, stage1, stage2)] == [4]  # a corner is no border
    assert false_pieces(truth, stage1, np.array([block(overlaps), block()])) == []


def test_of_very_many_pieces_the_largest_are_kept():
    """A net that has hardly learned anything speckles its tiles; every piece holds a mask of the tile."""
    speckled = np.array([block((1, 1, 4, 4)) | (np.indices((SIDE, SIDE)).sum(0) % 2 > 0)] * 3)
    found = false_pieces(speckled & False, speckled & False, speckled)
    assert len(found) == MOST
    assert [piece.pixels for piece in found[:4]] == [17, 17, 17, 1]  # 9 and two on each side


def test_the_largest_pieces_of_many_tiles_are_those_of_all_at_once(monkeypatch):
    monkeypatch.setattr("jido.methods.figures.pieces.AT_ONCE", 3)
    rng = np.random.default_rng(0)
    truth, stage1, stage2 = (rng.random((8, SIDE, SIDE)) < share for share in (0.2, 0.1, 0.3))
    which, seen = np.array([7, 0, 3, 5, 1, 2, 6, 4]), []

    def says(some):
        seen.append(len(some))
        return truth[some], stage1[some], stage2[some]

    found = largest_pieces(which, says, recovered_pieces, false_pieces)
    whole = [find(truth[which], stage1[which], stage2[which]) for find in (recovered_pieces, false_pieces)]
    assert seen == [3, 3, 2]
    for some, at_once in zip(found, whole, strict=True):
        assert [(p.tile, p.box, p.pixels) for p in some] == [(p.tile, p.box, p.pixels) for p in at_once]


def test_what_overlapping_tiles_show_twice_is_shown_once():
    tiles = tiles_of([block()] * 4, source=np.array(["a", "a", "a", "b"]), place=np.array(
        [[0, 0], [0, 8], [0, 24], [0, 0]]
    ))  # fmt: skip
    whole = [(i, (0, 0, SIDE, SIDE)) for i in range(4)]
    assert list(distinct(tiles, whole)) == [0, 2, 3]  # the third shares a quarter, not more
    piece = [(0, (4, 10, 8, 14)), (1, (4, 2, 8, 6)), (1, (4, 10, 8, 14))]
    assert list(distinct(tiles, piece)) == [0, 2]


def test_the_gallery_shows_the_worst_tiles_of_both_kinds(tmp_path, drawn):
    masks = np.array([block((0, 0, 8, 8))] * 4)
    errors = np.array(
        [block((0, 0, 2, 2)), block((0, 0, 3, 3), (20, 20, 24, 24)), block((9, 9, 10, 10)), block()]
    )
    error_gallery(tiles_of(masks), packed(errors), tmp_path / "gallery.png", count=2)
    assert [text for text in drawn if text.endswith(" px")] == ["9 px", "4 px", "16 px", "1 px"]
    assert any("inside the target, 5.1 % of its" in text for text in drawn)  # 13 of 256
    assert any("image_1.tif" in text for text in drawn)


def test_the_gallery_is_of_the_tiles_that_errors_were_collected_on(tmp_path, drawn):
    masks = np.array([block((0, 0, 8, 8))] * 3)
    errors = np.array([block((0, 0, 2, 2)), block((0, 0, 8, 8)), block()])
    error_gallery(tiles_of(masks), packed(errors), tmp_path / "gallery.png", which=np.array([0, 2]))
    assert [text for text in drawn if text.endswith(" px")] == ["4 px"]
    assert any("inside the target, 3.1 % of its" in text for text in drawn)  # 4 of 128
    assert not any("image_1.tif" in text for text in drawn)


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (block(), "No errors were accumulated on these 1 tiles."),
        (block((0, 0, 2, 2)), "(b) no FP"),
        (block((20, 0, 22, 2)), "(a) no FN"),
    ],
)
def test_a_gallery_without_errors_says_so(tmp_path, drawn, errors, words):
    error_gallery(tiles_of([block((0, 0, 8, 8))]), packed(errors[None]), tmp_path / "gallery.png")
    assert words in drawn


def test_errors_of_other_tiles_are_refused(tmp_path):
    with pytest.raises(ValueError, match="do not fit"):
        error_gallery(tiles_of([block()]), packed(np.array([block()] * 2)), tmp_path / "gallery.png")


def test_stages_give_the_iou_of_each_tile(tmp_path, drawn):
    truth = np.array([block((0, 0, 4, 4)), block()])
    half = np.array([block((0, 0, 2, 4)), block()])
    which = np.array([1, 0])
    stage2 = half[which], (truth & ~half)[which]
    stages_picture(tiles_of(truth), which, truth[which], half[which], stage2, tmp_path / "stages.png")
    assert [text for text in drawn if "IoU" in text or "none" in text] == [
        "no target, none predicted", "no target, none predicted", "IoU 0.50", "IoU 1.00"
    ]  # fmt: skip
    assert "error channel" in drawn


def test_pieces_are_drawn_with_their_figures(tmp_path, drawn):
    truth = np.array([block((0, 0, 4, 4)), block((28, 28, 32, 32))])
    tiles, all_tiles = tiles_of(truth, pixel_m=(0.5, 0.5)), np.arange(2)
    nothing, false = truth & False, np.array([block(), block((20, 0, 24, 4))])
    pieces = recovered_pieces(truth, nothing, truth)
    recovered_picture(tiles, all_tiles, said(truth, nothing, truth), pieces, tmp_path / "a.png", count=1)
    assert {"GT: 16 px", "stage 1 found 0 %", "stage 2 found 100 %", "32 px, 16 m wide"} <= set(drawn)
    assert drawn.count("GT: 16 px") == 1
    pieces = false_pieces(truth, nothing, false)
    drawn.clear()
    false_positives_picture(tiles, all_tiles, said(truth, nothing, false), pieces, tmp_path / "b.png")
    assert "false alarm of 16 px" in drawn
    assert "image_1.tif\nrow 0, col 0" in drawn


def test_nothing_recovered_and_no_false_alarm_is_said(tmp_path, drawn):
    truth = np.array([block((0, 0, 4, 4))])
    tiles, which = tiles_of(truth), np.array([0])
    recovered_picture(tiles, which, said(truth, truth, truth), [], tmp_path / "a.png")
    false_positives_picture(tiles, which, said(truth, truth, truth), [], tmp_path / "b.png")
    stages_picture(tiles, which[:0], truth[:0], truth[:0], truth[:0], tmp_path / "c.png")
    assert [text.split("\n")[0] for text in drawn] == [
        "On these 1 tiles stage 2 recovered none of the targets",
        "On these 1 tiles stage 2 has no false alarm:",
        "No tiles were chosen.",
    ]


@pytest.mark.filterwarnings("error")
def test_pictures_are_written_from_any_tiles(tmp_path):
    """Radar with gaps, full and empty masks, an image name that is too long."""
    masks = np.array([np.ones((SIDE, SIDE), dtype=bool), block()])
    bands = (Band("VV"), Band("VH"))
    images = np.random.default_rng(0).normal(-12, 3, (2, 2, SIDE, SIDE)).astype(np.float32)
    valid = packed(np.array([block((0, 0, 16, 32)), block()]))
    tiles = tiles_of(masks, images=images, bands=bands, valid=valid, source=np.array(["x" * 60] * 2))
    which, other = np.arange(2), ~masks
    recovered = recovered_pieces(masks, other, masks)
    false = false_pieces(masks, other, other)
    files = [
        error_gallery(tiles, ~tiles.masks, tmp_path / "a.png"),
        stages_picture(tiles, which, masks, other, (masks, other), tmp_path / "b.png"),
        recovered_picture(tiles, which, said(masks, other, masks), recovered, tmp_path / "c.png"),
        false_positives_picture(tiles, which, said(masks, other, other), false, tmp_path / "d.png"),
    ]
    for path in files:
        data = path.read_bytes()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        assert min(struct.unpack(">II", data[16:24])) >= 200
