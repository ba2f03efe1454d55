"""Clusters of tiles: vectors into groups by hand, a net that finds what colour hides, tables, the command."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

import typer  # noqa: E402
from PIL import Image  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

from jido.cli.score_cluster import cluster  # noqa: E402
from jido.data.chips import Chips  # noqa: E402
from jido.data.score_tiles import read_tiles  # noqa: E402
from jido.errors import ImageError, JidoError, LabelsError, ModelError, OutputError  # noqa: E402
from jido.geo import Band  # noqa: E402
from jido.losses.clusters import GroupLoss, view_distance  # noqa: E402
from jido.methods.classify import scene_model  # noqa: E402
from jido.methods.cluster_start import sensor_runs, shrunk  # noqa: E402
from jido.methods.deep_clusters import DeepClustering  # noqa: E402
from jido.methods.encoder_package import EncoderPackage  # noqa: E402
from jido.methods.grouping import grouped, whitened  # noqa: E402
from jido.methods.scene import SceneTraining  # noqa: E402
from jido.methods.scene_config import load_scene_config  # noqa: E402
from jido.methods.scene_data import SceneData  # noqa: E402
from jido.methods.tile_clusters import (  # noqa: E402
    Clusters,
    cluster_features,
    cluster_tiles,
    load_cluster_config,
    read_clusters,
    read_kinds,
)
from jido.nets.encoders import build_encoder  # noqa: E402
from jido.train import seeded  # noqa: E402

SISCORE = Path(__file__).parents[2] / "shared/data/siscore/cluster_nk_11_11"
RGB = tuple(Band(name, "aerial") for name in ("red", "green", "blue"))
PERIODS = (2, 4, 16)


def config(**given):
    return load_cluster_config(preset="smoke", given=given)


def stripes(each: int = 12, *, seed: int = 0) -> tuple[Chips, np.ndarray, np.ndarray]:
    """Tiles of stripes of three widths in two directions; their kinds and widths.

    All have the same mean and the same contrast: nothing but texture tells the widths.
    """
    rng, images, width, kind = np.random.default_rng(seed), [], [], []
    for name in ("urban", "rural"):
        for period in PERIODS:
            for _ in range(each):
                wave = np.roll(np.arange(32) // (period // 2) % 2 * 40.0 - 20, rng.integers(16))
                tile = np.broadcast_to(wave, (32, 32)) + 125 + rng.normal(0, 5, (3, 32, 32))
                images.append(tile.transpose(0, 2, 1) if rng.random() < 0.5 else tile)
                width.append(period)
                kind.append(name)
    chips = Chips(
        np.array(images).astype(np.uint8),
        np.full(len(images), -1),
        np.array([f"{i % 7}/{i}" for i in range(len(images))]),
        (),
        RGB,
    )
    return chips, np.array(kind), np.array(width)


def blobs(n: int, k: int, *, seed: int = 0) -> np.ndarray:
    """Vectors (n, 5) around k corners of a regular polygon in their first two numbers."""
    angle = 2 * np.pi * (np.arange(n) % k) / k
    round_ = np.zeros((n, 5))
    round_[:, 0], round_[:, 1] = np.cos(angle), np.sin(angle)
    return 10 * round_ + np.random.default_rng(seed).normal(0, 0.05, (n, 5))


# -- vectors into groups -----------------------------------------------------------------------


def test_whitening_gives_every_direction_the_same_say():
    # spread 3 along x, 1 along y: whitened, all four corners lie at +-45 degrees
    found = whitened(np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]]) + 7, dims=2)
    np.testing.assert_allclose(np.abs(found), math.sqrt(0.5))
    one = whitened(np.array([[3.0, 1], [3, -1], [-3, 1], [-3, -1]]), dims=1)  # x alone is kept
    assert one.shape == (4, 1)
    np.testing.assert_allclose(one.ravel() * one[0], [1, 1, -1, -1])


def test_whitening_of_vectors_that_are_all_the_same_or_of_one_is_nothing():
    for features in (np.full((5, 3), 4.0), np.ones((1, 8))):
        np.testing.assert_array_equal(whitened(features, dims=8), np.zeros((len(features), 1)))


def test_with_as_many_directions_as_tiles_all_are_equally_far():
    # the rows of U of n centred vectors: squared length 1 - 1/n, products -1/n, so cosines -1 / (n - 1)
    n = 20
    found = whitened(np.random.default_rng(0).normal(size=(n, 64)), dims=256)
    assert found.shape == (n, n - 1)
    cosine = found @ found.T
    np.testing.assert_allclose(cosine[~np.eye(n, dtype=bool)], -1 / (n - 1), atol=1e-9)
    assert load_cluster_config().dims_of(220) == 8  # which is why tiles are counted
    assert load_cluster_config().dims_of(20) == 2
    assert load_cluster_config().dims_of(10**6) == 256


@pytest.mark.parametrize("k", [3, 5])
def test_the_silhouette_finds_the_number_of_groups(k):
    part = grouped(blobs(60, k), "urban", config=config(k_least=2, k_most=8))
    assert part.k == k
    assert set(part.silhouettes) == set(range(2, 9))
    assert max(part.silhouettes, key=part.silhouettes.get) == k
    assert part.silhouettes[k] > 0.9
    assert adjusted_rand_score(np.arange(60) % k, part.label) == 1
    assert part.notes == ()
    assert part.distance.max() < 0.2


def test_a_number_that_is_asked_for_is_made_without_a_silhouette():
    part = grouped(blobs(60, 3), "rural", config=config(k_rural=5, k_urban=2))
    assert part.k == 5
    assert np.bincount(part.label).min() > 0
    assert part.silhouettes == {}


@pytest.mark.parametrize(
    ("features", "given", "k", "says"),
    [
        (np.ones((1, 3)), {}, 1, "There are 1 urban tiles, 1 of them different: too few to part"),
        (blobs(3, 3), {}, 1, "There are 3 urban tiles, 3 of them different: too few to part"),
        (np.ones((9, 3)), {}, 1, "There are 9 urban tiles, 1 of them different: too few to part"),
        (blobs(8, 4), {}, 4, "With 8 urban tiles no more than 4 clusters were tried, not 16."),
        (blobs(6, 3), {}, 3, "With 6 urban tiles no more than 3 clusters were tried, not 16."),
        (blobs(60, 7), {"k_most": 6, "k_least": 5}, 6, "highest at 6 clusters, the most that were tried"),
        (
            np.repeat(np.eye(3), 3, 0),
            {"k_urban": 5},
            3,
            "Only 3 of the 9 urban tiles are different: they are 3",
        ),
    ],
)
def test_few_tiles_make_few_clusters_and_it_is_said(features, given, k, says):
    part = grouped(features, "urban", config=config(**given))
    assert part.k == k
    assert len(part.label) == len(features)
    assert says in part.notes[0]


def test_more_clusters_than_tiles_are_refused():
    with pytest.raises(
        LabelsError, match=r"5 clusters of urban tiles are asked for, but only 4 tiles are urban"
    ):
        grouped(blobs(4, 2), "urban", config=config(k_urban=5))


# -- clusters of all tiles ---------------------------------------------------------------------


def three_kinds() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, ids and kinds of 60 urban tiles in 3 groups, 40 rural ones in 4, and 7 uninhabited ones."""
    features = np.concatenate([blobs(60, 3), blobs(40, 4, seed=1), blobs(7, 1, seed=2)])
    kinds = np.repeat(["urban", "rural", "uninhabited"], [60, 40, 7])
    return features, np.array([f"t{i}" for i in range(107)]), kinds


def test_names_are_numbers_urban_first_uninhabited_last_and_kinds_never_mix():
    features, ids, kinds = three_kinds()
    found = cluster_features(features, ids, kinds, config=config(k_least=2, k_most=6))
    assert found.k == {"urban": 3, "rural": 4, "uninhabited": 1}
    assert found.clusters.names == tuple("01234567")
    told = [found.clusters.kind_of(name) for name in found.clusters.names]
    assert told == ["urban"] * 3 + ["rural"] * 4 + ["uninhabited"]
    assert adjusted_rand_score(np.arange(60) % 3, found.clusters.cluster[:60]) == 1
    assert len(found.clusters.members("7")) == 7
    assert found.notes == ()


def test_numbers_within_a_kind_are_dealt_out_by_chance():
    features, ids, kinds = three_kinds()
    several = [
        cluster_features(features, ids, kinds, config=config(k_urban=3, k_rural=4, seed=seed)).clusters
        for seed in range(6)
    ]
    assert {adjusted_rand_score(several[0].cluster, one.cluster) for one in several} == {1.0}
    assert len({one.cluster[0] for one in several}) == 3  # the first tile has been in 0, 1 and 2


def test_the_nearest_tiles_come_first():
    features, ids, kinds = three_kinds()
    features[0] *= 1.5  # still the same direction
    features[3] = 0.7 * features[3] + 0.3 * features[4]  # towards another group
    found = cluster_features(features, ids, kinds, config=config(k_urban=3, k_rural=4))
    name = found.clusters.cluster[0]
    order = found.nearest(name, 50)
    assert len(order) == 20
    assert order[-1] == 3
    assert (np.diff(found.distance[order]) >= 0).all()
    assert found.nearest(name, 4).tolist() == order[:4].tolist()


def test_kinds_without_tiles_and_clusters_of_one_tile_are_told():
    features, ids, _ = three_kinds()
    kinds = np.repeat(["rural", "uninhabited"], [106, 1])
    found = cluster_features(features, ids, kinds, config=config(k_rural=3))
    assert found.k == {"rural": 3, "uninhabited": 1}
    assert found.notes == (
        "No tile is urban, so there is no cluster of such tiles.",
        "Cluster 3 has one tile alone: ask for fewer clusters of its kind.",
    )
    assert found.silhouettes == {"rural": {}}


@pytest.mark.parametrize(
    ("kinds", "given", "error", "says"),
    [
        (["uninhabited"] * 4, {}, LabelsError, "None of the 4 tiles is urban or rural"),
        (
            ["rural"] * 4,
            {"k_urban": 2},
            LabelsError,
            "2 clusters of urban tiles are asked for, but no tile is",
        ),
        (
            ["rural"] * 4,
            {"k_rural": 9},
            LabelsError,
            "9 clusters of rural tiles are asked for, but only 4 tiles",
        ),
        (["town"] * 4, {}, LabelsError, "'town' is no kind of tile: use urban, rural, uninhabited."),
        (["rural"] * 3, {}, ValueError, "4 tiles have 3 kinds"),
    ],
)
def test_kinds_that_leave_nothing_to_part_are_refused_before_anything_is_learned(kinds, given, error, says):
    ids = np.array(list("abcd"))
    with pytest.raises(error, match=says):
        cluster_features(blobs(4, 2), ids, np.array(kinds), config=config(**given))
    chips = stripes(1)[0].subset(np.arange(4))
    unread = replace(chips, images=chips.images[:, :, :0])
    with pytest.raises(error, match=says):
        cluster_tiles(unread, np.array(kinds), config=config(**given))


# -- the net -----------------------------------------------------------------------------------


def test_the_distance_of_views_is_0_for_the_same_direction_2_across_and_4_for_the_opposite():
    one = torch.tensor([[3.0, 0], [1, 1]])
    assert view_distance(one, 2 * one).item() == pytest.approx(0, abs=1e-6)
    assert view_distance(one, -one).item() == pytest.approx(4)
    assert view_distance(one, one @ torch.tensor([[0.0, 1], [-1, 0]])).item() == pytest.approx(2)


def test_the_loss_is_cross_entropy_of_a_head_that_knows_nothing_plus_the_distance():
    loss = GroupLoss(2, 5, agreement=0.5)
    torch.nn.init.zeros_(loss.head.weight)
    vectors = torch.tensor([[1.0, 0], [0, 1], [0, 1], [-1, 0]])  # both pairs of views stand across
    assert loss(vectors, torch.tensor([0, 4])).item() == pytest.approx(math.log(5) + 0.5 * 2)
    with seeded(3):
        loss.renew()
    assert 0 < loss.head.weight.abs().max() < 0.05
    assert loss.head.bias.abs().max() == 0


def test_the_net_learns_textures_that_it_does_not_tell_apart_at_first():
    chips, kinds, width = stripes(20)
    given = {"k_urban": 3, "k_rural": 3, "least_steps": 10, "tiles_per_dim": 10}
    agree = {}
    for epochs in (0, 6):
        found = cluster_tiles(chips, kinds, config=config(epochs=epochs, **given))
        each = [
            adjusted_rand_score(width[kinds == kind], found.clusters.cluster[kinds == kind])
            for kind in ("urban", "rural")
        ]
        agree[epochs] = np.mean(each)
    assert agree[0] < 0.3  # with fresh weights
    assert agree[6] > agree[0] + 0.2
    assert [row["epoch"] for row in found.history] == [1, 2, 3, 4, 5, 6]
    assert found.history[0]["kept"] is None
    assert all(0 < row["largest"] < 0.5 and row["spread"] > 0.1 for row in found.history)


def test_a_seed_gives_the_same_bits_and_another_one_others():
    chips, kinds, _ = stripes(4)
    one, again, other = (cluster_tiles(chips, kinds, config=config(seed=seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.features, again.features)
    assert one.clusters.cluster.tolist() == again.clusters.cluster.tolist()
    assert not np.array_equal(one.features, other.features)


def test_a_training_that_was_cut_off_goes_on_to_the_same_bits(tmp_path, caplog):
    chips, kinds, _ = stripes(4)
    whole = cluster_tiles(chips, kinds, config=config(epochs=3))

    class Stopped(Exception): ...

    def stop(what: str, done: int, total: int) -> None:
        if done == 6:  # in the second of 3 epochs of 4 steps
            assert total == 12
            raise Stopped

    with pytest.raises(Stopped):
        cluster_tiles(chips, kinds, config=config(epochs=3), work=tmp_path, progress=stop)
    resumed = cluster_tiles(chips, kinds, config=config(epochs=3), work=tmp_path)
    np.testing.assert_array_equal(resumed.features, whole.features)
    told = [{key: value for key, value in row.items() if key != "seconds"} for row in resumed.history]
    assert told == [{key: value for key, value in row.items() if key != "seconds"} for row in whole.history]
    with caplog.at_level(logging.WARNING, "jido"):
        other = cluster_tiles(chips.subset(np.arange(20)), kinds[:20], config=config(epochs=1), work=tmp_path)
    assert "begun anew" in caplog.text
    assert len(other.history) == 1


def test_tiles_that_are_all_the_same_are_one_cluster_and_the_collapse_is_told_once(caplog):
    chips, kinds, _ = stripes(3)
    same = replace(chips, images=np.repeat(chips.images[:1], len(chips), 0))
    with caplog.at_level(logging.WARNING, "jido"):
        found = cluster_tiles(same, kinds, config=config(epochs=4))
    assert found.k == {"urban": 1, "rural": 1}
    assert "9 urban tiles, 1 of them different: too few to part" in found.notes[0]
    assert caplog.text.count("it has collapsed") == 1
    assert np.isfinite(found.features).all()


def test_a_loss_that_is_no_number_is_refused_in_words():
    chips, kinds, _ = stripes(3)
    with pytest.raises(ModelError, match="lower learning_rate"):
        cluster_tiles(chips, kinds, config=config(learning_rate=1e30, head_rate=1e30, epochs=3))


def test_missing_pixels_and_many_bands_are_taken():
    chips, kinds, _ = stripes(3)
    images = np.concatenate([chips.images, chips.images[:, :1]], axis=1).astype(np.float32)
    images[::2, :, :8], images[0] = np.nan, np.nan
    bands = (Band("VV", "sentinel-1"), *(Band(f"B{i}", "sentinel-2") for i in (2, 3, 4)))
    found = cluster_tiles(replace(chips, images=images, bands=bands), kinds, config=config(epochs=1))
    assert np.isfinite(found.features).all()
    assert sensor_runs(bands) == {"sentinel-1 1": 1, "sentinel-2 2": 3}


def test_tiles_are_averaged_over_what_is_known():
    image = np.array([[1, 3, 8, np.nan], [5, 7, np.nan, np.nan], [np.nan] * 4, [np.nan] * 4], np.float32)
    np.testing.assert_allclose(shrunk(image[None, None], 2)[0, 0], [[4, 8], [0, 0]])  # (1 + 3 + 5 + 7) / 4
    np.testing.assert_array_equal(shrunk(image[None, None, :2, :2], 2)[0, 0], [[1, 3], [5, 7]])


def test_tiles_too_small_for_the_net_and_unknown_settings_are_refused():
    chips, kinds, _ = stripes(2)
    with pytest.raises(ImageError, match="Tiles of 14 pixels are too small for this net: give 16 or more"):
        cluster_tiles(chips, kinds, config=config(side=15))
    with pytest.raises(ModelError, match="Views cannot be set up"):
        cluster_tiles(chips, kinds, config=config(views={"zoom": 2.0}))
    with pytest.raises(ModelError, match=r"no number of clusters from 5 to 3: give a k_least"):
        config(k_least=5, k_most=3)
    with pytest.raises(ModelError, match="known are"):
        config(clusters=3)


# -- what it begins with -----------------------------------------------------------------------


def encoder_package(**given) -> EncoderPackage:
    settings = {"kind": "residual", "width": 4, "kernels": 1}
    with seeded(5):
        encoder = build_encoder("residual", {"aerial": 3}, width=4, kernels=1)
    facts = {
        "weights": {name: value.numpy() for name, value in encoder.state_dict().items()},
        "settings": settings,
        "sensors": {"aerial": 3},
        "bands": RGB,
        "side": 16,
        "pixel_m": None,
        "config": {},
        "history": [],
        "package": "ENC",
    }
    return EncoderPackage(**facts | given)


def scene_net(chips: Chips):
    labelled = replace(chips, label=np.arange(len(chips)) % 2, classes=("a", "b"))
    setup = load_scene_config(
        given={"settings": {"width": 8}, "epochs": 1, "least_steps": 0, "batch": 8, "precision": "fp32"}
    )
    every = np.arange(len(chips))
    return scene_model(SceneTraining(SceneData(labelled, every, every[:0]), setup), {})


def test_without_epochs_an_encoder_says_what_it_has_learned():
    chips, kinds, _ = stripes(3)
    package = encoder_package()
    found = cluster_tiles(chips, kinds, config=config(epochs=0, precision="fp32"), start=package)
    encoder = build_encoder("residual", {"aerial": 3}, width=4, kernels=1).eval()
    encoder.load_state_dict(package.tensors())
    mean, sd = (part[:, None, None] for part in chips.moments(np.arange(len(chips))))
    with torch.inference_mode():
        said = encoder(torch.from_numpy((chips.images - mean) / sd)).numpy()
    np.testing.assert_allclose(found.features, said, atol=0.01)  # images are held with half precision
    assert found.history == []


def test_a_net_that_knows_classes_is_a_start_and_is_left_as_it_was():
    chips, kinds, _ = stripes(3)
    model = scene_net(chips)
    before = {name: value.clone() for name, value in model.net.state_dict().items()}
    still = cluster_tiles(chips, kinds, config=config(epochs=0, precision="fp32"), start=model)
    learned = cluster_tiles(chips, kinds, config=config(epochs=1, precision="fp32"), start=model)
    assert all(torch.equal(before[name], value) for name, value in model.net.state_dict().items())
    assert not np.array_equal(still.features, learned.features)
    mean, sd = (np.array(part, np.float32)[:, None, None] for part in (model.config.mean, model.config.sd))
    with torch.inference_mode():
        said = model.net.features(torch.from_numpy((chips.images - mean) / sd)).mean((2, 3)).numpy()
    np.testing.assert_allclose(still.features, said, atol=0.01)
    turned = replace(chips, images=chips.images[:, ::-1].copy(), bands=RGB[::-1])  # found by their names
    again = cluster_tiles(turned, kinds, config=config(epochs=0, precision="fp32"), start=model)
    np.testing.assert_array_equal(again.features, still.features)


def test_a_start_that_does_not_fit_the_tiles_is_refused():
    chips, kinds, _ = stripes(2)
    other = replace(chips, bands=(Band("nir"), *RGB[1:]))
    with pytest.raises(ModelError, match="The start reads bands red that are missing"):
        cluster_tiles(other, kinds, config=config(), start=scene_net(chips))
    with pytest.raises(ModelError, match="The encoder ENC has learned from the bands red, green, blue"):
        cluster_tiles(other, kinds, config=config(), start=encoder_package())
    with pytest.raises(ModelError, match="learned from pixels of 5 m, those of the images have 10 m"):
        cluster_tiles(
            replace(chips, pixel_m=(10.0, 10.0)),
            kinds,
            config=config(),
            start=encoder_package(pixel_m=(5, 5)),
        )
    dates = tuple(Band(f"{name}@{date}", "aerial") for date in (1, 2) for name in ("red", "green", "blue"))
    twice = replace(chips, images=np.concatenate([chips.images] * 2, axis=1), bands=dates)
    with pytest.raises(ModelError, match="The tiles have 2 dates, but an encoder sees one"):
        cluster_tiles(twice, kinds, config=config(), start=encoder_package())
    half = replace(chips, images=chips.images[:, :, :16, :16])
    with pytest.raises(ImageError, match="Tiles of 16 pixels are too small for a net of 32"):
        cluster_tiles(half, kinds, config=config(), start=scene_net(chips))
    with pytest.raises(ModelError, match="not those of its settings: pretrain again"):
        cluster_tiles(chips, kinds, config=config(), start=encoder_package(weights={}))


def test_tiles_get_the_pixels_that_an_encoder_has_learned_from():
    chips, kinds, _ = stripes(2)
    near = replace(chips, pixel_m=(10.0, 10.0))
    deep = DeepClustering(near, kinds, config(), start=encoder_package(pixel_m=(20.0, 20.0)))
    assert deep.images.shape[2:] == (16, 16)


# -- tables and folders ------------------------------------------------------------------------


def some_clusters() -> Clusters:
    kinds = np.array(["urban", "urban", "rural", "uninhabited"])
    return Clusters(np.array(["a/1", "a/2", "b_3", "007"]), np.array(["10", "10", "2", "x"]), kinds)


def test_a_table_is_read_as_it_was_written(tmp_path):
    one = some_clusters()
    one.write(tmp_path / "clusters.csv")
    for path in (tmp_path, tmp_path / "clusters.csv"):
        again = read_clusters(path)
        for name in ("ids", "cluster", "kind"):
            assert getattr(again, name).tolist() == getattr(one, name).tolist()
        assert again.notes == ("Cluster 2, x have one tile alone, which is little to judge a cluster by.",)
    assert one.names == ("2", "10", "x")
    assert one.cluster_of(["007", "nobody", "a/2"]).tolist() == ["x", "", "10"]
    assert one.members("10").tolist() == [0, 1]
    assert (one.kind_of("2"), len(one)) == ("rural", 4)


def test_a_table_of_a_spreadsheet_and_one_without_kinds_are_read(tmp_path):
    (tmp_path / "one.csv").write_text("\ufeffKind;ID;Cluster\nurban;0_1; 3\nurban;0_2;3\n", encoding="utf-8")
    found = read_clusters(tmp_path / "one.csv")
    assert (found.ids.tolist(), found.cluster.tolist()) == (["0_1", "0_2"], ["3", "3"])
    assert found.kind_of("3") == "urban"
    (tmp_path / "two.csv").write_text("id,cluster\n1,0\n2,0\n")
    assert read_clusters(tmp_path / "two.csv").kind.tolist() == ["", ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,group\n1,0\n", "has no column 'cluster', only id, group"),
        ("id,cluster\n", "There are no tiles in any cluster"),
        ("id,cluster\n1,0\n1,2\n", "1 is in the clusters twice"),
        ("id,cluster\n1,0\n2,\n", "The tile 2 has no cluster"),
        ("id,cluster,kind\n1,0,town\n", "'town' is no kind of tile"),
        ("id,cluster,kind\n1,0,urban\n2,0,rural\n", "Cluster 0 has tiles of rural and urban"),
        ("id,cluster\n1,0,5,7\n1,0\n1,2,3,4,5,6\n", "cannot be read"),
    ],
)
def test_bad_tables_are_refused_by_name(tmp_path, text, says):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(LabelsError, match=says) as caught:
        read_clusters(path)
    assert str(path) in str(caught.value)


def image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(path)


def test_a_folder_for_each_cluster_names_the_clusters(tmp_path):
    for name in ("2/5.png", "2/6.png", "10/5.png"):
        image(tmp_path / "set" / name, len(name))
    (tmp_path / "set" / "11").mkdir()
    found = read_clusters(tmp_path / "set")
    assert found.names == ("2", "10")
    assert sorted(found.ids.tolist()) == ["10/5", "2/5", "2/6"]
    assert set(found.kind.tolist()) == {""}
    assert found.notes == (
        "Cluster 11 holds no image and is left out.",
        "Cluster 10 has one tile alone, which is little to judge a cluster by.",
    )
    tiles = read_tiles(tmp_path / "set").chips  # the same ids
    assert found.cluster_of(tiles.name).tolist() == [name.split("/")[0] for name in tiles.name]
    image(tmp_path / "set" / "loose.png", 1)
    with pytest.raises(LabelsError, match=r"loose\.png lies in no folder of a cluster"):
        read_clusters(tmp_path / "set")
    image(tmp_path / "two" / "1/a.png", 1)
    image(tmp_path / "two" / "1/a.jpg", 1)
    with pytest.raises(LabelsError, match="1/a is in the clusters twice"):
        read_clusters(tmp_path / "two")
    with pytest.raises(LabelsError, match="nowhere does not exist"):
        read_clusters(tmp_path / "nowhere")


def test_kinds_come_from_classes_or_from_the_largest_share(tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("id,urban,rural,uninhabited,class\nb,0,.6,.4,rural\na,.9,.1,0,Urban\n")
    for path in (table, tmp_path):
        assert read_kinds(path, ["a", "b"]).tolist() == ["urban", "rural"]
    table.write_text("id,urban,rural,uninhabited\nb,0,.3,.7\na,.5,.25,.25\n")
    assert read_kinds(table, ["a", "b"]).tolist() == ["urban", "uninhabited"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,class\na,urban\n", "lacks b"),
        ("id,class\na,urban\nb,city\n", "has the class 'city'"),
        ("id,urban,rural,uninhabited\na,1,0,0\nb,x,0,0\n", "no number"),
        ("id,urban,rural,uninhabited\na,1,0,0\nb,nan,0,0\n", "no number at b"),
        ("id,urban,rural\na,1,0\nb,1,0\n", "no column 'uninhabited'"),
    ],
)
def test_bad_classes_are_refused(tmp_path, text, says):
    (tmp_path / "classes.csv").write_text(text)
    with pytest.raises(LabelsError, match=says):
        read_kinds(tmp_path, ["a", "b"])


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def town(tmp_path) -> Path:
    """A folder with tiles of stripes, 3 of them uninhabited, and their classes."""
    chips, kinds, _ = stripes(4)
    kinds = np.where(np.arange(len(kinds)) % 8 == 0, "uninhabited", kinds)
    for name, picture in zip(chips.name, chips.images, strict=True):
        path = tmp_path / f"tiles/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).save(path)
    rows = [f"{name},{kind}" for name, kind in zip(chips.name, kinds, strict=True)]
    (tmp_path / "classes.csv").write_text("\n".join(["id,class", *rows]) + "\n")
    return tmp_path


def run(*words: object):
    app = typer.Typer()
    app.command()(cluster)
    return CliRunner().invoke(app, [str(word) for word in words])


def asked(town: Path, *more: object, output: str = "clusters"):
    words = (town / "tiles", "--classes", town / "classes.csv", "-o", town / output, "--preset", "smoke")
    return run(*words, "--json", *more)


def test_the_command_writes_table_facts_and_sheets(town):
    done = asked(town, "--k-urban", 2, "--k-rural", 3, "--seed", 4)
    assert done.exit_code == 0, done.exception
    told = json.loads(done.stdout)
    assert told["k"] == {"urban": 2, "rural": 3, "uninhabited": 1}
    found, facts = read_clusters(town / "clusters"), json.loads((town / "clusters/clusters.json").read_text())
    assert {name: found.kind_of(name) for name in found.names} == told["kinds"] == facts["kinds"]
    assert sum(told["tiles"].values()) == len(found) == 24
    assert "tell no order" in facts["names"]
    assert facts["settings"]["seed"] == 4
    assert len(facts["history"]) == 2
    held = {str(path.relative_to(town / "clusters")) for path in (town / "clusters").rglob("*.png")}
    assert held == {"overview.png", *(f"sheets/{name}.png" for name in found.names)}
    assert sorted(path.name for path in town.iterdir()) == [
        "classes.csv",
        "clusters",
        "tiles",
    ]  # no checkpoint
    again = asked(town, "--k-urban", 2, "--k-rural", 3, "--seed", 4)  # older clusters are replaced
    assert again.exit_code == 0
    assert read_clusters(town / "clusters").cluster.tolist() == found.cluster.tolist()


def test_the_command_begins_with_a_package(town):
    encoder_package().save(town / "encoder")
    done = asked(town, "--start", town / "encoder", "--epochs", 0, "--k-urban", 2)
    assert done.exit_code == 0, done.exception
    facts = json.loads((town / "clusters/clusters.json").read_text())
    assert facts["start"].endswith("encoder")
    assert facts["silhouettes"]["urban"] == {}
    assert set(facts["silhouettes"]["rural"]) == {"4", "5"}  # 10 tiles: five clusters of two at most


def test_bad_commands_are_refused_and_leave_nothing(town):
    (town / "full").mkdir()
    (town / "full/kept.txt").write_text("kept")
    cases = [
        ((), "full", OutputError, "holds kept.txt"),
        ((), "tiles/out", OutputError, "its sheets would be read as tiles"),
        ((), "../" + town.name, OutputError, "holds"),
        (("--k-urban", 50), "x", LabelsError, "50 clusters of urban tiles are asked for"),
        (("--start", town / "tiles"), "x", ModelError, "tiles"),
        (("--config", town / "no.toml"), "x", ModelError, "cannot be read"),
    ]
    before = sorted(map(str, town.rglob("*")))
    for more, output, kind, says in cases:
        done = asked(town, *more, output=output)
        assert isinstance(done.exception, JidoError), done.output
        assert isinstance(done.exception, kind)
        assert says in str(done.exception)
        assert sorted(map(str, town.rglob("*"))) == before


# -- real tiles --------------------------------------------------------------------------------


@pytest.mark.skipif(not SISCORE.exists(), reason="needs the real data in siscore/cluster_nk_11_11")
def test_published_clusters_that_differ_in_light_are_found_again(tmp_path):
    for name in (2, 4, 14, 21):  # dark towns, contrasty towns, dark villages, bright fields
        (tmp_path / str(name)).mkdir()
        for path in (SISCORE / str(name)).iterdir():
            (tmp_path / str(name) / path.name).symlink_to(path)
    published, chips = read_clusters(SISCORE), read_tiles(tmp_path).chips
    assert published.names == tuple(map(str, range(22)))
    assert {len(published.members(name)) for name in published.names} == {20}
    theirs = published.cluster_of(chips.name)
    kinds = np.where(np.isin(theirs, ["2", "4"]), "urban", "rural")
    found = cluster_tiles(chips, kinds, config=config(k_urban=2, k_rural=2))
    for kind in ("urban", "rural"):
        assert adjusted_rand_score(theirs[kinds == kind], found.clusters.cluster[kinds == kind]) > 0.8
