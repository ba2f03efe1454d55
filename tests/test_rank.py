"""The expert page without a browser: what is saved, what follows, who may ask, what is exported."""

from __future__ import annotations

import io
import itertools
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from conftest import Refused, Run
from PIL import Image

pytest.importorskip("starlette", reason='jido[web] is not installed: pip install "jido[web]"')

from starlette.testclient import TestClient

from jido.data.orders import mark, read_orders
from jido.data.score_tiles import read_tiles
from jido.data.tile_clusters import Clusters, read_clusters
from jido.errors import LabelsError, OutputError
from jido.stats.ordering import parse_chains, to_chains
from jido.web.rank import links, rank_site
from jido.web.rank_owner import agreement, disputes, said_so_far
from jido.web.rank_pictures import Pictures, sheet_pictures, tile_pictures
from jido.web.rank_state import Board, asked, expected, sentence, standing
from jido.web.rank_store import RankStore, StaleError, Step, expert_names

SISCORE = Path(__file__).parents[2] / "shared/data/siscore"
NAMES = ("0", "1", "2", "3", "4")


def folders(folder: Path, *, clusters: int = 5, each: int = 3) -> Path:
    """A folder of images for each cluster; the red of a tile is its cluster, the green its number."""
    for k in range(clusters):
        (folder / str(k)).mkdir(parents=True)
        for i in range(each):
            Image.new("RGB", (16, 16), (40 * k, 60 * i, 90)).save(folder / str(k) / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clusters of tiles; nobody changes them."""
    return folders(tmp_path_factory.mktemp("five") / "clusters")


class Desk:
    """The page, and its experts as browsers without one."""

    def __init__(self, clusters: Path, order: Path, names: str = "Kim, Lee") -> None:
        self.groups = read_clusters(clusters)
        order.mkdir(exist_ok=True)
        self.store = RankStore(order / "answers.sqlite", clusters=mark(self.groups))
        self.store.add_experts(expert_names(names))
        pictures = tile_pictures(read_tiles(clusters).chips, self.groups, asked(self.groups))
        self.client = TestClient(rank_site(self.store, self.groups, pictures), base_url="http://127.0.0.1:80")
        found = links(self.store, "/")
        self.links, self.owner = found["links"], found["owner"]

    def state(self, name: str = "Kim") -> dict:
        return self.client.get(f"{self.links[name]}state").json()

    def post(self, step: str, body: object, name: str = "Kim", **changed: object) -> httpx.Response:
        seen = self.state(name)["seen"] if isinstance(body, dict) else None
        return self.client.post(
            f"{self.links[name]}{step}", json={"seen": seen, **body, **changed} if seen is not None else body
        )

    def say(self, text: str, name: str = "Kim") -> dict:
        """``0<1 1=2``: answers, one after the other; the last state."""
        for left, sign, right in text.split():
            answer = self.post("answer", {"left": left, "sign": sign, "right": right}, name)
            assert answer.status_code == 200, answer.json()
        return answer.json()


@pytest.fixture
def desk(five: Path, tmp_path: Path) -> Desk:
    return Desk(five, tmp_path / "order")


def steps(*said: str | tuple[str, dict]) -> list[Step]:
    """``0<1`` is an answer."""
    found = []
    for i, one in enumerate(said, start=1):
        kind, body = one if isinstance(one, tuple) else ("answer", dict(zip(("left", "sign", "right"), one)))  # noqa: B905
        found.append(Step(i, kind, body))
    return found


def rows(text: str, aside: str = "") -> tuple[str, dict]:
    """``3=4>1`` as rows."""
    return "rows", {"rows": [row.split("=") for row in text.split(">")] if text else [], "aside": list(aside)}


def settle(drop: tuple[int, ...] = (), out: str = "") -> tuple[str, dict]:
    return "settle", {"drop": list(drop), "out": list(out)}


# -- what follows ------------------------------------------------------------------------------


class TestStanding:
    def test_what_follows_from_answers_is_their_order(self):
        found = standing(NAMES, steps("0<1", "1<2", "3=2", "4?0"))
        assert found.text == "2=3>1>0"
        assert found.pairs == (6, 10)
        assert found.order.skipped == ("4",)
        assert found.progress()["words"] == "4 of about 8 questions; the order is known for 6 of 10 pairs"

    def test_rows_state_every_pair_and_move_as_one(self):
        found = standing(NAMES, steps(rows("3=4>1>0"), rows("1>3=4")))
        assert found.text == "1>3=4"
        assert {str(one) for one in found.board.pairs()} == {"1>3 (rows)", "1>4 (rows)", "3=4 (rows)"}

    def test_rows_and_answers_join(self):
        assert standing(NAMES, steps(rows("3>1"), "1>0", "2>3")).text == "2>3>1>0"

    def test_the_fewest_statements_that_cannot_hold_are_named(self):
        found = standing(NAMES, steps("0<1", "1<2", "2<3", "3<1"))
        assert found.conflict()["words"] == [
            "You said that 1 is less developed than 2.",
            "You said that 2 is less developed than 3.",
            "You said that 3 is less developed than 1.",
        ]
        assert [one["drop"] for one in found.conflict()["choices"]] == [[2], [3], [4]]
        assert found.text == "3>2>1>0"  # what stood before
        assert found.question(None, seed=0) is None

    @pytest.mark.parametrize(("drop", "text"), [(2, "1>0, 1>3>2"), (3, "2>1>0, 1>3"), (4, "3>2>1>0")])
    def test_any_of_them_may_go(self, drop: int, text: str):
        found = standing(NAMES, steps("0<1", "1<2", "2<3", "3<1", settle((drop,))))
        assert found.newest is None
        assert found.text == text

    def test_a_second_way_round_is_asked_for_too(self):
        found = standing(NAMES, steps("0<1", "1<2", "0<3", "3<2", "2<0", settle((1,))))
        assert found.newest is not None
        assert {one["drop"][0] for one in found.conflict()["choices"]} == {3, 4, 5}

    def test_an_answer_against_rows_may_stay_and_the_cluster_leave_the_rows(self):
        said = (rows("3>1>0"), "1>3")
        found = standing(NAMES, steps(*said))
        assert found.conflict()["words"] == ["You said that 1 is more developed than 3.",
                                             "In your rows 3 lies above 1."]  # fmt: skip
        choices = [(one["drop"], one["out"]) for one in found.conflict()["choices"]]
        assert choices == [([2], []), ([], ["3"]), ([], ["1"])]
        assert standing(NAMES, steps(*said, settle(out="3"))).text == "1>0, 1>3"

    def test_rows_against_answers_are_put_back_or_hold(self):
        said = ("0<1", "1<2", rows("0>1>2"))
        found = standing(NAMES, steps(*said))
        choices = found.conflict()["choices"]
        assert choices[-1] == {
            "words": "Keep the rows, and take back the 2 answers against them", "drop": [1, 2], "out": []
        }  # fmt: skip
        assert {"words": "Put the rows back as they were", "drop": [3], "out": []} in choices
        assert found.board == Board()
        assert standing(NAMES, steps(*said, settle((3,)))).text == "2>1>0"
        assert standing(NAMES, steps(*said, settle((1, 2)))).text == "0>1>2"

    def test_equals_in_rows_against_an_answer(self):
        found = standing(NAMES, steps("0<1", rows("0=1")))
        assert found.conflict()["words"][1] == "In your rows 0 and 1 lie side by side."

    def test_of_clusters_laid_aside_nothing_is_said_or_asked(self):
        found = standing(NAMES, steps("0<1", "1<2", rows("", "1")))
        assert found.text == ""
        assert found.pairs == (0, 6)
        assert all("1" not in found.question(None, seed=seed) for seed in range(20))
        assert standing(NAMES, steps("0<1", "1<2", rows("", "1"), rows(""))).text == "2>1>0"

    def test_questions_end_when_all_is_known(self):
        said: list[Step] = []
        for i in range(1, 11):
            found = standing(NAMES, said)
            pair = found.question(None, seed=3)
            if pair is None:
                break
            left, right = pair
            body = {"left": left, "sign": "<" if left < right else ">", "right": right}
            said.append(Step(i, "answer", body))
        assert found.text == "4>3>2>1>0"
        assert len(said) < 10
        pairs = [frozenset((one.body["left"], one.body["right"])) for one in said]
        assert len(set(pairs)) == len(pairs)

    def test_pairs_in_rows_are_not_asked(self):
        found = standing(NAMES, steps(rows("3>2>1>0")))
        assert all("4" in found.question(None, seed=seed) for seed in range(20))

    def test_kinds_of_clusters_say_what_is_expected(self):
        ids, names = np.array(list("abcd")), np.array(list("0123"))
        kinds = np.array(["urban", "rural", "rural", "uninhabited"])
        groups = Clusters(ids, names, kinds)
        assert asked(groups) == ("0", "1", "2")
        assert expected(groups, asked(groups)) == {"0": 1.0, "1": 0.0, "2": 0.0}
        assert expected(Clusters(ids, names, np.full(4, "")), names) is None

    def test_names_that_no_order_can_hold_are_refused(self):
        for name in ("old town", "a>b", "x#"):
            with pytest.raises(LabelsError, match="cannot stand in an order"):
                asked(Clusters(np.array(["a", "b"]), np.array([name, "1"]), np.full(2, "")))
        with pytest.raises(LabelsError, match="an order takes two"):
            asked(Clusters(np.array(["a"]), np.array(["1"]), np.full(1, "")))


@pytest.mark.skipif(not SISCORE.exists(), reason="siscore is not at ../shared/data")
def test_two_questions_a_cluster_are_nearly_all_of_a_real_order():
    names = tuple(map(str, range(22)))
    known = {name: float(int(name) < 11) for name in names}
    shares = []
    for e, order in enumerate(parse_chains((SISCORE / "POG_annotation/POG_collection.txt").read_text())[:4]):
        signs, said = order.signs(names), []
        while len(said) < 44 and (pair := standing(names, said).question(known, seed=e)):
            sign = "<=>"[int(signs[int(pair[0]), int(pair[1])]) + 1]
            body = {"left": pair[0], "sign": sign, "right": pair[1]}
            said.append(Step(len(said) + 1, "answer", body))
        found = standing(names, said)
        shares.append(found.pairs[0] / found.pairs[1])
        both = np.isfinite(found.order.signs(names))
        assert (found.order.signs(names)[both] == signs[both]).all()
    assert np.mean(shares) > 0.95


# -- what is kept ------------------------------------------------------------------------------


class TestStore:
    def test_steps_come_back_in_order_without_those_undone(self, tmp_path: Path):
        store = RankStore(tmp_path / "a.sqlite", clusters="x")
        store.add_experts(("Kim", "Lee"))
        kim, lee = store.experts
        for seen, sign in enumerate("<=>"):
            store.add(kim, "answer", {"sign": sign}, seen=seen)
        store.add(lee, "answer", {"sign": "?"}, seen=0)
        store.undo(kim, seen=3)
        again = RankStore(tmp_path / "a.sqlite", clusters="x")
        again.add_experts(("Kim", "Ann"))
        assert [one.name for one in again.experts] == ["Kim", "Lee", "Ann"]
        assert again.experts[0].token == kim.token
        found, changes = again.steps(kim)
        assert [one.body["sign"] for one in found] == ["<", "="]
        assert changes == 4
        assert len({one.token for one in again.experts} | {again.owner}) == 4

    def test_a_page_that_has_not_seen_the_last_change_changes_nothing(self, tmp_path: Path):
        store = RankStore(tmp_path / "a.sqlite", clusters="x")
        store.add_experts(("Kim",))
        (kim,) = store.experts
        store.add(kim, "answer", {}, seen=0)
        for change in (lambda: store.add(kim, "answer", {}, seen=0), lambda: store.undo(kim, seen=0)):
            with pytest.raises(StaleError, match="in another window"):
                change()
        assert store.steps(kim)[1] == 1

    def test_it_is_for_its_clusters_and_its_owner_alone(self, tmp_path: Path):
        store = RankStore(tmp_path / "a.sqlite", clusters="x")
        assert store.path.stat().st_mode & 0o077 == 0
        with sqlite3.connect(store.path) as base:
            assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        with pytest.raises(LabelsError, match="answers on clusters of other tiles"):
            RankStore(tmp_path / "a.sqlite", clusters="y")

    def test_another_file_is_left_alone(self, tmp_path: Path):
        path = tmp_path / "a.sqlite"
        path.write_text("of somebody else, longer than a header would be " * 9)
        with pytest.raises(OutputError, match="cannot be read or written"):
            RankStore(path, clusters="x")
        assert path.read_text().startswith("of somebody")

    @pytest.mark.parametrize("name", ["x" * 61, "a\x07b"])
    def test_names_that_no_line_can_hold_are_refused(self, name: str):
        with pytest.raises(LabelsError, match="is no name of an expert"):
            expert_names(f"Kim, {name}")

    def test_names_are_parted_by_commas(self):
        assert expert_names(" Kim ,, Bob  Q. Ray,Kim") == ("Kim", "Bob Q. Ray")


# -- pictures ----------------------------------------------------------------------------------


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data)).convert("RGB")


class TestPictures:
    def test_tiles_are_those_of_their_cluster(self, five: Path):
        groups = read_clusters(five)
        found = tile_pictures(read_tiles(five).chips, groups, asked(groups))
        assert found.counts == (3,) * 5
        for k in range(5):
            green = set()
            for i in range(3):
                tile = opened(found.one(k, i))
                assert tile.width >= 128  # small ones are shown by whole pixels
                pixel = tile.getpixel((70, 70))
                assert abs(pixel[0] - 40 * k) < 12
                green.add(round(pixel[1] / 60))
            assert green == {0, 1, 2}
            assert opened(found.sheet(k)).size == (288, 288)
        for place in ((5, 0), (-1, 0), (0, 3), (0, -1)):
            assert found.one(*place) is None
        assert found.sheet(5) is None

    def test_tiles_of_other_places_are_refused(self, five: Path, tmp_path: Path):
        other = folders(tmp_path / "few", clusters=3)
        groups = read_clusters(five)
        with pytest.raises(LabelsError, match=r"No tile of cluster 3, 4 is among these 9 tiles"):
            tile_pictures(read_tiles(other).chips, groups, asked(groups))

    def test_sheets_stand_in_where_there_are_no_tiles(self, tmp_path: Path):
        for k in range(2):
            Image.new("RGB", (60, 90), (200 * k, 0, 0)).save(tmp_path / f"{k}.png")
        found = sheet_pictures(tmp_path, ("0", "1"))
        assert found.whole
        assert found.counts == (1, 1)
        assert opened(found.one(1, 0)).size == (60, 90)
        assert opened(found.sheet(1)).size == (288, 432)
        with pytest.raises(LabelsError.__base__, match="holds no sheet of cluster 7"):
            sheet_pictures(tmp_path, ("0", "7"))

    def test_each_is_made_once(self):
        made = []

        def read(cluster: int, number: int) -> Image.Image:
            made.append((cluster, number))
            return Image.new("RGB", (8, 8))

        found = Pictures([1], read, whole=True)
        assert found.one(0, 0) == found.one(0, 0)
        assert made == [(0, 0)]


# -- the page ----------------------------------------------------------------------------------


class TestPage:
    def test_answers_are_saved_and_make_an_order(self, desk: Desk):
        state = desk.say("0<1 1<2 2=3 4?0")
        assert state["graph"]["text"] == "2=3>1>0"
        assert state["graph"]["edges"] == [[0, 1], [1, 2]]
        assert state["graph"]["skipped"] == ["4"]
        assert [one["words"] for one in state["steps"]][:2] == ["4 and 0: cannot say", "2 is the same as 3"]
        assert desk.state() == state
        assert desk.state("Lee")["graph"]["text"] == ""  # nobody answers for somebody else

    def test_a_question_stays_the_same_until_it_is_answered(self, desk: Desk):
        first = desk.state()["question"]
        assert desk.state()["question"] == first
        state = desk.say(f"{first['left']}>{first['right']}")
        assert {*state["question"].values()} != {*first.values()}

    def test_undo_takes_back_one_step_at_a_time(self, desk: Desk):
        desk.say("0<1 1<2")
        assert desk.post("undo", {}).json()["graph"]["text"] == "1>0"
        assert desk.post("undo", {}).json()["graph"]["text"] == ""
        assert desk.post("undo", {}).status_code == 200

    def test_a_contradiction_is_open_until_something_goes(self, desk: Desk):
        state = desk.say("0<1 1<2 2<0")
        assert len(state["conflict"]["choices"]) == 3
        assert state["question"] is None
        refused = desk.post("answer", {"left": "3", "sign": "<", "right": "4"})
        assert refused.status_code == 400
        assert refused.json()["error"].startswith("Say first which of the statements")
        assert desk.state()["conflict"] == state["conflict"]  # also after a reload
        choice = state["conflict"]["choices"][0]
        state = desk.post("settle", {"drop": choice["drop"], "out": choice["out"]}).json()
        assert state["conflict"] is None
        assert [one["gone"] for one in state["steps"]].count(True) == 1

    def test_two_windows_of_one_expert_do_not_overwrite_each_other(self, desk: Desk):
        seen = desk.state()["seen"]
        desk.say("0<1")
        late = desk.post("rows", {"rows": [["0"], ["1"]], "aside": []}, seen=seen)
        assert late.status_code == 409
        assert late.json()["state"] == desk.state()

    @pytest.mark.parametrize(
        ("step", "body", "says"),
        [
            ("answer", {"left": "0", "sign": "<", "right": "9"}, "two clusters that you can judge"),
            ("answer", {"left": "0", "sign": "<", "right": "0"}, "two clusters that you can judge"),
            ("answer", {"left": ["0"], "sign": "<", "right": {}}, "two clusters that you can judge"),
            ("answer", {"left": "0", "sign": "<<", "right": "1"}, "An answer is one of > < = ?."),
            ("answer", {"left": "0", "sign": "<", "right": "1", "seen": "x"}, "how many changes"),
            ("rows", {"rows": [["0"], ["0"]], "aside": []}, "each cluster once"),
            ("rows", {"rows": [["0"]], "aside": ["0"]}, "each cluster once"),
            ("rows", {"rows": [[]], "aside": []}, "none of them empty"),
            ("rows", {"rows": [["../x"]], "aside": []}, "each cluster once"),
            ("rows", {"rows": "0>1", "aside": []}, "lists of clusters"),
            ("rows", {"rows": []}, "are a list"),
            ("settle", {"drop": [7]}, "Only answers that stand"),
            ("settle", {"out": ["0"]}, "Only clusters that lie in rows"),
            ("settle", {}, "Say what is to be taken back"),
            ("answer", [1], "one JSON object"),
            ("undo", "x", "one JSON object"),
        ],
    )
    def test_what_no_page_sends_is_refused(self, desk: Desk, step: str, body: object, says: str):
        answer = desk.post(step, body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]
        assert desk.state()["seen"] == 0

    def test_without_a_token_nothing_is_told(self, desk: Desk):
        kim, lee = (link.split("/")[2] for link in desk.links.values())
        paths = ["", "state", "order.txt", "sheet/0", "tile/0/0", "experts.txt"]
        for token, path in itertools.product(("x", f"{kim}x", kim[:-1], "%2e%2e"), paths):
            for who in ("expert", "owner"):
                assert desk.client.get(f"/{who}/{token}/{path}").status_code in (403, 404)
        assert desk.client.get(f"/owner/{kim}/state").status_code == 403
        assert desk.client.get(f"{desk.owner.replace('owner/', 'expert/')}state").status_code == 403
        assert desk.client.get("/").status_code == 404
        assert desk.client.get(f"/expert/{lee}/state").json()["expert"] == "Lee"

    def test_another_page_cannot_answer(self, desk: Desk):
        body = {"left": "0", "sign": "<", "right": "1", "seen": 0}
        for head in ({"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = desk.client.post(f"{desk.links['Kim']}answer", json=body, headers=head)
            assert answer.status_code == 403
        assert desk.state()["seen"] == 0

    def test_pictures_are_asked_for_by_number(self, desk: Desk):
        link = desk.links["Kim"]
        tile = desk.client.get(f"{link}tile/4/2")
        assert tile.headers["content-type"] == "image/jpeg"
        assert desk.client.get(f"{desk.owner}sheet/4").status_code == 200
        for path in ("tile/9/0", "tile/0/99", "tile/0/-1", "tile/..%2f..%2fetc/passwd", "sheet/5", "sheet/x"):
            assert desk.client.get(link + path).status_code == 404

    def test_a_name_is_text_and_no_markup(self, five: Path, tmp_path: Path):
        name = "<img src=x onerror=alert(1)>"
        desk = Desk(five, tmp_path / "order", names=name)
        desk.say("0<1", name)
        assert desk.state(name)["expert"] == name
        assert name not in desk.client.get(desk.links[name]).text
        assert (
            desk.client.get(desk.links[name])
            .headers["content-security-policy"]
            .startswith("default-src 'self'")
        )


# -- export and agreement ----------------------------------------------------------------------


class TestExport:
    def test_it_is_what_was_answered_and_is_read_back(self, desk: Desk, five: Path, tmp_path: Path):
        desk.say("0<1 1<2 2=3 0<4")
        desk.post("rows", {"rows": [["4"], ["3"], ["2"], ["1", "0"]], "aside": []}, "Lee")
        line = desk.client.get(f"{desk.links['Kim']}order.txt").text
        assert line == "2=3>1>0, 4>0  # Kim\n"
        (tmp_path / "kim.txt").write_text(line)
        (kim,) = read_orders([tmp_path / "kim.txt"], read_clusters(five)).orders
        assert kim == parse_chains("2=3>1>0, 4>0", names=NAMES)[0]
        (tmp_path / "experts.txt").write_text(desk.client.get(f"{desk.owner}experts.txt").text)
        said = read_orders([tmp_path / "experts.txt"], read_clusters(five))
        assert said.names == ("Kim", "Lee")
        assert said.orders == said_so_far(desk.store, desk.groups).orders
        assert to_chains(said.orders[1]) == "4>3>2>0=1"

    def test_who_said_nothing_is_left_out(self, desk: Desk):
        empty = desk.client.get(f"{desk.links['Kim']}order.txt")
        assert empty.status_code == 400
        assert "Nothing is in order yet" in empty.json()["error"]
        assert desk.client.get(f"{desk.owner}experts.txt").status_code == 400
        desk.say("0<1", "Lee")
        said = said_so_far(desk.store, desk.groups)
        assert said.names == ("Lee",)
        assert said.notes[0] == "Kim has put nothing in order, and is left out."


class TestAgreement:
    def test_who_disagrees_where(self):
        said = {"Ann": "4>3>2>1>0", "Bob": "4>3>2>0>1", "Eve": "3>4>2=1>0", "Kim": "3>4>2>1>0"}
        heard = [(name, parse_chains(text)[0]) for name, text in said.items()]
        found = disputes(heard, NAMES)
        assert found == [
            {"left": "3", "right": "4", "more": ["Eve", "Kim"], "less": ["Ann", "Bob"], "same": []},
            {"left": "0", "right": "1", "more": ["Bob"], "less": ["Ann", "Eve", "Kim"], "same": []},
        ]
        assert disputes([], NAMES) == []

    def test_the_owner_sees_figures_as_soon_as_two_have_answered(self, desk: Desk):
        told = agreement(desk.store, desk.groups)
        assert told["graph"] is None
        assert told["why"].startswith("Agreement takes two experts")
        for name, order in (("Kim", "43210"), ("Lee", "43201")):
            desk.post("rows", {"rows": [[one] for one in order], "aside": []}, name)
        told = desk.client.get(f"{desk.owner}state").json()
        assert told["tau"] == [[1.0, 0.8], [0.8, 1.0]]
        assert [one["known"] for one in told["experts"]] == [10, 10]
        assert [(one["left"], one["right"]) for one in told["disputes"]] == [("0", "1")]
        assert told["why"] == ""

    def test_what_cannot_be_combined_is_said(self, desk: Desk):
        desk.say("0<1", "Kim")
        desk.say("2<3", "Lee")
        assert "No expert compares" in agreement(desk.store, desk.groups)["why"]


def test_a_statement_in_words():
    (found,) = standing(NAMES, steps("0?1")).told
    assert sentence(found) == "0 and 1: cannot say"


# -- the command -------------------------------------------------------------------------------


class TestCommand:
    def test_it_is_served_answered_and_written(self, five: Path, tmp_path: Path):
        order = tmp_path / "order"
        words = [sys.executable, "-c", "from jido.cli import main; main()", "score", "rank", str(five)]
        words += ["--experts", "Kim, Lee", "-o", str(order), "--token", "of-the-owner", "--json"]
        env = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(words, env=env, **pipes) as process:
            told = json.loads(process.stdout.readline())
            assert list(told) == ["links", "owner"]
            assert list(told["links"]) == ["Kim", "Lee"]
            assert told["owner"].endswith("/owner/of-the-owner/")
            for link in told["links"].values():
                body = {"rows": [["4"], ["3", "2"], ["1"], ["0"]], "aside": [], "seen": 0}
                assert httpx.post(f"{link}rows", json=body).status_code == 200
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out == ""  # one object has told the links
        assert (order / "experts.txt").read_text().splitlines()[1:] == [
            "4>2=3>1>0  # Kim",
            "4>2=3>1>0  # Lee",
        ]
        assert (order / "order.txt").is_file()
        assert sorted(path.name for path in order.iterdir() if path.name.startswith("answers")) == [
            "answers.sqlite"
        ]

    def test_finish_writes_the_order_and_goes_on_with_the_same_answers(
        self, jido: Callable[..., Run], refused: Refused, desk: Desk, five: Path, out: Path, tmp_path: Path
    ):
        desk.say("0<1 1<2 2<3 3<4")
        order = tmp_path / "order"
        run = jido("score", "rank", five, "-o", order, "--finish", "--json")
        assert run.code == 0, run.err
        assert run.json["experts"][0]["expert"] == "Kim"
        assert run.json["levels"] == 5
        assert "Lee has put nothing in order" in run.err
        desk.post("undo", {})
        assert jido("score", "rank", five, "-o", order, "--finish", "--json").json["levels"] == 4
        again = jido("score", "rank", five, "--from", order, "-o", tmp_path / "read", "--json")
        assert again.json["levels"] == 4
        lines = tmp_path / "lines.txt"
        lines.write_text("4>3>2>1>0")
        refused(
            "score", "rank", five, "--from", lines, "-o", order, says=["answers.sqlite, which is no part"]
        )
        refused("score", "rank", five, "-o", out / "none", "--finish", says=["none holds no answers"])

    def test_options_that_do_not_go_together_are_refused(self, refused: Refused, five: Path, out: Path):
        text = out.parent / "said.txt"
        text.write_text("1>0")
        command = ("score", "rank", five, "-o", out / "order")
        refused(*command, "--from", text, "--experts", "Kim", says=["--experts is for the page"])
        refused(*command, "--from", text, "--finish", says=["--finish is for the page"])
        refused(*command, "--names", text, says=["--names is for orders in writing", "--from"])
        refused(*command, "--experts", "K" * 61, says=["is no name of an expert"])
        refused(*command, "--token", "short", says=["A token has 8 to 100"])
        refused(*command, "--token", "has/slash/inside", says=["A token has 8 to 100"])
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            refused(*command, "--port", port, says=[f"127.0.0.1:{port} cannot be used", "--port"])
        refused("score", "rank", five, "-o", out, says=["kept.txt, which is no part of an order"])

    def test_a_table_of_clusters_needs_sheets_or_tiles(self, refused: Refused, five: Path, out: Path):
        table = out.parent / "clusters.csv"
        read_clusters(five).write(table)
        command = ("score", "rank", table, "-o", out / "order")
        refused(*command, says=["sheets holds no sheet of cluster 0, 1, 2", "--tiles"])
        refused(*command, "--tiles", out.parent / "nothing", says=["nothing"])
