"""History, table and curves of a two-stage training: known answers, and figures of poor histories."""

import struct

import numpy as np
import pytest

from jido.errors import JidoError
from jido.methods.figures.curves import (
    draw_curves,
    draw_losses,
    moving_sd,
    read_history,
    table2,
    table2_markdown,
    write_history,
)
from jido.methods.figures.history import COLUMNS, stage1_of

NAMES = ["loss", "iou", "stability", "fn_tp", "fp_tp", "cfdr"]


def row(
    run, stage, epoch, iou=0.5, *, fn_tp=0.25, fp_tp=0.125, cfdr=None, loss=0.1, val_loss=0.2, train_iou=0.9
):
    held = {"iou": iou, "precision": 0.5, "recall": None, "fn_tp": fn_tp, "fp_tp": fp_tp}
    return {
        "run": run, "stage": stage, "epoch": epoch, "loss": loss, "val_loss": val_loss,
        "train_iou": train_iou, **held, "cfdr": cfdr
    }  # fmt: skip


def trunk(until=4, onset=2):
    return [row("stage 1", 1, e, e / 10, cfdr=e / 100 if e > onset else None) for e in range(1, until + 1)]


def branch(name, epochs, cfdr):
    return [row(name, 1, e, e / 10, cfdr=cfdr) for e in epochs]


def second(name, ious=(0.1, 0.8, 0.7)):
    return [row(name, 2, e, iou, fn_tp=1 / e) for e, iou in enumerate(ious, start=1)]


FOUR = [
    *trunk(),
    *branch("A", (5, 6), 0.5),
    *branch("B", (5, 6, 7), 0.06),
    *(r for name in ("A_2-4", "A_2-6", "B_2-6", "B_2-7") for r in second(name)),
]


def size(path):
    """Width and height of a PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_a_history_comes_back_from_csv(tmp_path):
    write_history(FOUR, tmp_path / "history.csv")
    assert read_history(tmp_path / "history.csv") == FOUR
    assert (tmp_path / "history.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def test_further_numbers_stand_behind_and_what_lacks_is_empty(tmp_path):
    write_history([{**row("stage 1", 1, 1), "seconds": np.float64(2.5)}, {"run": "A"}], tmp_path / "h.csv")
    first, second = read_history(tmp_path / "h.csv")
    assert list(first) == [*COLUMNS, "seconds"]
    assert first["seconds"] == 2.5
    assert second == dict.fromkeys([*COLUMNS, "seconds"]) | {"run": "A"}


@pytest.mark.parametrize(
    "text", ["", "run,stage\nA,1\n", ",".join(COLUMNS) + "\nA,one" + ",1" * 10 + "\n", None]
)
def test_what_is_no_history_is_said(tmp_path, text):
    if text is not None:
        (tmp_path / "h.csv").write_text(text)
    with pytest.raises(JidoError, match=r"h\.csv"):
        read_history(tmp_path / "h.csv")


def test_moving_sd_by_hand():
    found = moving_sd([9, 1, 3, 1, 5], ahead=2)
    assert found[:3] == pytest.approx([1, 1, 2])  # of (1, 3), (3, 1), (1, 5): never of the epoch itself
    assert np.isnan(found[3:]).all()


@pytest.mark.parametrize("count", [0, 1, 10])
def test_moving_sd_is_nan_where_fewer_than_ten_follow(count):
    assert np.isnan(moving_sd([0.5] * count)).tolist() == [True] * count
    assert moving_sd([0.5] * 11)[0] == 0


def test_moving_sd_knows_no_sd_of_what_is_missing():
    found = moving_sd([0.0, None, 2.0, 4.0, float("inf"), 1.0], ahead=2)
    assert np.isfinite(found).tolist() == [False, True, False, False, False, False]
    with pytest.raises(ValueError, match="ahead"):
        moving_sd([1.0], ahead=0)


@pytest.mark.parametrize(
    ("case", "runs"),
    [
        ("A_2-4", ["stage 1"] * 4),
        ("A_2-3", ["stage 1"] * 3),
        ("A_2-6", ["stage 1"] * 4 + ["A"] * 2),
        ("B_2-6", ["stage 1"] * 4 + ["B"] * 2),
        ("B_2-7", ["stage 1"] * 4 + ["B"] * 3),
        ("C_2-7", ["stage 1"] * 5),
        ("two-stage", ["stage 1"] * 5 + ["A"] * 2 + ["B"] * 3),
    ],
)
def test_the_part_of_stage_1_that_a_case_comes_from(case, runs):
    further = [row("stage 1", 1, 5), row("baseline", 1, 5)]  # neither is behind a branch that sets in at 5
    rows = [*trunk(), *further, *FOUR[4:]]
    found = stage1_of(rows, case)
    assert [r["run"] for r in found] == runs
    assert [r["epoch"] for r in found][:3] == [1, 2, 3]


def test_a_history_without_shared_run_is_stage_1_as_a_whole():
    assert len(stage1_of([row("plain", 1, e) for e in (1, 2)], "two-stage")) == 2


def test_table_2_by_hand():
    table = {facts["case"]: facts for facts in table2(FOUR)}
    assert list(table) == ["A_2-4", "A_2-6", "B_2-6", "B_2-7"]
    facts = table["A_2-6"]
    assert (facts["first_epoch"], facts["last_epoch"], facts["cfdr"]) == (3, 6, 0.5)
    assert facts["mean_iou_1"] == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4)  # epochs of accumulation alone
    assert facts["mean_iou_2"] == pytest.approx((0.1 + 0.8 + 0.7) / 3)
    assert facts["mean_iou_change"] == pytest.approx(1.6 / 3 - 0.45)
    assert (facts["final_iou_1"], facts["final_iou_2"]) == (0.6, 0.7)  # of few epochs the last one
    assert (facts["best_iou_1"], facts["best_iou_2"]) == (0.6, 0.8)
    assert (facts["best_epoch_1"], facts["best_epoch_2"]) == (6, 2)
    assert facts["best_fn_tp_2"] == 0.5  # at the epoch of the best IoU, not the lowest
    assert facts["final_fn_tp_change"] == pytest.approx(1 / 3 - 0.25)
    assert table["B_2-6"]["cfdr"] == 0.06
    assert (table["A_2-4"]["last_epoch"], table["A_2-4"]["cfdr"]) == (4, 0.04)


def test_converged_is_the_last_tenth():
    facts = table2([*trunk(29), *second("two-stage", np.arange(40) / 100)])[0]
    assert facts["final_iou_1"] == pytest.approx(2.85)  # 2 of 29 epochs
    assert facts["final_iou_2"] == pytest.approx(0.375)  # 4 of 40


def test_the_table_has_none_where_nothing_is_known():
    rows = [row("stage 1", 1, 1, fn_tp=None), *(row("x", 2, e, iou=None, fn_tp=None) for e in (1, 2))]
    facts = table2(rows)[0]
    assert facts["mean_iou_1"] == 0.5  # no accumulation: all epochs
    unknown = [
        "first_epoch",
        "cfdr",
        "mean_iou_2",
        "mean_iou_change",
        "final_fn_tp_1",
        "best_iou_2",
        "best_epoch_2",
    ]
    assert [facts[name] for name in unknown] == [None] * len(unknown)
    assert table2(trunk()) == []


def test_the_table_as_markdown():
    lines = table2_markdown(FOUR).splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + 4 * 3
    assert {line.count("|") for line in table} == {14}
    assert table[5].startswith("| A_2-6 | 3-6 | 0.5000 | average | 0.450 | 0.533 | +0.083 |")
    assert "no second stage" in table2_markdown(trunk())
    assert "–" in table2_markdown([row("x", 2, 1, iou=None)])


GAPS = [
    row("stage 1", 1, e, None if e % 2 else 0.5, loss=float("nan"), fn_tp=float("inf")) for e in range(1, 5)
]


@pytest.mark.parametrize(
    ("rows", "broad"),
    [
        pytest.param(FOUR, True, id="four cases"),
        pytest.param([*trunk(), *second("two-stage"), row("baseline", 1, 1)], False, id="one case"),
        pytest.param(FOUR[:9], False, id="stage 1 alone"),
        pytest.param(second("A_2-4", [0.5]), False, id="one epoch"),
        pytest.param(GAPS, False, id="gaps"),
        pytest.param([{"run": "stage 1", "stage": 1, "epoch": 1}], False, id="nothing"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_every_figure_is_drawn(tmp_path, rows, broad):
    files = draw_curves(rows, tmp_path / "figures")
    assert files == [tmp_path / "figures" / f"{name}.png" for name in NAMES]
    assert size(files[1])[0] == (1100 if broad else 850)


def test_the_loss_on_held_out_tiles_is_drawn_where_it_is_known(tmp_path, monkeypatch):
    drawn = []

    def keep(figure, *_, **__):
        drawn.append([line.get_label() for axis in figure.axes for line in axis.lines])
        return tmp_path

    monkeypatch.setattr("jido.methods.figures.curves.save", keep)
    older = [{name: value for name, value in one.items() if name != "val_loss"} for one in trunk()]
    for rows in ([*trunk(), *second("two-stage")], older):
        draw_curves(rows, tmp_path)
    names = [
        f"{run}, {tiles} tiles" for run in ("stage 1", "two-stage") for tiles in ("training", "held-out")
    ]
    assert (drawn[0], drawn[6]) == (names, names[:1])


def test_a_figure_has_the_same_bytes_every_time(tmp_path):
    once, again = (
        draw_losses({"bce": trunk(20)}, tmp_path / name).read_bytes() for name in ("a.png", "b.png")
    )
    assert once == again


@pytest.mark.filterwarnings("error")
def test_losses_are_drawn_whatever_their_lengths(tmp_path):
    many = {f"loss {i}": trunk(3 + 10 * i) for i in range(9)}
    size(draw_losses(many | {"none": GAPS, "empty": [], "one": trunk(1)}, tmp_path / "losses.png"))
