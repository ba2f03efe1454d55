"""Three classes of tiles: soft labels, what is seen, the mean teacher, folds, package and command."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from scipy.stats import binom
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.cli.score_label import label, require_label_place  # noqa: E402
from jido.data.chips import Chips  # noqa: E402
from jido.errors import FoldsError, ImageError, LabelsError, ModelError, OutputError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.labels import Folds, named_scheme  # noqa: E402
from jido.losses.mean_teacher import MeanTeacherLoss, consistency, ramp_up, soft_cross_entropy  # noqa: E402
from jido.methods import load_model, tile_classes, tile_classes_seen  # noqa: E402
from jido.methods.net import NetConfig, NetModel  # noqa: E402
from jido.methods.tile_classes import (  # noqa: E402
    cross_entropy,
    evaluated,
    tile_folds,
    tile_probabilities,
    train_tile_classes,
    write_classes,
)
from jido.methods.tile_classes_config import TileClassesConfig, load_tile_classes_config  # noqa: E402
from jido.methods.tile_classes_labels import (  # noqa: E402
    CLASSES,
    SoftLabels,
    along,
    along_curve,
    drawn,
    read_labels,
    write_form,
)
from jido.methods.tile_classes_net import MeanTeacher, _logistic, sharpened  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.nets.tile import TileHead, TileNet, texture  # noqa: E402

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
SIDE, EACH = 32, 12
BANDS = tuple(Band(name) for name in ("red", "green", "blue"))
QUICK = TileClassesConfig(views=2, epochs=4, least_steps=30, batch=16, hidden=16, ramp_up=2)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small nets wait for each other on several threads, and more so on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(kind: int, seed: int) -> np.ndarray:
    """Roofs (bright squares), fields (broad stripes) or forest (faint noise), (3, SIDE, SIDE) bytes."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(80, 4, (3, SIDE, SIDE)) * rng.uniform(0.6, 1.4)
    if kind == 0:
        for y, x in rng.integers(0, SIDE - 3, (25, 2)):
            pixels[:, y : y + 3, x : x + 3] *= 2
    elif kind == 1:
        pixels[:, :, (np.arange(SIDE) + rng.integers(8)) % 16 < 8] *= 1.4
    return np.clip(pixels, 1, 255).astype(np.uint8)


def tiles(each: int = EACH, *, further: int = 6) -> Chips:
    """Tiles of the three kinds in turn, then further ones."""
    kinds = [*np.arange(3 * each) % 3, *np.arange(further) % 3]
    images = np.stack([picture(kind, i) for i, kind in enumerate(kinds)])
    n = len(images)
    return Chips(images, np.full(n, -1), np.array([f"t{i}" for i in range(n)]), (), BANDS)


def soft(n: int) -> SoftLabels:
    """Labels of the first tiles: three of four people are right, in every fourth tile all of them."""
    share = np.full((n, 3), 0.125)
    share[np.arange(n), np.arange(n) % 3] = 0.75
    share[::4] = np.eye(3)[np.arange(n)[::4] % 3]
    return SoftLabels(np.array([f"t{i}" for i in range(n)]), share)


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> tile_classes.TileClasses:
    work = tmp_path_factory.mktemp("work")
    return train_tile_classes(tiles(), soft(3 * EACH), config=QUICK, work=work, folds=3)


def table(path: Path, *rows: str, head: str = "id,urban,rural,uninhabited") -> Path:
    path.write_text("\n".join([head, *rows]), encoding="utf-8")
    return path


# -- what people say ---------------------------------------------------------------------------


def test_figures_of_soft_labels_by_hand():
    labels = SoftLabels(np.array(["a", "b", "c"]), np.array([[0.5, 0.5, 0], [0, 0.25, 0.75], [0, 0, 1.0]]))
    assert labels.label.tolist() == [0, 2, 2]  # of equal shares the first
    assert labels.agreement == pytest.approx((0.5 + 0.75 + 1) / 3)
    assert labels.ties == 1
    assert labels.places(np.array(["x", "c", "a", "b"])).tolist() == [2, 3, 1]


def test_thirds_are_made_to_add_up_to_one():
    labels = SoftLabels(np.array(["a"]), np.array([[0.33, 0.33, 0.33]]))
    assert labels.share.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("names", "share", "said"),
    [
        (["a"], [[0.5, 0.2, 0.0]], "of the tile a are 0.5, 0.2, 0, which is 0.7 together"),
        (["a", "b"], [[0, 0, 1], [3, 1, 0]], "of the tile b are 3, 1, 0, which is 4 together"),
        (["a"], [[1.5, -0.5, 0.0]], "from 0 to 1 that add up to 1"),
        (["a"], [[np.nan, 1, 0]], "of the tile a are nan, 1, 0"),
        (["a", "a"], [[1, 0, 0], [1, 0, 0]], "The tile a is labelled twice"),
        ([], np.empty((0, 3)), "No tile has a label: fill in the columns urban, rural, uninhabited"),
    ],
)
def test_labels_that_are_none(names, share, said):
    with pytest.raises(LabelsError, match=said):
        SoftLabels(np.array(names), np.array(share, dtype=float))


def test_tables_of_two_people_are_averaged(tmp_path: Path):
    """Of b both speak: (0 + .5) / 2, (1 + .5) / 2; of c nobody does."""
    one = table(tmp_path / "one.csv", "a,1,0,0", "b,0,1,", "c,,,")
    two = table(tmp_path / "two.csv", 'b;"0,5";"0,5";0', "d;0;0;1", head="Id;Urban;Rural;Uninhabited")
    labels = read_labels([one, two], ["d", "c", "b", "a"])
    assert labels.name.tolist() == ["d", "b", "a"]
    assert labels.share.tolist() == [[0, 0, 1], [0.25, 0.75, 0], [1, 0, 0]]
    assert labels.tables is not None
    assert labels.tables.tolist() == [1, 2, 1]


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        (["a,1,0"], "id,urban,rural", "has no column 'uninhabited', only id, urban, rural"),
        (["a,1,0,0", "zz,1,0,0"], None, "uses zz in column 'urban', but no such images were given"),
        (["a,.6,.6,0"], None, "t.csv: The shares of the tile a are 0.6, 0.6, 0, which is 1.2 together"),
        (
            ["a,yes,,"],
            None,
            "t.csv says 'yes', '', '' of the tile a: give urban, rural, uninhabited as numbers",
        ),
        (["a,1,0,0", "a,0,1,0"], None, "says '0' and '1' of a in column 'urban': keep one row"),
        (["a,,,", "b,,,"], None, "t.csv: No tile has a label"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, rows, head, said):
    path = table(tmp_path / "t.csv", *rows, **({"head": head} if head else {}))
    with pytest.raises(LabelsError, match=said):
        read_labels([path], ["a", "b", "c"])


def test_an_empty_form_says_nothing_and_a_filled_one_is_read(tmp_path: Path):
    form = tmp_path / "form.csv"
    write_form(["7_1", "012", "x/y"], form)
    with pytest.raises(LabelsError, match="No tile has a label"):
        read_labels([form], ["012", "x/y", "7_1"])
    form.write_text(form.read_text().replace("012,,,", "012,0.5,,0.5"))
    labels = read_labels([form], ["012", "x/y", "7_1"])
    assert (labels.name.tolist(), labels.share.tolist()) == (["012"], [[0.5, 0, 0.5]])


def test_tiles_are_drawn_one_of_each_stretch():
    over = np.random.default_rng(1).permutation(100).astype(float)
    chosen = drawn(10, over=over, seed=0)
    assert np.sort(over[chosen]) // 10 == pytest.approx(np.arange(10))
    assert chosen.tolist() == sorted(chosen.tolist())
    assert (drawn(10, over=over, seed=0) == chosen).all()
    assert not np.array_equal(drawn(10, over=over, seed=1), chosen)
    assert drawn(200, over=over, seed=0).tolist() == list(range(100))


def test_all_tiles_are_nearly_as_likely_also_where_all_are_alike():
    count = np.zeros(10)
    for seed in range(600):
        count[drawn(5, over=np.zeros(10), seed=seed)] += 1
    low, high = binom.ppf((1e-5, 1 - 1e-5), 600, 0.5)
    assert ((count > low) & (count < high)).all()


def test_places_on_the_curve_keep_quadrants_together():
    lon, lat = np.meshgrid(np.arange(8), np.arange(8))
    rank = (
        along_curve(np.stack([lon, lat], -1).reshape(-1, 2).astype(float)).argsort().argsort().reshape(8, 8)
    )
    for rows in (slice(0, 4), slice(4, 8)):
        for columns in (slice(0, 4), slice(4, 8)):
            assert np.ptp(rank[rows, columns]) == 15
    lost = along_curve(np.array([[1.0, 2], [np.nan, 2], [0, 0]]))
    assert lost.argmax() == 1


def test_without_places_tiles_are_ordered_by_what_is_in_them():
    chips = tiles(4, further=0)
    order = along(chips)
    assert order[0::3].min() > order[2::3].max()  # roofs before forest
    bright = replace(chips, images=(chips.images * 0.5).astype(np.float32))
    assert along(bright) == pytest.approx(order, rel=1e-5)
    placed = replace(chips, lonlat=np.random.default_rng(0).normal(size=(12, 2)))
    assert along(placed) == pytest.approx(along_curve(placed.lonlat))


# -- what is seen ------------------------------------------------------------------------------


def seen(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images, dtype=np.float32)
    return texture(torch.from_numpy(images if images.ndim == 4 else images[None])).numpy()


@pytest.mark.parametrize("bands", [1, 3, 5])
@pytest.mark.parametrize("side", [32, 33, 50])
def test_texture_has_finite_numbers_also_of_a_flat_tile(bands, side):
    for images in (np.ones((2, bands, side, side)), np.zeros((2, bands, side, side))):
        found = seen(images)
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[0], found[1], atol=1e-5)  # memory may lie otherwise: the last digit
    assert found.shape[1] == seen(np.random.default_rng(0).random((1, bands, 64, 64))).shape[1]


def test_texture_is_nearly_that_of_the_turned_tile():
    """Windows that lie every 4 pixels begin elsewhere; nothing else differs."""
    image = np.random.default_rng(0).random((3, 128, 128))
    image[:, 10:30, 10:50] *= 3
    for turned in (np.rot90(image, axes=(1, 2)), image[:, :, ::-1], image.transpose(0, 2, 1)):
        off = np.abs(seen(turned.copy()) - seen(image))
        assert np.median(off) < 0.005
        assert off.max() < 0.3
    assert np.median(np.abs(seen(image[:, :64, :64]) - seen(image))) > 0.02


def test_stripes_go_one_way_and_noise_does_not():
    """The first number of a direction is its mean coherence: 1 for stripes."""
    rng = np.random.default_rng(0)
    stripes = np.ones((1, 64, 64)) + (np.arange(64) % 8 < 4) * 0.5
    noise = rng.uniform(0.7, 1.3, (1, 64, 64))
    at = 1 + 1 + 5 + 5 + 1 + 1 + 1  # one band: mean, spread, 5 colours, then an octave: 5, mean, 2 spots
    assert seen(stripes)[0, at] == pytest.approx(1, abs=0.01)
    assert seen(noise)[0, at] < 0.5


def test_shares_of_patterns_add_up_and_tell_a_bright_spot():
    """Around one bright pixel, blurred, only the 4 or 8 pixels next to it have a brighter neighbour."""
    flat = np.ones((1, 32, 32))
    spot = flat.copy()
    spot[0, 16, 16] = 3
    at = slice(7 + 8 + 6 + 6, 7 + 8 + 6 + 6 + 10)
    for image in (flat, spot):
        assert seen(image)[0, at].sum() == pytest.approx(1, abs=1e-6)
    assert seen(flat)[0, at][0] == 1
    assert 0.9 < seen(spot)[0, at][0] < 1


def test_a_net_sees_the_same_in_any_unit_and_is_frozen():
    """Normalisation is undone: what counts is the ratio to the mean of the training tiles."""
    net = TileNet(3, 3, hidden=4, width=4, stages=1, side=64).eval()
    raw = torch.from_numpy(np.random.default_rng(0).uniform(1, 9, (2, 3, 40, 40)).astype(np.float32))
    for scale in (1.0, 1000.0):
        mean, sd = 5 * scale, 2 * scale
        net.features.level.fill_(mean / sd)
        found = net.features.raw((raw * scale - mean) / sd)
        np.testing.assert_allclose(found[:, : net.features.statistics], seen(raw.numpy() / 5), atol=1e-3)
    assert not any(weight.requires_grad for weight in net.features.parameters())
    net.train()
    assert not net.features.body.training
    assert net.head.training


def test_large_tiles_are_averaged_and_odd_ones_seen_by_convolutions():
    net = TileNet(3, 3, side=32, width=4, stages=1).eval()
    images = torch.rand(1, 3, 32, 32)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(net(large), net(images), atol=1e-5)
    assert net(torch.rand(1, 3, 33, 33)).exp().sum().item() == pytest.approx(1)
    with pytest.raises(ModelError, match="Images of 16 x 16 pixels are too small for this net: give 32"):
        net(torch.rand(1, 3, 16, 16))


def test_both_heads_are_the_mean_of_their_probabilities():
    net = TileNet(3, 3, hidden=4).eval()
    with torch.inference_mode():
        vectors = net.features(torch.rand(4, 3, 32, 32))
        parts = []
        for use in ("net", "linear", "both"):
            net.head.use = use
            parts.append(net.head(vectors).exp())
    assert torch.allclose((parts[0] + parts[1]) / 2, parts[2], atol=1e-6)
    with pytest.raises(ModelError, match="no answer of 'all': use both, net or linear"):
        TileNet(3, 3, use="all")


# -- the mean teacher --------------------------------------------------------------------------


def test_the_loss_by_hand():
    """Logits 0: cross-entropy log 2 whatever the shares; half of (.5 - 1)^2 + (.5 - 0)^2 is .25."""
    logits = torch.zeros(2, 2)
    targets = torch.tensor([[0.3, 0.7, 0.5, 0.5], [torch.nan, torch.nan, 1.0, 0.0]])
    loss = MeanTeacherLoss()
    assert loss(logits, targets).item() == pytest.approx(np.log(2))
    loss.weight = 8.0
    assert loss(logits, targets).item() == pytest.approx(np.log(2) + 8 * 0.125)  # of two tiles one agrees
    assert loss(logits[1:], targets[1:]).item() == pytest.approx(8 * 0.25)  # none with a label
    assert consistency(logits, logits.softmax(1)) == 0
    assert soft_cross_entropy(torch.tensor([[50.0, 0.0]]), torch.tensor([[1.0, 0.0]])) == pytest.approx(0)


def test_the_weight_rises_as_in_the_paper():
    assert ramp_up(0) == pytest.approx(np.exp(-5))
    assert ramp_up(0.5) == pytest.approx(np.exp(-5 / 4))
    assert ramp_up(1) == ramp_up(7) == 1


def points(n: int, *, known: int) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Two clouds, of which a few points have labels."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    x = rng.normal(0, 0.7, (n, 4)) + np.where(y[:, None] == 1, 1.0, -1.0)
    target = np.full((n, 2), np.nan)
    target[:known] = np.eye(2)[y[:known]]
    return torch.from_numpy(x.astype(np.float32))[..., None, None], target, y


def taught(**settings) -> tuple[np.ndarray, np.ndarray, MeanTeacher]:
    vectors, target, y = points(200, known=10)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = TileHead(4, 2, hidden=8)
    teacher = MeanTeacher(net, lambda which, rng: vectors[which], target, QUICK.model_copy(update=settings))
    judged = teacher.run()
    with torch.inference_mode():
        return judged(vectors).softmax(1).numpy(), y, teacher


def test_a_teacher_learns_from_few_labels_the_same_every_time():
    said, y, teacher = taught(least_steps=50, learning_rate=0.02)
    assert (said.argmax(1) == y).mean() > 0.95
    assert (taught(least_steps=50, learning_rate=0.02)[0] == said).all()
    assert (teacher.steps, teacher.epochs) == (1, 50)
    assert teacher.learner.loss.weight == QUICK.consistency  # long after the ramp
    assert not np.allclose(said, taught(least_steps=50, learning_rate=0.02, consistency=0.0)[0])


def test_the_teacher_is_the_mean_of_the_student():
    """With share 0 it would be the student itself; .999 of early weights lags behind."""
    _, _, teacher = taught(least_steps=40, teacher=0.9)
    student, mean = teacher.learner.net.state_dict(), teacher.learner.judged.state_dict()
    assert all(not torch.equal(student[name], mean[name]) for name in student if "weight" in name)
    _, _, alone = taught(least_steps=40, teacher=0.0)
    assert alone.learner.judged is alone.learner.net


def test_a_batch_has_others_and_what_the_teacher_says_of_them():
    _, _, teacher = taught()
    images, targets = next(teacher.batches(1))
    known = targets[:, :2].isfinite().all(1)
    assert known.tolist() == [True] * 10 + [False] * 10
    assert torch.allclose(targets[:, 2:].sum(1), torch.ones(20))
    assert len(images) == 20
    alone = MeanTeacher(
        teacher.net, teacher.draw, teacher.target, QUICK.model_copy(update={"consistency": 0})
    )
    assert len(next(alone.batches(1))[0]) == 10


def test_a_loss_that_is_no_number_is_said():
    with pytest.raises(ModelError, match="no number any more: take a lower learning_rate"):
        taught(learning_rate=1e30, least_steps=10)


def test_sharpened_shares_by_hand():
    share = np.array([[0.5, 0.5, 0], [0.25, 0, 0.75], [np.nan] * 3])
    found = sharpened(share, 0.5)
    assert found[:2].tolist() == [[0.75, 0.25, 0], [0.125, 0, 0.875]]
    assert np.isnan(found[2]).all()
    assert (sharpened(share, 0)[:2] == share[:2]).all()


def test_the_logistic_regression_is_that_of_hard_labels_and_knows_missing_classes():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 4)), np.arange(60) % 3
    x[:, :3] += np.eye(3)[y]
    weight, bias = _logistic(x[None], np.eye(3)[y], 0.5)
    fitted = LogisticRegression(C=0.5, max_iter=2000).fit(x, y)
    np.testing.assert_allclose(weight, fitted.coef_, atol=2e-3)
    np.testing.assert_allclose(bias, fitted.intercept_, atol=2e-3)
    twice = _logistic(np.stack([x, x]), np.eye(3)[y], 0.5)
    np.testing.assert_allclose(twice[0], weight, atol=2e-3)  # a tile counts once, however often it is seen
    two = y < 2
    weight, bias = _logistic(x[two][None], np.eye(3)[y[two]], 0.5)
    logits = x[two] @ weight.T + bias
    said = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wanted = LogisticRegression(C=0.5, max_iter=2000).fit(x[two], y[two]).predict_proba(x[two])
    np.testing.assert_allclose(said[:, :2], wanted, atol=1e-3)
    assert said[:, 2].max() < 1e-6


# -- the whole ---------------------------------------------------------------------------------


def test_tiles_get_their_classes_and_their_figures(result):
    truth = np.arange(3 * EACH + 6) % 3
    truth[3 * EACH :] = np.arange(6) % 3
    assert result.said.shape == (3 * EACH + 6, 3)
    np.testing.assert_allclose(result.said.sum(1), 1, atol=1e-5)
    assert (result.said.argmax(1) == truth).mean() > 0.9
    assert (result.held.argmax(1) == truth[: 3 * EACH]).mean() > 0.8
    found = result.evaluation
    assert found["metrics"]["oa"]["value"] == (result.held.argmax(1) == truth[: 3 * EACH]).mean()
    assert found["cells"] == 36
    assert found["folds"]["k"] == 3
    assert found["folds"]["leaks"] is True
    assert "nobody knows where they lie" in found["folds"]["kind"]
    assert found["tiles"] == {"train": 36, "without a label": 6}
    assert found["agreement"] == pytest.approx(0.25 * 1 + 0.75 * 0.75)
    assert found["cross_entropy"] > found["least_cross_entropy"] > 0
    json.dumps(found)


def test_cross_entropy_by_hand():
    """Shares .5 .5 and said .5 .5: log 2, the least there is; said .9 .1: -(log .9 + log .1) / 2."""
    share = np.array([[0.5, 0.5]])
    assert cross_entropy(share, share) == pytest.approx(np.log(2))
    assert cross_entropy(np.array([[0.9, 0.1]]), share) == pytest.approx(-np.log(0.09) / 2)
    labels = SoftLabels(np.array(["a", "b"]), np.array([[0.5, 0.5, 0], [0, 0, 1.0]]))
    found = evaluated(labels.share, labels, Folds(np.array([0, 1]), kind="two"))
    assert found["cross_entropy"] == pytest.approx(np.log(2) / 2, abs=1e-6)
    assert found["least_cross_entropy"] == pytest.approx(np.log(2) / 2)


def test_the_package_says_the_same(result, tmp_path: Path):
    result.model.save(tmp_path / "m")
    model = load_model(tmp_path / "m")
    assert isinstance(model, NetModel)
    assert model.scheme.labels == CLASSES
    chips = tiles()
    np.testing.assert_allclose(tile_probabilities(model, chips), result.said, atol=1e-4)
    np.testing.assert_allclose(result.probabilities(chips), result.said, atol=1e-4)
    assert not [path for path in (tmp_path / "m").iterdir() if path.suffix in (".pkl", ".pt", ".pickle")]
    # a map: a class for each tile of a mosaic
    mosaic = np.concatenate(list(chips.images[:4]), axis=2)[None].astype(np.float32)
    np.testing.assert_allclose(model.predict(mosaic)[0, :, 0].T, result.said[:4], atol=1e-4)


def test_tiles_of_another_kind_are_refused(result):
    chips = tiles(1, further=0)
    with pytest.raises(ModelError, match="tiles of 32 pixels with the bands red, green, blue; these have 16"):
        result.probabilities(replace(chips, images=chips.images[..., :16, :16]))
    with pytest.raises(ModelError, match="these have 32 and blue, green, red: cut tiles alike"):
        result.probabilities(replace(chips, bands=BANDS[::-1]))


def test_a_second_start_goes_on_with_what_was_seen(tmp_path: Path, monkeypatch):
    """42 tiles are looked at in two chunks a view; the first start is cut off in the second view."""
    labels, look, calls = soft(3 * EACH), tile_classes_seen.Looking._seen, []
    monkeypatch.setattr(tile_classes_seen, "CHUNK", 32)

    def counted(self, which, view, start):
        if len(calls) == 3 and not (tmp_path / "second").exists():
            raise KeyboardInterrupt
        calls.append((view, start))
        return look(self, which, view, start)

    monkeypatch.setattr(tile_classes_seen.Looking, "_seen", counted)
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    with pytest.raises(KeyboardInterrupt):
        train_tile_classes(tiles(), labels, config=QUICK, work=work, folds=2)
    (tmp_path / "second").mkdir()
    made = train_tile_classes(tiles(), labels, config=QUICK, work=work, folds=2)
    assert calls == [(0, 0), (0, 32), (1, 0), (1, 32)]
    other.mkdir()
    undisturbed = train_tile_classes(tiles(), labels, config=QUICK, work=other, folds=2)
    assert (made.said == undisturbed.said).all()
    assert len(calls) == 8
    darker = QUICK.model_copy(update={"brightness": 0.5})  # seen otherwise, so seen again
    train_tile_classes(tiles(), labels, config=darker, work=work, folds=2)
    assert calls[8:] == [(1, 0), (1, 32)]


def test_a_held_out_tile_is_judged_without_its_label(tmp_path: Path, monkeypatch):
    """Whatever people say of the tiles of a fold: what is said of them when held out stays the same."""
    labels = soft(3 * EACH)
    fold = Folds(np.arange(3 * EACH) // 3 % 2, kind="fixed")
    monkeypatch.setattr(tile_classes, "tile_folds", lambda *_, **__: fold)
    wrong = labels.share.copy()
    wrong[fold.fold == 0] = wrong[fold.fold == 0][:, [1, 2, 0]]
    quick = QUICK.model_copy(update={"views": 1})
    one = train_tile_classes(tiles(), labels, config=quick, work=tmp_path)
    other = train_tile_classes(tiles(), SoftLabels(labels.name, wrong), config=quick, work=tmp_path)
    assert (one.held[fold.fold == 0] == other.held[fold.fold == 0]).all()
    assert not np.allclose(one.held[fold.fold == 1], other.held[fold.fold == 1])


def test_the_same_tile_stands_in_one_fold():
    chips = tiles(further=0)
    images = chips.images.copy()
    images[1:30:3] = images[1]
    folds = tile_folds(replace(chips, images=images), soft(3 * EACH), k=3, seed=0)
    assert len(np.unique(folds.fold[1:30:3])) == 1
    assert len(np.unique(folds.fold)) == 3


def test_where_places_are_known_folds_are_land_with_a_gap():
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(3 * EACH), 6)
    lonlat = np.stack([127 + x * 0.02 / np.cos(np.radians(39)), 39 + y * 0.02], 1)  # 2.2 km a side
    chips = replace(tiles(further=0), lonlat=lonlat)
    order = rng.permutation(3 * EACH)
    labels = SoftLabels(chips.name[order], soft(3 * EACH).share[order])
    folds = tile_folds(chips, labels, k=3, seed=0)
    assert folds.leaks is False
    assert folds.kind.startswith("squares of")
    for train, test in folds:
        cell = np.stack([x, y], 1)[order]
        apart = np.abs(cell[train][:, None] - cell[test][None]).max(2)
        assert apart.min() > 1  # no neighbour, not even at a corner
    with pytest.raises(FoldsError, match="30 folds were asked for"):
        tile_folds(chips, labels, k=30, seed=0)


def encoder(*, net: str = "compact", bands: tuple[Band, ...] = BANDS, **settings) -> NetModel:
    built = {"in_channels": 3, "out_channels": 2, **settings}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        made = build_net(net, **built)
    config = NetConfig(net=net, settings=built, mean=(9,) * 3, sd=(2,) * 3, patch=32, stride=32)
    return NetModel(made, config, bands, named_scheme("scene", ("lake", "wood")), None)


def test_an_encoder_sees_too_and_stays_as_it_is(tmp_path: Path):
    known = encoder(width=4, stages=1)
    labels = soft(3 * EACH)
    config = QUICK.model_copy(update={"views": 1, "use": "net"})
    made = train_tile_classes(tiles(), labels, config=config, work=tmp_path, encoder=known, folds=2)
    assert made.model.config.settings["width"] == 4
    assert made.model.config.precision == "bf16"
    held = made.model.net.features
    assert held.out_channels == held.statistics + 2 * 8
    for name, weight in known.net.features.state_dict().items():
        assert torch.equal(held.body.state_dict()[name], weight)
    made.model.save(tmp_path / "m")
    np.testing.assert_allclose(tile_probabilities(load_model(tmp_path / "m"), tiles()), made.said, atol=0.03)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"net": "cbam"}, "The encoder is a net 'cbam': give a compact one, of jido scene train"),
        ({"bands": BANDS[::-1]}, "reads the bands blue, green, red, the tiles have red, green, blue"),
    ],
)
def test_encoders_that_do_not_fit(tmp_path: Path, given, said):
    with pytest.raises(ModelError, match=said):
        train_tile_classes(tiles(), soft(36), config=QUICK, work=tmp_path, encoder=encoder(**given))


def test_tiles_and_labels_from_which_nothing_can_be_learned(tmp_path: Path):
    chips, labels = tiles(), soft(3 * EACH)

    def refused(error, said, chips=chips, labels=labels, **options):
        with pytest.raises(error, match=said):
            train_tile_classes(chips, labels, config=QUICK, work=tmp_path, **options)

    refused(LabelsError, r"1 labelled tiles \(nowhere\) are not among the 42 tiles",
            labels=SoftLabels(np.array(["nowhere"]), np.array([[1.0, 0, 0]])))  # fmt: skip
    refused(LabelsError, "The labelled tiles are 12 urban, 1 rural, 0 uninhabited: label more",
            labels=SoftLabels(chips.name[:13], np.eye(3)[[0] * 12 + [1]]))  # fmt: skip
    refused(FoldsError, "40 folds were asked for but there are 36 groups", folds=40)
    decibels = replace(chips, images=-chips.images.astype(np.float32))
    refused(ImageError, r"The band '\w+' has a mean of -9\d", chips=decibels)
    small = replace(chips, images=chips.images[..., :16, :16])
    refused(ImageError, "Tiles of 16 pixels are too small: give 32 or more", chips=small)
    assert list(tmp_path.iterdir()) == []


def test_missing_pixels_are_taken_for_the_mean(tmp_path: Path):
    chips = tiles()
    images = chips.images.astype(np.float32)
    images[:, :, :4] = np.nan
    images[-1] = np.nan
    gaps = replace(chips, images=images)
    made = train_tile_classes(gaps, soft(3 * EACH), config=QUICK, work=tmp_path, folds=2)
    assert np.isfinite(made.said).all()
    assert made.evaluation["metrics"]["oa"]["value"] > 0.6


def test_settings(tmp_path: Path):
    assert load_tile_classes_config().consistency == 12.5
    assert load_tile_classes_config(preset="smoke").views == 1
    (tmp_path / "s.toml").write_text("hidden = 7")
    assert load_tile_classes_config(tmp_path / "s.toml", given={"seed": 3}).hidden == 7
    (tmp_path / "s.toml").write_text("colours = 7")
    with pytest.raises(ModelError, match=r"s\.toml cannot be used .*colours"):
        load_tile_classes_config(tmp_path / "s.toml")


def test_the_table_of_classes(tmp_path: Path):
    said = np.array([[0.2, 0.5, 0.3], [0.25, 0.25, 0.5]])
    assert write_classes(["a", "b/c"], said, tmp_path / "c.csv") == {"urban": 0, "rural": 1, "uninhabited": 1}
    with (tmp_path / "c.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "urban", "rural", "uninhabited", "class"]
    assert rows[1:] == [["a", "0.2000", "0.5000", "0.3000", "rural"],
                        ["b/c", "0.2500", "0.2500", "0.5000", "uninhabited"]]  # fmt: skip


# -- the command -------------------------------------------------------------------------------


def run(*words: object):
    app = typer.Typer()
    app.command()(label)
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("tiles")
    chips = tiles()
    for name, image in zip(chips.name, chips.images, strict=True):
        Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))).save(place / f"{name}.png")
    return place


def test_the_form_is_drawn_filled_in_and_learned_from(folder: Path, tmp_path: Path):
    asked = run(folder, "-o", tmp_path / "form", "--n", 30, "--json", "--quiet")
    assert asked.exit_code == 0
    told = json.loads(asked.stdout)
    assert (told["drawn"], told["tiles"], told["pages"]) == (30, 42, 1)
    assert sorted(path.name for path in (tmp_path / "form").iterdir()) == ["labels.csv", "sheets"]
    with (tmp_path / "form/labels.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", *CLASSES]
    assert len({row[0] for row in rows[1:]}) == 30
    filled = tmp_path / "filled.csv"
    with filled.open("w", newline="") as file:
        marked = [[row[0], *np.eye(3)[int(row[0][1:]) % 3]] for row in rows[1:]]
        csv.writer(file).writerows([rows[0], *marked])
    (tmp_path / "s.toml").write_text("views = 1\nhidden = 8\nleast_steps = 20\nepochs = 2")
    words = (folder, "--labels", filled, "-o", tmp_path / "c", "--folds", 3, "--config", tmp_path / "s.toml")
    learned = run(*words, "--json", "--quiet")
    assert learned.exit_code == 0
    told = json.loads(learned.stdout)
    assert set(told) >= {"classes", "model", "metrics", "folds", "count", "seconds"}
    assert set(told["metrics"]["oa"]) == {"value", "lower", "upper"}
    assert sum(told["count"].values()) == 42
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["classes.csv", "metrics.json", "model", "sheets"]
    sheets = sorted(path.name for path in (tmp_path / "c/sheets").iterdir())
    assert sheets == ["rural.png", "uninhabited.png", "urban.png"]
    with (tmp_path / "c/classes.csv").open() as file:
        found = {row["id"]: row["class"] for row in csv.DictReader(file)}
    right = [found[f"t{i}"] == CLASSES[i % 3] for i in range(42)]
    assert np.mean(right) > 0.85
    assert load_model(tmp_path / "c/model").evaluation["metrics"] == told["metrics"]
    again = run(*words, "--quiet")  # what stands there is of this command and is replaced
    assert again.exit_code == 0
    assert "Overall accuracy" in again.stdout
    assert "expected to name the most frequent answer in 100.0% of the tiles; 0 have" in again.stdout
    assert not (tmp_path / ".c.run").exists()


def test_nothing_of_somebody_else_is_overwritten(folder: Path, tmp_path: Path):
    def refused(said: str, output: Path, *inputs: Path, asked: bool) -> None:
        with pytest.raises(OutputError, match=said):
            require_label_place(output, [folder, *inputs], asked=asked)

    form = tmp_path / "form"
    (form / "sheets").mkdir(parents=True)
    (form / "labels.csv").write_text("id,urban,rural,uninhabited\n")
    refused("may be filled in already", form, asked=True)
    refused("holds labels.csv, which a new run would take away", form, form / "labels.csv", asked=False)
    refused("would be read as tiles the next time", folder / "c", asked=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    for asked in (True, False):
        refused("holds notes.txt", tmp_path / "mine", asked=asked)
    require_label_place(tmp_path / "new", [folder], asked=True)
    made = run(folder, "-o", form, "--quiet")
    assert isinstance(made.exception, OutputError)
    assert (form / "labels.csv").read_text() == "id,urban,rural,uninhabited\n"


# -- real tiles --------------------------------------------------------------------------------


@pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
def test_real_tiles_are_told_apart(tmp_path: Path):
    """150 tiles of 128 pixels, seen once, texture alone: far above the largest class."""
    with (SISCORE / "nk_annotation/labeling_result.csv").open() as file:
        ids = [row["image_id"] for row in csv.DictReader(file)][::4]
    pictures = [Image.open(SISCORE / f"nk_annotation/gis/{i}.jpg").convert("RGB").reduce(2) for i in ids]
    images = np.stack([np.asarray(one).transpose(2, 0, 1) for one in pictures])
    chips = Chips(images, np.full(len(ids), -1), np.array(ids), (), BANDS)
    share = tmp_path / "share.csv"
    rows = (SISCORE / "nk_annotation/labeling_result.csv").read_text().splitlines()
    share.write_text("\n".join([rows[0], *(row for row in rows if row.split(",")[0] in ids)]))
    labels = read_labels([share], ids)
    config = TileClassesConfig(views=1, use="linear")
    found = train_tile_classes(chips, labels, config=config, work=tmp_path, folds=3).evaluation
    largest = np.bincount(labels.label).max() / len(labels)
    assert largest < 0.65
    assert found["metrics"]["oa"]["value"] > 0.7
    assert found["cross_entropy"] < 0.75
