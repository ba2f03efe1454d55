"""``jido score rank`` and ``jido score train``, and the whole chain from images to a map."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import shapely
from affine import Affine
from conftest import Refused, Run, held
from PIL import Image
from scipy.stats import spearmanr

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from jido.data.orders import read_orders  # noqa: E402
from jido.data.score_tiles import ScoreTiles, read_tiles  # noqa: E402
from jido.data.tile_clusters import Clusters, read_clusters  # noqa: E402
from jido.errors import LabelsError  # noqa: E402
from jido.labels import named_scheme  # noqa: E402
from jido.methods.net import NetConfig, NetModel  # noqa: E402
from jido.methods.score_package import ScoreModel  # noqa: E402
from jido.nets import build_net  # noqa: E402
from jido.stats.ordering import to_chains  # noqa: E402

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
EXPERTS = ("5>4>3>2>1>0", "5>3>4>2>1>0", "5>4>3>1>2>0", "5>4>3>2>0>1", "4>5>3>2>1>0")
FAST = ("--preset", "smoke", "--members", 4)


def picture(level: float, rng: np.random.Generator, side: int = 16) -> np.ndarray:
    """(side, side, 3): the higher the level the stronger the contrast."""
    return np.clip(110 + (5 + 60 * level) * rng.normal(size=(side, side, 3)), 0, 255).astype(np.uint8)


def folders(folder: Path, *, clusters: int = 6, each: int = 8) -> Path:
    """A folder of images for each cluster, called 0 (the least developed) to 5."""
    rng = np.random.default_rng(0)
    for k in range(clusters):
        (folder / str(k)).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(picture(k / (clusters - 1), rng)).save(folder / str(k) / f"{i}.png")
    return folder


@pytest.fixture(scope="session")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six clusters of tiles; nobody changes them."""
    return folders(tmp_path_factory.mktemp("six") / "clusters")


def text(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def poll(tmp_path: Path) -> Path:
    """Five experts, one a line."""
    return text(tmp_path / "poll.txt", *EXPERTS)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


# -- rank --------------------------------------------------------------------------------------


def test_experts_are_combined_into_a_folder(jido: Callable[..., Run], six: Path, poll: Path, tmp_path: Path):
    order = tmp_path / "order"
    names = text(tmp_path / "names.txt", "Ann", "Bob Q. Ray", "", "Eve", "Kim", "Lee")
    run = jido("score", "rank", six, "--from", poll, "--names", names, "-o", order, "--json")
    assert run.code == 0, run.err
    facts = run.json
    assert list(facts) == ["order", "clusters", "levels", "experts"]
    assert facts["clusters"] == 6
    assert [one["expert"] for one in facts["experts"]] == ["Ann", "Bob Q. Ray", "Eve", "Kim", "Lee"]
    assert {one["verdict"] for one in facts["experts"]} == {"agrees"}
    assert run.err == "poll.txt is read as the orders of 5 experts, one a line.\n"
    assert set(held(order)) == {
        "order.txt",
        "experts.txt",
        "levels.csv",
        "experts.csv",
        "tau.csv",
        "order.png",
    }
    assert (order / "experts.txt").read_text().splitlines()[2] == "5>3>4>2>1>0  # Bob Q. Ray"
    # 5>4>3>2>1>0 and 5>3>4>2>1>0 differ in 1 of 15 pairs: (14 - 1) / 15
    rows = table(order / "tau.csv")
    assert rows[0] == {"tau of": "Ann", "Ann": "1.0", "Bob Q. Ray": "0.8667", "Eve": "0.8667",
        "Kim": "0.8667",
                       "Lee": "0.8667"}  # fmt: skip
    levels = {row["cluster"]: int(row["level"]) for row in table(order / "levels.csv")}
    assert spearmanr(list(map(int, levels)), list(levels.values())).statistic > 0.9
    # read back, the experts have their names
    said = read_orders([order], read_clusters(six))
    assert said.names == ("Ann", "Bob Q. Ray", "Eve", "Kim", "Lee")
    # but not for clusters of other tiles, whose names mean other things
    held_now = read_clusters(six)
    others = Clusters(np.char.add(held_now.ids.astype(str), "x"), held_now.cluster, held_now.kind)
    with pytest.raises(LabelsError, match="was made for clusters of other tiles"):
        read_orders([order], others)
    assert [to_chains(one) for one in said.orders] == list(EXPERTS)
    assert said.notes == ()
    shutil.copy(order / "experts.txt", poll)  # whose name tells nothing: remarks are remarks there
    assert read_orders([poll], read_clusters(six)).names == tuple(f"poll {i}" for i in range(1, 6))


def test_words_for_a_person(jido: Callable[..., Run], six: Path, poll: Path, tmp_path: Path):
    run = jido("score", "rank", six, "--from", poll, "-o", tmp_path / "order", "-q")
    assert run.code == 0
    assert run.err == ""
    assert run.out.splitlines()[2].split()[:3] == ["poll", "1", "6"]
    assert run.out.endswith(f"Order: {tmp_path / 'order'}\n")
    again = jido("score", "rank", six, "--from", poll, "-o", tmp_path / "order", "-q")
    assert again.out == run.out  # replaced by the same


@pytest.mark.parametrize(
    ("lines", "how"),
    [
        (["0<1", "1<2", "2<3", "3=4", "4<5"], "one expert's order"),
        (["5>3", "3=4", "4>2", "2>1>0"], "one expert's order"),  # no line holds more than half of them
        (["5>4=3>2>1>0"], ""),
        (["# by hand", "", "５＞4＝3＞2＞1＞0".replace("５", "5"), "  "], ""),
        (["0<1", "1<2", "3=4", "2<3", "5=5x", "4<5"], "one expert's order"),
    ],
)
def test_one_expert_is_taken_as_he_is(six: Path, tmp_path: Path, lines: list[str], how: str):
    said = read_orders([text(tmp_path / "one.txt", *lines)], read_clusters(six))
    assert said.names == ("one",)
    assert to_chains(said.orders[0].among("012345")) == "5>3=4>2>1>0"
    assert said.notes[: bool(how)] == ((f"one.txt is read as {how}.",) if how else ())


def test_an_expert_who_skipped_most_clusters_stays_an_expert(six: Path, tmp_path: Path):
    file = text(tmp_path / "poll.txt", *EXPERTS[:2], "5>0 # was in a hurry", "3=4>9>1")
    said = read_orders([file], read_clusters(six))
    assert [to_chains(one) for one in said.orders] == [*EXPERTS[:2], "5>0", "3=4>9>1"]
    assert said.notes == (
        "poll.txt is read as the orders of 4 experts, one a line.",
        "poll 3 says nothing of cluster 1, 2, 3, 4.",
        "poll 4 says nothing of cluster 0, 2, 5.",
        "poll 4 names cluster 9, which has no tiles.",
    )


def test_several_files_are_several_experts(jido: Callable[..., Run], six: Path, tmp_path: Path):
    files = [
        text(tmp_path / f"{name}.txt", line) for name, line in zip(("expert", "b"), EXPERTS[:2], strict=True)
    ]
    run = jido(
        "score", "rank", six, "--from", files[0], "--from", files[1], "-o", tmp_path / "order", "--json"
    )
    assert run.code == 0, run.err
    assert [one["expert"] for one in run.json["experts"]] == ["expert", "b"]
    assert [row["tau of"] for row in table(tmp_path / "order/tau.csv")] == ["expert", "b"]


def test_an_expert_who_has_it_upside_down_is_named_and_turned(
    jido: Callable[..., Run], six: Path, tmp_path: Path
):
    poll = text(tmp_path / "poll.txt", *EXPERTS, "0>1>2>3>4>5")
    run = jido("score", "rank", six, "--from", poll, "-o", tmp_path / "order", "--json")
    assert run.json["experts"][5]["verdict"] == "reversed"
    assert "poll 6 says the opposite of the others, and is turned round." in run.err
    levels = {row["cluster"]: int(row["level"]) for row in table(tmp_path / "order/levels.csv")}
    assert levels["0"] < levels["5"]


def test_uninhabited_clusters_stand_below_all(jido: Callable[..., Run], tmp_path: Path):
    ids = np.array([f"t{i}" for i in range(6)])
    kinds = np.array(["urban", "urban", "rural", "rural", "uninhabited", "uninhabited"])
    clusters = Clusters(ids, np.array(list("543210")), kinds).write(tmp_path / "clusters.csv")
    upside_down = "2>3>4>5"
    poll = text(tmp_path / "poll.txt", *["5>4>3>2"] * 4, upside_down, "5>0>4>3>2")
    run = jido("score", "rank", clusters, "--from", poll, "-o", tmp_path / "order", "-q")
    assert run.code == 0, run.err
    levels = {row["cluster"]: int(row["level"]) for row in table(tmp_path / "order/levels.csv")}
    assert levels["1"] == 0
    assert min(levels[name] for name in "02345") > 0  # somebody has named 0, so it stands where they say
    assert (tmp_path / "order/experts.txt").read_text().splitlines()[5].startswith(upside_down)
    one = text(tmp_path / "one.txt", "5>4>3>2")
    jido("score", "rank", clusters, "--from", one, "-o", tmp_path / "order", "-q")
    assert (tmp_path / "order/order.txt").read_text().splitlines()[1] == "0<2"
    assert "0=1" in (tmp_path / "order/order.txt").read_text().split()


def test_experts_who_tell_no_clusters_apart_are_told_so(
    jido: Callable[..., Run], refused: Refused, six: Path, out: Path, tmp_path: Path
):
    poll = text(tmp_path / "poll.txt", "2>1>0", "2>1>0")
    run = jido("score", "rank", six, "--from", poll, "-o", tmp_path / "order", "--json")
    assert run.json["levels"] == 1
    assert "All clusters stand on one level, so no score can be learned: ask more experts." in run.err
    refused("score", "train", six, "--order", tmp_path / "order", "-o", out / "model",
            says=["What 2 experts say together tells no two clusters apart"])  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["0<1", "1<2", "2<0"], ["bad.txt: The order contradicts itself", "0<1 (line 1)", "2<0 (line 3)"]),
        (["5>4>3", "0>5>4>0>1>2>3"], ["bad.txt: The order contradicts itself", "line 2"]),
        (["hello"], ["bad.txt states no order: write lines such as 3=4>1>0"]),
        (["# 3>4"], ["bad.txt states no order"]),
        ([""], ["bad.txt states no order"]),
        (
            ["a>b>c"],
            ["None of the clusters that bad put in order (c, b, a, ...) has tiles", "(0, 1, 2, ...)"],
        ),
        (["3>>4"], ["bad.txt: "]),
        (["3>3"], ["bad.txt: 3>3"]),
    ],
)
def test_orders_that_cannot_be_are_refused(
    refused: Refused, six: Path, out: Path, tmp_path: Path, lines: list[str], says: list[str]
):
    bad = text(tmp_path / "bad.txt", *lines)
    refused("score", "rank", six, "--from", bad, "-o", out / "order", says=says)
    refused("score", "train", six, "--order", bad, "-o", out / "model", says=says)


def test_files_that_are_no_orders_are_refused(
    refused: Refused, six: Path, poll: Path, out: Path, tmp_path: Path
):
    command = ("score", "rank", six, "-o", out / "order", "--from")
    refused(*command, tmp_path / "none.txt", says=["none.txt cannot be read as text"])
    refused(*command, six / "0/0.png", says=["0.png cannot be read as text"])
    refused(
        *command, tmp_path, says=["holds neither experts.txt nor order.txt: give what jido score rank made"]
    )
    few = text(tmp_path / "few.txt", "Ann", "Bob")
    refused(
        *command, poll, "--names", few, says=["few.txt names 2 experts, but there are 5 orders: name each."]
    )
    twice = text(tmp_path / "twice.txt", *["Ann"] * 5)
    refused(*command, poll, "--names", twice, says=["names 1 experts, but there are 5 orders"])
    apart = text(tmp_path / "apart.txt", "2>1>0", "5>4>3", "2>1>0", "5>4>3")
    both = (apart, "--from", text(tmp_path / "more.txt", "2>1>0"))
    refused(*command, *both, says=["No expert compares"])


def test_what_would_be_lost_or_read_as_a_cluster_is_no_place_for_an_order(
    refused: Refused, poll: Path, out: Path, tmp_path: Path
):
    clusters = folders(tmp_path / "clusters", each=1)
    command = ("score", "rank", clusters, "--from", poll, "-o")
    refused(
        *command, clusters / "order", says=["lies in", "which holds clusters alone: choose another folder"]
    )
    refused(*command, tmp_path, says=["clusters lies in", "which would be replaced"])
    refused(*command, out, says=["holds kept.txt, which is no part of an order"])
    shutil.move(poll, out.parent / "far.txt")
    refused("score", "rank", clusters, "--from", poll, "-o", out / "o", says=["poll.txt cannot be read"])


# -- train -------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def scorer(six: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A score by the experts' orders; nobody changes it."""
    from conftest import said_by

    folder = tmp_path_factory.mktemp("scorer")
    poll = text(folder / "poll.txt", *EXPERTS)
    assert said_by("score", "rank", six, "--from", poll, "-o", folder / "order", "-q").code == 0
    run = said_by("score", "train", six, "--order", folder / "order", "-o", folder / "model", *FAST, "--json")
    assert run.code == 0, run.err
    facts = run.json
    assert list(facts) == ["model", "target", "agreement", "clusters", "experts", "members"]
    assert (facts["target"], facts["clusters"], facts["experts"], facts["members"]) == (
        "development score",
        6,
        5,
        4,
    )
    return folder / "model"


def test_a_score_of_orders_is_written_and_orders_new_tiles(scorer: Path, tmp_path: Path):
    facts = json.loads((scorer / "config.json").read_text())
    assert facts["facts"]["experts"] == [f"poll {i}" for i in range(1, 6)]
    assert facts["config"]["members"] == 4
    level, rng = np.random.default_rng(1).uniform(size=40), np.random.default_rng(2)
    for i, one in enumerate(level):
        Image.fromarray(picture(one, rng)).save(tmp_path / f"{i:02}.png")
    model, chips = ScoreModel.load(scorer), read_tiles(tmp_path).chips
    found, known = model.scores(chips), np.concatenate(list(model.described(chips)))
    np.testing.assert_allclose(model.scores(chips, features=known).members, found.members)
    assert spearmanr(found.score, level).statistic > 0.9
    assert (found.lower <= found.score).all()
    assert (found.score <= found.upper).all()


def test_a_table_of_clusters_does_as_well_as_folders(
    jido: Callable[..., Run], six: Path, poll: Path, scorer: Path, tmp_path: Path
):
    clusters = read_clusters(six)
    clusters.write(tmp_path / "clusters.csv")
    run = jido(
        "score", "train", six, "--clusters", tmp_path, "--order", poll, "-o", tmp_path / "model", *FAST
    )
    assert run.code == 0, run.err
    assert "order of unseen clusters kept (tau-b)" in run.out
    assert f"Model package: {tmp_path / 'model'}" in run.out
    one, other = (ScoreModel.load(path).ensemble for path in (scorer, tmp_path / "model"))
    np.testing.assert_array_equal(one.weight, other.weight)
    fewer = Clusters(np.array(["0/0", "5/0", "z"]), np.array(["0", "5", "5"]), np.full(3, ""))
    fewer.write(tmp_path / "few.csv")
    run = jido(
        "score",
        "train",
        six,
        "--clusters",
        tmp_path / "few.csv",
        "--order",
        poll,
        "-o",
        tmp_path / "m2",
        *FAST,
    )
    assert "Of 3 tiles in clusters 1 are not among the tiles." in run.err
    assert "46 of 48 tiles are in no cluster and teach nothing." in run.err


def test_wrong_combinations_of_options_are_refused(
    refused: Refused, six: Path, poll: Path, out: Path, tmp_path: Path
):
    command = ("score", "train", six, "-o", out / "model")
    survey = text(tmp_path / "survey.csv", "lat,lon,wealth", "1,2,3")
    one = ["Give either --order, or --survey with --target"]
    refused(*command, says=one)
    refused(*command, "--order", poll, "--survey", survey, "--target", "wealth", says=one)
    refused(*command, "--survey", survey, says=one)
    refused(*command, "--order", poll, "--target", "wealth", says=one)
    refused(
        *command,
        "--order",
        poll,
        "--nightlights",
        survey,
        says=["--nightlights is a floor beside a --survey"],
    )
    both = ("--survey", survey, "--target", "wealth")
    refused(*command, *both, "--clusters", six, says=["--clusters belongs to --order"])
    refused(*command, *both, "--nightlights", tmp_path / "none.tif", says=["none.tif"])
    refused(*command, *both, says=["Nobody knows where these tiles lie"])
    refused(*command, "--survey", survey, "--target", "health", says=["health"])
    refused(*command, "--order", poll, "--members", 1, says=["--members"])
    settings = text(tmp_path / "s.toml", 'features = "net"')
    refused(
        *command,
        "--order",
        poll,
        "--config",
        settings,
        says=["features of a net: say which model with --features"],
    )
    refused(*command, "--order", poll, "--features", six, says=["no model package"])
    refused(
        "score", "train", six, "--order", poll, "-o", out, says=["holds what is no model package (kept.txt)"]
    )
    archive = shutil.make_archive(str(tmp_path / "tiles"), "zip", six)
    refused("score", "train", archive, "--order", poll, "-o", out / "model", says=["give --clusters"])


def test_a_net_may_describe_the_tiles_and_is_not_overwritten(
    jido: Callable[..., Run], refused: Refused, six: Path, poll: Path, out: Path
):
    settings = {"in_channels": 3, "out_channels": 3, "width": 4}
    config = NetConfig(
        net="compact", settings=settings, mean=(110,) * 3, sd=(40,) * 3, patch=16, stride=16, tile=16
    )
    bands = read_tiles(six).chips.bands
    torch.manual_seed(0)
    NetModel(build_net("compact", **settings), config, bands, named_scheme("s", ("a", "b", "c")), None).save(
        out / "net"
    )
    command = ("score", "train", six, "--order", poll, "--features", out / "net", *FAST, "-o")
    refused(*command, out / "net", says=["net is the model that describes the tiles: give another name"])
    run = jido(*command, out / "model", "--json")
    assert run.code == 0, run.err
    assert json.loads((out / "model/config.json").read_text())["features"]["kind"] == "net"
    run = jido("score", "map", out / "model", six, "-o", out / "table.csv", "--json")
    assert run.code == 0, run.err
    rows = pandas.read_csv(out / "table.csv")
    assert spearmanr(rows.value, rows.id.str[0].astype(int)).statistic > 0.8


# -- the whole chain ---------------------------------------------------------------------------


LEFT, TOP = 4_320_000, 3_220_000


def a_country(folder: Path, across: int, down: int, *, cell: int = 1000) -> tuple[Path, np.ndarray]:
    """An image of cells of 32 pixels each, and how developed each is, (down, across); 0 is empty land."""
    rng = np.random.default_rng(0)
    level = np.r_[np.zeros(12), np.linspace(0.15, 1, across * down - 12)]
    level = rng.permutation(level).reshape(down, across)
    rows = [np.concatenate([picture(one, rng, 32) for one in row], axis=1) for row in level]
    pixels = np.concatenate(rows).transpose(2, 0, 1)
    place = {"transform": Affine(cell / 32, 0, LEFT, 0, -cell / 32, TOP), "crs": "EPSG:3035"}
    profile = {"driver": "GTiff", "count": 3, "height": 32 * down, "width": 32 * across, "dtype": "uint8"}
    with rasterio.open(folder / "country.tif", "w", photometric="rgb", **profile, **place) as sink:
        sink.write(pixels)
    return folder / "country.tif", level


def level_of(tiles: ScoreTiles, level: np.ndarray, *, cell: int = 1000) -> np.ndarray:
    """What was planted in each tile."""
    middle = shapely.get_coordinates(shapely.centroid(tiles.outline))
    return level[tuple(((np.array([TOP, -LEFT]) + middle[:, ::-1] * [-1, 1]) // cell).astype(int).T)]


def test_the_whole_chain_from_an_image_to_a_map(jido: Callable[..., Run], tmp_path: Path):
    image, level = a_country(tmp_path, 10, 6)
    tiles, clusters, order, model = (tmp_path / name for name in ("tiles", "clusters", "order", "model"))

    def step(*words: object) -> Run:
        run = jido("score", *words, "--json", "-q")
        assert run.code == 0, run.err
        assert run.json
        return run

    step("tiles", image, "--grid", "1km", "-o", tiles)
    cut = read_tiles(tiles)
    ids, truth = cut.id, level_of(cut, level)
    kinds = np.where(truth == 0, "uninhabited", np.where(truth > 0.6, "urban", "rural"))
    classes = text(tmp_path / "classes.csv", "id,class", *map(",".join, zip(ids, kinds, strict=True)))
    step("cluster", tiles, "--classes", classes, "--k-urban", 3, "--k-rural", 3, "--epochs", 0,
         "--preset", "smoke", "-o", clusters)  # fmt: skip
    groups = read_clusters(clusters)
    inhabited = [name for name in groups.names if groups.kind_of(name) != "uninhabited"]
    seen = {name: truth[np.isin(ids, groups.ids[groups.members(name)])].mean() for name in inhabited}
    best = sorted(seen, key=lambda name: -seen[name])
    worse = [*best[:-2], best[-1], best[-2]]
    poll = text(tmp_path / "poll.txt", *[">".join(best)] * 4, ">".join(worse))
    ranked = step("rank", clusters, "--from", poll, "-o", order).json
    assert ranked["clusters"] == len(inhabited) + 1
    told = step("train", tiles, "--clusters", clusters, "--order", order, "-o", model, *FAST).json
    assert told["experts"] == 5
    made = step("map", model, tiles, "-o", tmp_path / "map.gpkg", "--date", "2024-06-01").json
    assert made["cells"] == 60
    rows = geopandas.read_file(tmp_path / "map.gpkg").set_index("id").loc[ids]
    assert spearmanr(rows.value, truth).statistic > 0.8
    assert rows.value[truth == 0].mean() < rows.value[truth > 0.8].mean() - 0.5
    assert ((rows.lower <= rows.value) & (rows.value <= rows.upper)).all()


def test_a_survey_trains_a_model_whose_map_has_its_intervals(
    jido: Callable[..., Run], refused: Refused, out: Path, tmp_path: Path
):
    image, level = a_country(tmp_path, 12, 8, cell=5000)
    tiles, survey, light = tmp_path / "tiles", tmp_path / "survey.csv", tmp_path / "light.tif"
    assert jido("score", "tiles", image, "--grid", "5km", "-o", tiles, "-q").code == 0
    found, rng = read_tiles(tiles), np.random.default_rng(3)
    truth = level_of(found, level, cell=5000)
    lines = [f"{lat},{lon},u,{2 + 3 * one + rng.normal(0, 0.1)}"
             for (lon, lat), one in zip(found.chips.lonlat, truth, strict=True)]  # fmt: skip
    text(survey, "lat,lon,urban,wealth", *lines, "60,100,u,1", "0,0,u,2")
    with rasterio.open(image) as source, rasterio.open(light, "w", **{**source.profile, "count": 1}) as sink:
        sink.write(np.repeat(np.repeat((200 * level).astype(np.uint8), 32, 0), 32, 1), 1)
    command = ("score", "train", tiles, "--survey", survey, "--target", "Wealth", *FAST)
    run = jido(*command, "--nightlights", light, "-o", out / "model", "--json")
    assert run.code == 0, run.err
    assert "1 clusters at longitude 0, latitude 0 are left out." in run.err
    assert "1 of 97 clusters lie outside the imagery" in run.err
    facts = run.json
    assert facts["target"] == "Wealth"
    assert "squares" in facts["folds"]
    arms = {row["arm"]: row for row in facts["rows"] if row["part"] == "all"}
    assert len(arms) == 4
    half = arms["features of the tiles"]["half"]
    run = jido("score", "map", out / "model", tiles, "-o", out / "map.csv", "--json", "-q")
    assert run.json["summary"]["unit"] == "unit of Wealth"
    rows = pandas.read_csv(out / "map.csv")
    np.testing.assert_allclose(rows.upper - rows.value, half, rtol=1e-6)
    few = text(
        tmp_path / "few.csv",
        "lat,lon,wealth",
        *[",".join(np.array(line.split(","))[[0, 1, 3]]) for line in lines[:9]],
    )
    refused("score", "train", tiles, "--survey", few, "--target", "wealth", "-o", out / "m2",
            says=["9 survey clusters lie inside the imagery, which is too few"])  # fmt: skip


# -- real data ---------------------------------------------------------------------------------


@pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
def test_ten_real_experts_score_places_like_the_published_score(jido: Callable[..., Run], tmp_path: Path):
    """Shipped clusters and the tiles that all annotators called uninhabited; none that is also elsewhere."""
    tiles, twice = tmp_path / "tiles", (SISCORE / "duplicate_tiles.csv").read_text()
    rows = []
    for path in sorted((SISCORE / "cluster_nk_11_11").glob("*/*.jpg")):
        if f"cluster_nk_11_11/{path.parent.name}/{path.name}" not in twice:
            rows.append((path, path.parent.name, "urban" if int(path.parent.name) < 11 else "rural"))
    annotated = pandas.read_csv(SISCORE / "nk_annotation/labeling_result.csv", dtype={"image_id": str})
    gis = [
        SISCORE / f"nk_annotation/gis/{name}.jpg" for name in annotated.image_id[annotated.uninhabited == 1]
    ]
    empty = [path for path in gis if path.exists() and f"gis/{path.name}" not in twice]
    rows += [(path, "22", "uninhabited") for path in empty[:100]]
    for path, cluster, _ in rows:
        (tiles / cluster).mkdir(parents=True, exist_ok=True)
        (tiles / cluster / path.name).symlink_to(path)
    ids, names, kinds = zip(*((f"{c}/{path.stem}", c, kind) for path, c, kind in rows), strict=True)
    Clusters(np.array(ids), np.array(names), np.array(kinds)).write(tmp_path / "clusters.csv")
    poll = ("--from", SISCORE / "POG_annotation/POG_collection.txt")
    experts = ("--names", SISCORE / "POG_annotation/POG_annotators.txt")
    run = jido(
        "score", "rank", tmp_path / "clusters.csv", *poll, *experts, "-o", tmp_path / "order", "--json", "-q"
    )
    assert [one["expert"] for one in run.json["experts"]][:4] == ["sat1", "sat2", "sat3", "loc1"]
    settings = text(tmp_path / "s.toml", "filters = 32\nside = 64\nepochs = 4")
    run = jido("score", "train", tiles, "--clusters", tmp_path / "clusters.csv", "--order",
        tmp_path / "order",
               "--config", settings, "--members", 5, "-o", tmp_path / "model", "--json", "-q")  # fmt: skip
    assert run.code == 0, run.err
    assert run.json["agreement"] > 0.5
    run = jido(
        "score",
        "map",
        tmp_path / "model",
        SISCORE / "nk_2016",
        "--zoom-ids",
        14,
        "-o",
        tmp_path / "map.csv",
        "-q",
    )
    assert run.code == 0, run.err
    found = pandas.read_csv(tmp_path / "map.csv").set_index("id")
    published = (
        pandas.read_csv(SISCORE / "tables/NK_gt_stats_2016_2017.csv.gz").set_index("y_x").loc[found.index]
    )
    assert spearmanr(found.value, published.year2016).statistic > 0.4


def test_one_bad_line_names_the_file(six: Path, tmp_path: Path):
    with pytest.raises(LabelsError, match=r"order.txt: The order contradicts itself"):
        read_orders([text(tmp_path / "order.txt", "0<1", "1<0")], read_clusters(six))
