"""The model package: what goes in comes out, and nothing in it can run."""

import io
import json
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import shapely
import sklearn
import skops.io
from odc.geo import CRS
from sklearn.ensemble import ExtraTreesClassifier

import jido
from jido.errors import ModelError, OutputError
from jido.geo import identify, unique_names
from jido.io import file_sha256, write_labels
from jido.io import weights as module
from jido.io.vectors import read_written
from jido.labels import Labels, lcz_scheme
from jido.methods import load_model
from jido.methods.cells import Samples, cell_features
from jido.methods.forest import ForestConfig, ForestModel, fit_forest
from jido.stats import figure

BANDS = unique_names([identify(["B04", "B08"]), identify(["VV"])])
CODES = np.array([1, 3, 11, 17])


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    config = ForestConfig(trees=12, radii=(1, 2), seed=5)
    image = rng.uniform(0, 1, (3, 40, 40)).astype(np.float32)
    features = cell_features(image, BANDS, config, 10).reshape(-1, 16).T
    y = lcz_scheme().index(np.repeat(CODES, 4))
    samples = Samples(features, y=y, item=np.arange(16), group=np.arange(16), xy=np.zeros((16, 2)))
    squares = np.array(
        [
            *shapely.box([113.9, 114.0], 22.2, [113.95, 114.05], 22.3),
            shapely.difference(shapely.box(114.1, 22, 114.4, 22.3), shapely.box(114.2, 22.1, 114.3, 22.2)),
            shapely.Point(114.123456789012, 22.3),
        ]
    )
    evaluation = {
        "metrics": {"oa": figure(0.61, 0.5, 0.7), "oa_w": figure(0.8), "kappa": figure(float("nan"))},
        "folds": {"kind": "polygons kept whole", "k": 4, "leaks": False, "buffer_m": 0.0},
    }
    return ForestModel(
        forest=fit_forest(samples, np.arange(16), config),
        config=config,
        bands=BANDS,
        scheme=lcz_scheme(),
        pixel_m=(10.0, 10.25),
        labels=Labels(squares, CODES, np.array(["a", "a", "b", "Gruppe ß"]), CRS("EPSG:4326"), lcz_scheme()),
        evaluation=evaluation,
        abstain_below=0.37,
    )


@pytest.fixture
def folder(model, tmp_path):
    model.save(tmp_path / "model")
    return tmp_path / "model"


def config_of(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def change(folder, **facts):
    (folder / "config.json").write_text(json.dumps(config_of(folder) | facts), encoding="utf-8")


def test_a_loaded_model_predicts_the_same(model, folder):
    batch = np.random.default_rng(1).uniform(0, 1, (2, 3, 50, 30)).astype(np.float32)
    batch[0, 1, :12] = np.nan
    back = load_model(folder)
    assert isinstance(back, ForestModel)
    np.testing.assert_array_equal(back.predict(batch), model.predict(batch))
    assert back.forest.n_jobs == 1


def test_all_that_a_map_needs_comes_back(model, folder):
    back = load_model(folder)
    for name in ("config", "bands", "pixel_m", "abstain_below", "stride", "halo"):
        assert getattr(back, name) == getattr(model, name), name
    assert (back.stride, back.halo) == (10, 20)
    assert back.scheme.classes == model.scheme.classes
    assert back.scheme.built == model.scheme.built
    np.testing.assert_array_equal(back.scheme.weights, model.scheme.weights)
    assert back.evaluation["folds"] == model.evaluation["folds"]
    assert back.evaluation["metrics"]["oa"] == {"value": 0.61, "lower": 0.5, "upper": 0.7}
    assert back.evaluation["metrics"]["kappa"]["value"] is None


def test_the_training_labels_come_back(model, folder):
    back = load_model(folder).labels
    assert shapely.equals_exact(back.geometry, model.labels.geometry, tolerance=0).all()
    assert back.codes.tolist() == CODES.tolist()
    assert back.groups.tolist() == ["a", "a", "b", "Gruppe ß"]
    assert back.crs == CRS("EPSG:4326")


def test_a_package_saved_again_predicts_the_same(model, folder, tmp_path):
    load_model(folder).save(tmp_path / "again")
    batch = np.random.default_rng(1).uniform(0, 1, (1, 3, 30, 30)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "again").predict(batch), model.predict(batch))


def test_files_of_a_package_and_no_pickle(folder):
    assert {p.name for p in folder.iterdir()} == {
        "README.md",
        "config.json",
        "metrics.json",
        "model.skops",
        "sample.npz",
        "training.gpkg",
    }
    with zipfile.ZipFile(folder / "model.skops") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    for name, content in contents.items():
        assert name.endswith((".json", ".npy")), name
        with pytest.raises(Exception):  # noqa: B017, PT011 what it says hangs on the bytes
            pickle.loads(content)
        if name.endswith(".npy"):
            np.load(io.BytesIO(content), allow_pickle=False)  # an array of objects would be a pickle


def test_config_records_exact_versions(folder):
    facts = config_of(folder)
    assert facts["format"] == 1
    assert facts["versions"]["scikit-learn"] == sklearn.__version__
    assert facts["versions"]["jido"] == jido.__version__
    assert facts["method"] == "forest"
    assert (facts["stride"], facts["halo"], facts["abstain_below"]) == (10, 20, 0.37)
    assert [b["name"] for b in facts["bands"]] == ["B04", "B08", "VV"]


def test_the_card_tells_how_it_was_judged(folder):
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "4 folds, polygons kept whole" in card
    assert "LEAKS" not in card
    assert "| oa | 0.610 | 0.500 - 0.700 |" in card
    assert "| oa_w | 0.800 | - |" in card
    assert "B04, B08, VV" in card
    assert "3 bands of 10 x 10.25 m" in card
    assert "G Water" in card


def test_the_card_of_a_leaking_split_says_so(model, tmp_path):
    folds = model.evaluation["folds"] | {"leaks": True}
    replace(model, evaluation=model.evaluation | {"folds": folds}).save(tmp_path / "leaky")
    assert "THIS SPLIT LEAKS" in (tmp_path / "leaky" / "README.md").read_text(encoding="utf-8")


# -- trust -------------------------------------------------------------------------------------


class Spring:
    """What a thief would put into a package."""

    def __reduce__(self):
        return (print, ("sprung",))


def forge(folder, content):
    """Another estimator in a package whose hash fits."""
    skops.io.dump(content, folder / "model.skops")
    change(folder, sha256=file_sha256(folder / "model.skops"))


def test_trusted_types_are_a_constant_of_the_code(folder):
    assert module.TRUSTED == [
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    ]
    forge(folder, Spring())
    change(
        folder,
        trusted=skops.io.get_untrusted_types(file=folder / "model.skops"),
        TRUSTED=["test_package.Spring"],
    )
    with pytest.raises(ModelError, match="types that Jido does not trust"):
        load_model(folder)


def test_a_pickle_in_the_place_of_the_estimator_is_not_run(folder, capsys):
    (folder / "model.skops").write_bytes(pickle.dumps(Spring()))
    with pytest.raises(ModelError, match="was changed since training"):
        load_model(folder)
    change(folder, sha256=file_sha256(folder / "model.skops"))
    with pytest.raises(ModelError, match="cannot be read"):
        load_model(folder)
    assert "sprung" not in capsys.readouterr().out


def test_a_changed_estimator_is_refused(folder):
    skops.io.dump(ExtraTreesClassifier(), folder / "model.skops")
    with pytest.raises(ModelError, match="was changed since training"):
        load_model(folder)
    (folder / "model.skops").unlink()
    with pytest.raises(ModelError, match="is missing"):
        load_model(folder)


def test_another_scikit_learn_is_refused(folder):
    change(folder, versions=config_of(folder)["versions"] | {"scikit-learn": "0.99.9"})
    with pytest.raises(ModelError, match=r"pip install scikit-learn==0\.99\.9"):
        load_model(folder)


def test_newer_and_unknown_packages_are_refused(folder, tmp_path):
    change(folder, format=2)
    with pytest.raises(ModelError, match="newer Jido"):
        load_model(folder)
    change(folder, format=1, method="oracle")
    with pytest.raises(ModelError, match="unknown method 'oracle'"):
        load_model(folder)
    with pytest.raises(ModelError, match="'oracle', not 'forest'"):
        ForestModel.load(folder)
    with pytest.raises(ModelError, match="is no model package"):
        load_model(tmp_path)


def test_an_older_package_is_replaced_and_nothing_else(model, folder):
    change(folder, abstain_below=0.99)
    model.save(folder)
    assert load_model(folder).abstain_below == 0.37
    assert [p.name for p in folder.parent.iterdir()] == ["model"]
    (folder / "thesis.txt").write_text("four years of work")
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        model.save(folder)
    assert (folder / "thesis.txt").exists()


def test_multipolygons_come_back_item_for_item(tmp_path):
    squares = shapely.box([0, 20, 40], 0, [10, 30, 50], 10)
    geometry = np.array([shapely.MultiPolygon(list(squares[:2])), squares[2]], dtype=object)
    labels = Labels(geometry, np.array([1, 17]), np.array(["a", "b"]), CRS("EPSG:32649"), lcz_scheme())
    write_labels(labels, tmp_path / "labels.gpkg")
    back = read_written(tmp_path / "labels.gpkg", lcz_scheme())
    assert [g.geom_type for g in back.geometry] == ["MultiPolygon", "Polygon"]
    assert shapely.equals_exact(back.geometry, geometry).all()
    np.testing.assert_array_equal(back.codes, labels.codes)
    assert list(back.groups) == ["a", "b"]
