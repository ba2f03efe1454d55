"""All cases of the ginseng paper in one run: each as if alone, stage 1 once, one table, interruptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from conftest import Refused, Run, strict_json

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from test_two_stage import SIDE, settings, some_tiles  # noqa: E402

from jido.data.splits import Split  # noqa: E402
from jido.data.tiles import Tiles  # noqa: E402
from jido.errors import ModelError  # noqa: E402
from jido.methods.figures import FILES, write_figures  # noqa: E402
from jido.methods.figures.history import read_history, stage1_of, table2  # noqa: E402
from jido.methods.segment import Segmentation, train_cases, train_segmentation  # noqa: E402
from jido.methods.stage import Stage  # noqa: E402
from jido.methods.two_stage import Case  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

COUNT = 30
CASES = {
    "A_1-2": Case(1, 2),
    "A_1-3": Case(1, 3, "A", 2),
    "B_1-3": Case(1, 3, "B", 2),
    "B_1-4": Case(1, 4, "B", 2),
}
QUICK = {"batch": 2, "loss": "focal_tversky"}
"""With these few epochs are enough for false alarms, so that errors differ from case to case."""

COURSE = [
    *[("stage 1", 1), ("stage 1", 2), ("A_1-2", 1), ("A_1-2", 2)],
    *[("A", 3), ("A_1-3", 1), ("A_1-3", 2)],
    *[("B", 3), ("B_1-3", 1), ("B_1-3", 2)],
    *[("B", 4), ("B_1-4", 1), ("B_1-4", 2)],
]
"""What is trained, in order: what cases share comes once."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small nets wait for each other on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiles_and_split() -> tuple[Tiles, Split]:
    return some_tiles(COUNT), Split(np.repeat(["train", "val", "test"], [18, 6, 6]), "by hand")


def train(work: Path, cases: dict[str, Case] = CASES, **changed: Any) -> Segmentation:
    tiles, split = tiles_and_split()
    return train_cases(tiles, split, config=settings(**QUICK, **changed), work=work, cases=cases)


def weights(path: Path) -> dict[str, bytes]:
    """Those of the last epoch, from a checkpoint."""
    return {k: v.numpy().tobytes() for k, v in torch.load(path, weights_only=True)["net"].items()}


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Segmentation, Path, list[tuple[str, int]]]:
    """All cases, the folder of their checkpoints, and the epochs that were trained, in order."""
    work, stored, store = tmp_path_factory.mktemp("cases"), [], Stage.store

    def noted(self: Stage, *args: Any) -> None:
        store(self, *args)
        stored.append((self.name, self.learner.epoch))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "store", noted)
        return train(work), work, stored


def test_stage_1_is_trained_once(trained):
    assert trained[2] == COURSE


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_the_same_as_alone(trained, tmp_path: Path, name: str):
    result, work, _ = trained
    tiles, split = tiles_and_split()
    config = settings(**QUICK).case(name, CASES)
    alone = train_segmentation(tiles, split, config=config, work=tmp_path)
    facts = result.model.evaluation["cases"][name]
    for key in ("metrics", "validation_iou", "first_stage", "best_epoch"):
        assert facts[key] == alone.model.evaluation[key]
    assert weights(work / name / f"{name}.pt") == weights(tmp_path / "stage2.pt")
    first = f"{config.branch or 'stage1'}.pt"
    assert weights(work / name / first) == weights(tmp_path / first)
    here = without_seconds([*stage1_of(result.rows, name), *(r for r in result.rows if r["run"] == name)])
    there = without_seconds(alone.rows)
    assert here == [{**row, "run": name if row["stage"] == 2 else row["run"]} for row in there]


def test_branches_differ_and_a_longer_one_collects_more(trained):
    cases = trained[0].model.evaluation["cases"]
    cfdr = {name: facts["first_stage"]["cfdr"] for name, facts in cases.items()}
    assert list(cfdr) == list(CASES)
    assert 0 < cfdr["A_1-2"] <= min(cfdr["A_1-3"], cfdr["B_1-3"])
    assert cfdr["B_1-3"] <= cfdr["B_1-4"]
    a, b = (weights(trained[1] / name / f"{name[0]}.pt") for name in ("A_1-3", "B_1-3"))
    assert a != b
    assert cases["A_1-3"]["metrics"] != cases["B_1-3"]["metrics"]


@pytest.mark.parametrize("names", [["A_1-2", "A_1-3"], ["A_1-3", "A_1-2"]])
def test_the_model_is_that_of_the_best_validation_iou(tmp_path: Path, names: list[str]):
    """Whichever comes first."""
    result = train(tmp_path, {name: CASES[name] for name in names})
    evaluation = result.model.evaluation
    found = {name: facts["validation_iou"] for name, facts in evaluation["cases"].items()}
    assert list(found) == names
    best = max(found, key=lambda name: found[name])
    assert (evaluation["case"], evaluation["validation_iou"]) == (best, found[best])
    for key in ("metrics", "first_stage", "best_epoch"):
        assert evaluation[key] == evaluation["cases"][best][key]
    held = torch.load(tmp_path / best / f"{best}.pt", weights_only=True)["extra"]["best"]["weights"]
    for name, value in result.model.net.state_dict().items():
        assert torch.equal(value, held[name].cpu())


def test_one_table_and_one_history_hold_all_cases(trained, tmp_path: Path):
    result = trained[0]
    write_figures(result, tiles_and_split()[0], tmp_path / "figures")
    assert {path.name for path in (tmp_path / "figures").iterdir()} == FILES
    rows = read_history(tmp_path / "figures" / "history.csv")
    assert max(Counter((row["run"], row["epoch"]) for row in rows).values()) == 1  # each run stands once
    assert sorted((row["run"], row["epoch"]) for row in rows) == sorted(COURSE)
    assert [row["stage"] for row in rows] == [1] * 5 + [2] * 8
    table = (tmp_path / "figures" / "table2.md").read_text()
    for name, facts in zip(CASES, table2(rows), strict=True):
        assert facts["case"] == name
        assert facts["last_epoch"] == CASES[name].until
        assert facts["cfdr"] == result.model.evaluation["cases"][name]["first_stage"]["cfdr"]
        assert table.count(f"| {name} | 2-{CASES[name].until} |") == 3


@pytest.mark.parametrize("stop", [1, 3, 5, 8, 11, 13])
def test_a_run_that_was_cut_off_goes_on_with_the_same_bits(trained, tmp_path: Path, stop: int):
    store, stored = Stage.store, []

    def cut(self: Stage, *args: Any) -> None:
        store(self, *args)
        stored.append((self.name, self.learner.epoch))
        if len(stored) == stop:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "store", cut)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
        result = train(tmp_path)
    assert stored == COURSE  # no epoch twice, also not of a branch that has gone beyond an earlier case
    whole, work, _ = trained
    assert without_seconds(result.rows) == without_seconds(whole.rows)
    for key in ("case", "cases", "metrics"):
        assert result.model.evaluation[key] == whole.model.evaluation[key]
    for path in work.rglob("*.pt"):
        assert weights(tmp_path / path.relative_to(work)) == weights(path)
    assert np.array_equal(result.errors.bits, whole.errors.bits)


def test_folds_go_on_from_case_to_case(tmp_path: Path):
    store, stored = Stage.store, []

    def noted(self: Stage, *args: Any) -> None:
        store(self, *args)
        stored.append((self.name, self.learner.epoch))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stage, "store", noted)
        train(tmp_path, out_of_fold=2)
    folds = Counter(what for what in stored if what[0].startswith("fold"))
    assert folds == {(f"fold {i}", epoch): 1 for i in (1, 2) for epoch in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("cases", "stages", "says"),
    [
        (CASES, 1, "leave out --stages 1"),
        ({"A_1-2": Case(1, 2), "A_2-3": Case(2, 3)}, 2, "share stage 1"),
        ({"A_1-4": Case(1, 4, "A", 2), "B_1-4": Case(1, 4, "B", 3)}, 2, "share stage 1"),
        ({}, 2, "share stage 1"),
    ],
)
def test_what_is_no_set_of_cases_is_refused(tmp_path: Path, cases: dict[str, Case], stages: int, says: str):
    tiles, split = tiles_and_split()
    with pytest.raises(ModelError, match=says):
        train_cases(tiles, split, config=settings(stages=stages), work=tmp_path, cases=cases)
    assert not list(tmp_path.iterdir())


# -- the command -------------------------------------------------------------------------------


@pytest.fixture
def words(tmp_path: Path) -> list[object]:
    """The command for images and masks as PNG."""
    tiles, _ = tiles_and_split()
    every = np.arange(COUNT)
    for name, planes in (("images", tiles.images), ("masks", 255 * tiles.mask(every)[:, None])):
        (tmp_path / name).mkdir()
        size = {"count": planes.shape[1], "height": SIDE, "width": SIDE, "dtype": "uint8"}
        for i in every:
            with rasterio.open(tmp_path / name / f"{i:02}.png", "w", driver="PNG", **size) as sink:
                sink.write(planes[i].astype(np.uint8))
    (tmp_path / "tiny.toml").write_text("width = 4\ndepth = 1\nlearning_rate = 0.01\nepochs = 1\n")
    given = (
        "--images",
        tmp_path / "images",
        "--masks",
        tmp_path / "masks",
        "--config",
        tmp_path / "tiny.toml",
    )
    return ["segment", "train", *given, "--tile", SIDE, "--preset", "smoke", "--case", "all"]


@pytest.mark.parametrize("told", [(), ("--json",)])
def test_all_cases_in_one_command(
    jido: Callable[..., Run], words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...]
):
    monkeypatch.setattr("jido.methods.segment.train_cases", partial(train_cases, cases=CASES))
    monkeypatch.setattr("jido.methods.figures.draw_curves", lambda *args: None)
    run = jido(*words, "-o", tmp_path / "m", *told)
    assert run.code == 0
    judged = strict_json((tmp_path / "m" / "metrics.json").read_text())
    assert list(judged["cases"]) == list(CASES)
    assert not (tmp_path / ".m.run").exists()
    assert run.err.count("Train IoU is") == 1  # of the stage 1 that all share
    if told:
        assert run.json["case"] == judged["case"]
        assert run.json["cases"] == judged["cases"]
        return
    head = run.out.splitlines()[1]
    assert head.split("]")[1].split() == list(CASES)
    assert f"The model is that of {judged['case']}" in run.out
    assert f"--stages 1 --case {judged['case']}," in run.out
    assert run.out.count("when collecting began") == 1


def test_one_stage_has_no_cases_to_compare(refused: Refused, words, out: Path):
    refused(*words, "--stages", 1, "-o", out / "m", says=("leave out --stages 1, or give one case",))
