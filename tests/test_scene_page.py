"""The report of scene classification: its tables, its warnings, and what the net looked at."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from torch import nn  # noqa: E402

from jido.data.chips import Chips  # noqa: E402
from jido.errors import OutputError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.io.html import SHARES, confusion_table  # noqa: E402
from jido.methods.classify import train_classification  # noqa: E402
from jido.methods.figures.scene_page import (  # noqa: E402
    FILES,
    require_scene_figures_place,
    scene_report,
    write_scene_figures,
)
from jido.methods.figures.scene_pictures import LARGEST, right_and_wrong, true_colours  # noqa: E402
from jido.methods.scene import SceneData  # noqa: E402
from jido.methods.scene_config import load_scene_config  # noqa: E402
from jido.nets.evidence import attention_map, grad_cam  # noqa: E402
from jido.nets.scene import BalancedNet, CBAMNet, CompactNet, SceneNet  # noqa: E402
from jido.stats.words import text  # noqa: E402

CLASSES = ("a<b", "rows", "spots")
SIDE = 16
N = 60
EPOCHS = 2


def pictures() -> Chips:
    """Noise with nothing, stripes across, or a bright square, in turn; one name needs escaping."""
    rng = np.random.default_rng(0)
    images = rng.normal(100, 20, (N, 3, SIDE, SIDE))
    label = np.arange(N) % 3
    images[label == 1, :, ::2] += 20
    images[label == 2, :, 4:8, 4:8] += 40
    names = np.array([f"{CLASSES[k]}/{i}.png" for i, k in enumerate(label)])
    bands = tuple(Band(name) for name in ("blue", "green", "red"))
    return Chips(np.clip(images, 0, 255).astype("uint8"), label, names, CLASSES, bands, notes=("A note.",))


class Split:
    """What a split has to say."""

    kind, leaks, buffer_m, touching, notes = "by hand", False, 905.0, 0.0, ()

    def __init__(self) -> None:
        self.part = np.repeat(["train", "val", "test"], (N // 2, N // 4, N // 4))
        self.group = np.arange(N)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    settings = {"width": 8, "stages": 1, "blocks": 2, "attention": "balanced"}
    given = {"settings": settings, "batch": 10, "epochs": EPOCHS, "least_steps": 0}
    work = tmp_path_factory.mktemp("work")
    return train_classification(pictures(), Split(), config=load_scene_config(given=given), work=work)


@pytest.fixture(scope="module")
def written(learned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "figures"
    write_scene_figures(learned, folder)
    return folder


@pytest.fixture
def words(monkeypatch):
    """Pages without pictures, which take their time."""
    for name in ("png", "gallery"):
        monkeypatch.setattr(f"jido.methods.figures.scene_page.{name}", lambda *_, **__: "")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def with_evaluation(result, **changed):
    model = replace(result.model, evaluation=result.model.evaluation | changed)
    return replace(result, model=model)


# -- the folder ------------------------------------------------------------------------------------


def test_a_folder_holds_the_page_and_three_tables(written):
    assert {path.name for path in written.iterdir()} == FILES


def test_history_has_a_row_for_every_epoch_and_a_column_for_every_block(learned, written):
    rows = rows_of(written / "history.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    names = ["epoch", "loss", "val_loss", "val_oa", "learning_rate", "seconds", "fusion_1", "fusion_2"]
    assert list(rows[0]) == names
    assert [float(row["fusion_2"]) for row in rows] == [row["fusion"][1] for row in learned.training.rows]
    assert float(rows[1]["val_oa"]) == learned.training.rows[1]["val_oa"]


def test_predictions_are_those_of_the_judged_images_in_order(learned, written):
    rows = rows_of(written / "predictions.csv")
    chips = learned.training.data.chips
    assert [row["image"] for row in rows] == chips.name[learned.judged].tolist()
    assert [row["truth"] for row in rows] == [CLASSES[k] for k in chips.label[learned.judged]]
    said = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])
    assert np.allclose(said, learned.said, atol=1e-6)
    assert [row["class"] for row in rows] == [CLASSES[k] for k in learned.said.argmax(1)]
    assert [float(row["confidence"]) for row in rows] == said.max(1).tolist()


def test_the_confusion_matrix_counts_the_predictions(learned, written):
    rows = rows_of(written / "confusion.csv")
    predictions = rows_of(written / "predictions.csv")
    for row in rows:
        for name in CLASSES:
            pairs = [p for p in predictions if (p["truth"], p["class"]) == (row["truth"], name)]
            assert int(row[name]) == len(pairs)
    assert sum(int(row[name]) for row in rows for name in CLASSES) == len(learned.judged)


def test_older_figures_are_replaced_and_other_files_refused(learned, tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "history.csv").write_text("old")
    write_scene_figures(learned, folder)
    assert (folder / "history.csv").read_text().startswith("epoch,")
    (folder / "loss.png").write_bytes(b"of a segmentation")
    with pytest.raises(OutputError, match=r"loss\.png"):
        write_scene_figures(learned, folder)
    with pytest.raises(OutputError, match="replace each other"):
        require_scene_figures_place(tmp_path / "model" / "figures", beside=tmp_path / "model")


# -- the page --------------------------------------------------------------------------------------


def test_the_page_tells_the_figures_and_how_they_came_about(learned, written):
    page = (written / "report.html").read_text(encoding="utf-8")
    evaluation = learned.model.evaluation
    for name in ("oa", "kappa", "f1_macro", "mcc"):
        assert f"<td>{text(evaluation['one_view'][name])}</td>" in page
        assert f"<td>{text(evaluation['eight_views'][name])}</td>" in page
    assert f"Overall accuracy <b>{text(evaluation['metrics']['oa'])}</b> on 15 test images" in page
    assert "with 905 m between training and test" in page
    for row in evaluation["per_class"]:
        assert text(row["producers_accuracy"]) in page
    assert f"<td>{evaluation['calibration']['ece']:.3f}</td>" in page
    assert "30 for train, 15 for val, 15 for test" in page
    assert "A note." in page
    assert "width 8, stages 1, blocks 2, attention balanced" in page


def test_names_are_escaped_and_nothing_is_fetched(written):
    page = (written / "report.html").read_text(encoding="utf-8")
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert not re.search(r"https?://|<script|<link|@import", page)
    sources = re.findall(r"""src=["']([^"']{12})""", page)
    assert len(sources) > 6
    assert set(sources) == {"data:image/p"}


@pytest.mark.usefixtures("words")
@pytest.mark.parametrize(("touching", "why"), [(0.417, "42 % of the test images touch"), (None, "no coor")])
def test_a_leaking_split_is_said_to_leak(learned, touching, why):
    folds = learned.model.evaluation["folds"]
    assert "leaks" not in scene_report(learned)
    page = scene_report(with_evaluation(learned, folds=folds | {"leaks": True, "touching": touching}))
    warning = page[page.index("class='warn'") :]
    assert "This split leaks" in warning
    assert why in warning
    assert "must not be quoted" in warning


@pytest.mark.usefixtures("words")
def test_without_test_images_the_figure_is_said_to_be_too_good(learned):
    tiles = {"train": 30, "val": 30, "test": 0}
    on = "the validation images that chose the epoch"
    page = scene_report(with_evaluation(learned, tiles=tiles, judged_on=on))
    assert "15 validation images that chose the epoch" in page
    assert "There were no test images" in page


@pytest.mark.usefixtures("words")
def test_weights_of_classes_are_shown_where_there_are_any(learned, monkeypatch):
    assert "Weights of classes" not in scene_report(learned)
    monkeypatch.setattr(learned.training, "class_weights", [0.81, 1.0, 1.3])
    assert "<td>0.81</td>" in scene_report(learned)


def test_a_page_needs_neither_attention_nor_wrong_answers_nor_a_validation(learned, monkeypatch):
    truth = learned.training.data.chips.label[learned.judged]
    cm = np.diag(np.bincount(truth)).tolist()
    rows = [{**row, "fusion": [], "val_loss": None, "val_oa": None} for row in learned.training.rows]
    monkeypatch.setattr(learned.training, "rows", rows)
    perfect = replace(with_evaluation(learned, confusion=cm), said=np.eye(3, dtype=np.float32)[truth])
    page = scene_report(perfect)
    assert "Coordinate attention against" not in page
    assert "<h2>Wrong" not in page
    assert "mixed up" not in page


def test_a_narrow_table_has_shares_while_there_is_room():
    cm = np.eye(SHARES, dtype=int) * 3
    cm[0, 1] = 1
    few = confusion_table(cm, [f"c{i}" for i in range(SHARES)], narrow=True)
    assert "1<small>25.0</small>" in few
    many = confusion_table(np.eye(50, dtype=int), [f"c{i}" for i in range(50)], narrow=True)
    assert "<small>" not in many
    assert 'title="c7 → c7: 1, 100.0%"' in many


# -- pictures --------------------------------------------------------------------------------------


def test_the_surest_wrong_images_come_first_and_a_right_one_of_every_class():
    said = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.05, 0.95]])
    right, wrong = right_and_wrong(said, np.array([0, 1, 0, 1, 1]))
    assert wrong.at.tolist() == [2, 1]
    assert wrong.said.tolist() == [1, 0]
    assert wrong.confidence.tolist() == [0.8, 0.6]
    assert right.at.tolist() == [0, 4]
    many, _ = right_and_wrong(np.eye(40), np.arange(40), most=5)
    assert many.at.tolist() == [0, 10, 20, 29, 39]


def test_colours_are_those_of_the_named_bands_and_not_too_many(learned):
    images = np.zeros((2, 3, 2 * LARGEST, 2 * LARGEST), np.uint8)
    images[:, 0] = 50  # blue everywhere
    images[1, 2] = 200  # the second is red
    chips = replace(learned.training.data.chips, images=images)
    data = SceneData(chips, np.arange(2), np.arange(0))
    other = replace(learned, training=replace(learned.training, data=data))
    colours = true_colours(other, np.array([0, 1]))
    assert colours.shape == (2, LARGEST, LARGEST, 3)
    assert colours[0, 0, 0, 0] == 0
    assert colours[1, 0, 0, 0] == 255


class Corner(SceneNet):
    """Class 1 is the brightness of the upper left quarter, class 0 that of the lower right one."""

    least = 1

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 2, bias=False))
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
            self.head[2].weight.zero_()
            self.head[2].weight[1, 0] = 1  # channel 0, upper left
            self.head[2].weight[0, 7] = 1  # channel 1, lower right


def test_grad_cam_lights_the_corner_that_makes_the_class():
    net = Corner()
    images = torch.full((2, 1, 8, 8), 0.0)
    images[0, :, :4, :4] = 1.0
    images[1, :, 4:, 4:] = -1.0
    maps = grad_cam(net, images, torch.tensor([1, 0]))
    assert torch.equal(maps[0], (images[0, 0] > 0).float())
    assert torch.equal(maps[1], (images[1, 0] < 0).float())
    assert not grad_cam(net, images, torch.tensor([0, 1])).any()  # nothing speaks for the other class


@pytest.mark.parametrize("attention", ["none", "squeeze", "balanced"])
def test_nothing_is_left_on_the_net(attention):
    torch.manual_seed(0)
    net = CompactNet(3, 4, width=8, attention=attention).train()
    net.head.eval()  # modes may differ
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    images = torch.randn(3, 3, 17, 17)
    maps = grad_cam(net, images, torch.tensor([0, 1, 3]))
    assert maps.shape == (3, 17, 17)
    assert 0 <= float(maps.min()) <= float(maps.max()) <= 1
    seen = attention_map(net, images)
    assert (seen is not None) == (attention == "balanced")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert [module.training for module in net.modules()] == modes
    assert all(weight.grad is None for weight in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_the_hooks_go_when_the_net_fails():
    net = CompactNet(3, 4, width=8, attention="cbam").train()
    with pytest.raises(Exception, match="too small"):
        grad_cam(net, torch.zeros(1, 3, 4, 4), torch.tensor([0]))
    with pytest.raises(Exception, match="too small"):
        attention_map(net, torch.zeros(1, 3, 4, 4))
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_attention_is_the_share_that_is_let_through():
    net = CompactNet(3, 4, width=8, stages=1, attention="coordinate").eval()
    block = net.features[3].attention
    with torch.no_grad():  # rows: half of everything, columns: all of it
        for conv, bias in ((block.rows, 0.0), (block.columns, 100.0)):
            conv.weight.zero_()
            conv.bias.fill_(bias)
    seen = attention_map(net, torch.randn(2, 3, 16, 16))
    assert seen is not None
    assert seen.shape == (2, 16, 16)
    assert torch.allclose(seen, torch.full_like(seen, 0.5))


def test_attention_of_the_last_maps_that_are_no_mere_dots():
    for net in (BalancedNet(3, 4), CBAMNet(3, 4)):
        seen = attention_map(net.eval(), torch.randn(1, 3, 32, 32))
        assert seen is not None
        assert torch.isfinite(seen).all()
        assert len(seen.unique()) > 4
