"""The package of a net: what goes in comes out, damage is found, and other programs can read it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from conftest import Refused, Run
from odc.geo import CRS

torch = pytest.importorskip("torch", reason='jido[deep] is not installed: pip install "jido[deep]"')

from test_nets import images, patch_model, pixel_model  # noqa: E402

from jido.errors import ModelError  # noqa: E402
from jido.io import file_sha256, package_id, require_package_place, write_tensors  # noqa: E402
from jido.labels import Labels, lcz_scheme  # noqa: E402
from jido.methods import load_model  # noqa: E402
from jido.methods.export import OPSET, export_onnx  # noqa: E402
from jido.methods.net import NetModel  # noqa: E402
from jido.methods.verify import verify_model  # noqa: E402
from jido.stats import figure  # noqa: E402

SCHEMAS = Path(__file__).parents[2] / "shared" / "schemas"

MODELS = {
    "pixel": lambda: (pixel_model(precision="bf16"), images(1, 3, 30, 21)),
    "patch": lambda: (patch_model(), images(1, 2, 20, 24)),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of each kind of net; nobody changes them."""
    folder = tmp_path_factory.mktemp("nets")
    for name, make in MODELS.items():
        make()[0].save(folder / name)
    return folder


@pytest.fixture
def package(saved: Path, tmp_path: Path) -> Path:
    """A package of a net with a class per pixel, to be changed."""
    return shutil.copytree(saved / "pixel", tmp_path / "package")


def change(folder: Path, **facts: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | facts), encoding="utf-8")


def change_config(folder: Path, **settings: object) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))["config"]
    change(folder, config=config | settings)


def forge(folder: Path, **weights: np.ndarray) -> None:
    """Other weights in a package whose hash fits."""
    write_tensors(weights, folder / "model.safetensors")
    change(folder, sha256=file_sha256(folder / "model.safetensors"))


# -- there and back ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_a_loaded_net_gives_the_same_bytes(saved: Path, name: str):
    model, batch = MODELS[name]()
    back = load_model(saved / name)
    assert isinstance(back, NetModel)
    assert back.predict(batch).tobytes() == model.predict(batch).tobytes()
    for fact in ("config", "bands", "pixel_m", "stride", "halo", "tile", "overlap", "batch", "abstain_below"):
        assert getattr(back, fact) == getattr(model, fact), fact
    assert back.scheme.classes == model.scheme.classes
    assert (back.labels, back.evaluation) == (None, {})


def test_files_of_a_package(saved: Path):
    files = {path.name for path in (saved / "pixel").iterdir()} - {"item.json"}
    assert files == {"README.md", "config.json", "metrics.json", "model.safetensors", "sample.npz"}
    require_package_place(saved / "pixel")  # it may be replaced
    versions = json.loads((saved / "pixel" / "config.json").read_text())["versions"]
    assert versions["torch"] == torch.__version__


def test_a_package_is_known_by_its_hashes(saved: Path):
    folder = saved / "pixel"
    assert load_model(folder).package == package_id(folder) == {
        "name": "pixel",
        "method": "net",
        "sha256": file_sha256(folder / "model.safetensors"),
        "config_sha256": file_sha256(folder / "config.json"),
    }  # fmt: skip


def test_labels_and_figures_come_back(tmp_path: Path):
    square = np.array([shapely.box(114, 22, 114.1, 22.1)])
    labels = Labels(square, np.array([3]), np.array(["a"]), CRS("EPSG:4326"), lcz_scheme())
    folds = {"kind": "polygons kept whole", "k": 4, "leaks": False, "buffer_m": 0.0}
    evaluation = {"metrics": {"oa": figure(0.61, 0.5, 0.7)}, "folds": folds}
    replace(patch_model(), labels=labels, evaluation=evaluation).save(tmp_path / "model")
    back = load_model(tmp_path / "model")
    assert back.labels.codes.tolist() == [3]
    assert back.evaluation["metrics"]["oa"]["value"] == 0.61
    assert "| oa | 0.610 | 0.500 - 0.700 |" in (tmp_path / "model" / "README.md").read_text()
    (tmp_path / "model" / "training.gpkg").unlink()
    with pytest.raises(ModelError, match="is damaged"):
        load_model(tmp_path / "model")


def test_the_card_says_that_nobody_has_judged_it(saved: Path):
    card = (saved / "pixel" / "README.md").read_text(encoding="utf-8")
    assert "Nobody has judged how accurate it is" in card
    assert "no training labels" in card


# -- what is refused ---------------------------------------------------------------------------


def test_weights_cut_short_are_refused(package: Path):
    file = package / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors is missing, cut short or was changed"):
        load_model(package)
    change(package, sha256=file_sha256(file))
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        load_model(package)
    file.unlink()
    with pytest.raises(ModelError, match="is missing"):
        load_model(package)


def test_weights_of_another_net_are_refused(package: Path):
    weights = {name: value.contiguous().numpy() for name, value in pixel_model().net.state_dict().items()}
    forge(package, **weights | {"head.bias": np.zeros(2, np.float32)})
    with pytest.raises(
        ModelError, match=r"package: The weights are of another net \(head\.bias is \(2, torch"
    ):
        load_model(package)
    forge(package, **weights | {"tail.bias": np.zeros(2, np.float32)})
    with pytest.raises(ModelError, match=r"another net \(tail\.bias is .* not nothing\)"):
        load_model(package)
    forge(package, **weights | {"head.bias": np.zeros(1, np.float64)})
    with pytest.raises(ModelError, match=r"head\.bias is \(1, torch\.float64\)"):
        load_model(package)
    del weights["head.bias"]
    forge(package, **weights)
    with pytest.raises(ModelError, match=r"head\.bias is nothing"):
        load_model(package)


def test_a_newer_package_is_refused(package: Path):
    change(package, format=2)
    with pytest.raises(ModelError, match="newer Jido"):
        load_model(package)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"net": "vision"}, "package: There is no net 'vision'"),
        ({"colour": 1}, "settings that cannot be used"),
        ({"settings": {"in_channels": 3, "out_channels": 1, "heads": 2}}, "package: .*heads"),
        ({"settings": {"in_channels": 3, "out_channels": -1}}, "package: The net 'unet' cannot be built"),
        ({"mean": [0, 0], "sd": [1, 1]}, "package: The net reads 3 bands and has the mean of 2"),
    ],
)
def test_damaged_settings_are_refused(package: Path, settings: dict[str, object], says: str):
    change_config(package, **settings)
    with pytest.raises(ModelError, match=says):
        load_model(package)


# -- verify ------------------------------------------------------------------------------------


def test_a_package_says_what_it_said(jido: Callable[..., Run], saved: Path):
    for name in MODELS:
        assert verify_model(saved / name).difference == 0
    run = jido("model", "verify", saved / "pixel", "--json")
    assert run.code == 0
    assert run.json == {
        "model": str(saved / "pixel"), "difference": 0.0, "tolerance": 0.02, "probabilities": 2 * 64 * 64
    }  # fmt: skip
    assert "0 (0.02 is allowed)" in jido("model", "verify", saved / "pixel").out


def test_a_forest_says_what_it_said(model: Path):
    assert verify_model(model).difference == 0
    with np.load(model / "sample.npz") as sample:
        assert np.ptp(sample["probabilities"], axis=(0, 2, 3)).max() > 0.05  # cells differ


def test_a_package_that_says_something_else_is_refused(jido: Callable[..., Run], package: Path):
    change_config(package, mean=[0.5, 0.2, 0.3])
    run = jido("model", "verify", package, "--json")
    assert run.code == 2
    assert "does not say what it said" in run.json["error"]
    change_config(package, mean=[0.1, 0.2, 0.3], patch=None, sd=[0.1, 0.2, 0.1])
    assert verify_model(package).difference == 0


def test_a_missing_or_damaged_sample_is_refused(package: Path):
    for content in (b"no zip", (package / "sample.npz").read_bytes()[:200]):
        (package / "sample.npz").write_bytes(content)
        with pytest.raises(ModelError, match=r"sample\.npz is missing or damaged"):
            verify_model(package)
    (package / "sample.npz").unlink()
    with pytest.raises(ModelError, match=r"sample\.npz is missing or damaged"):
        verify_model(package)


def test_an_answer_that_is_no_number_is_no_agreement(package: Path):
    with np.load(package / "sample.npz") as held:
        arrays = dict(held)
    arrays["probabilities"][0, 0, 0, 0] = np.nan
    np.savez(package / "sample.npz", **arrays)
    with pytest.raises(ModelError, match="does not say what it said"):
        verify_model(package)


# -- STAC --------------------------------------------------------------------------------------


@pytest.mark.skipif(not SCHEMAS.exists(), reason="the STAC schemas are not at ../shared/schemas")
@pytest.mark.parametrize("name", MODELS)
def test_the_item_keeps_the_schema(saved: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install jsonschema")
    pystac = pytest.importorskip("pystac", reason='jido[stac] is not installed: pip install "jido[stac]"')
    from pystac.validation.stac_validator import JsonSchemaSTACValidator

    monkeypatch.setattr(pystac.StacIO, "default", lambda: pytest.fail("the network was asked"))
    validator = JsonSchemaSTACValidator()
    for file in SCHEMAS.glob("*-v*.json"):
        extension, version = file.stem.rsplit("-v", 1)
        address = f"https://stac-extensions.github.io/{extension}/v{version}/schema.json"
        schema = json.loads(file.read_text(encoding="utf-8"))
        validator.schema_cache |= {address: schema, schema["$id"]: schema}
    item = json.loads((saved / name / "item.json").read_text(encoding="utf-8"))
    used = pystac.Item.from_dict(item).validate(validator)
    assert any("/mlm/v1.4.0/" in address for address in used)
    del item["properties"]["mlm:architecture"]  # it can fail
    with pytest.raises(pystac.errors.STACValidationError):
        pystac.Item.from_dict(item).validate(validator)


def test_the_item_describes_the_net(saved: Path):
    pytest.importorskip("pystac", reason='jido[stac] is not installed: pip install "jido[stac]"')
    item = json.loads((saved / "patch" / "item.json").read_text(encoding="utf-8"))
    facts, image = item["properties"], item["properties"]["mlm:input"][0]
    assert image["input"]["shape"] == [-1, 2, 8, 8]
    assert image["value_scaling"][1] == {"type": "z-score", "mean": 0.5, "stddev": 0.3}
    assert facts["mlm:output"][0]["classification:classes"][16]["description"] == "Water"
    assert facts["mlm:total_parameters"] == sum(w.numel() for w in patch_model().net.parameters())
    assert item["assets"]["weights"]["href"].endswith("model.safetensors")


def test_without_the_extra_the_card_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pystac", None)
    pixel_model().save(tmp_path / "model")
    assert not (tmp_path / "model" / "item.json").exists()
    assert "No `item.json`" in (tmp_path / "model" / "README.md").read_text()
    assert verify_model(tmp_path / "model").difference == 0


# -- ONNX --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def onnx_run() -> Callable[[Path, np.ndarray], np.ndarray]:
    pytest.importorskip("onnx", reason='jido[onnx] is not installed: pip install "jido[onnx]"')
    runtime = pytest.importorskip(
        "onnxruntime", reason='jido[onnx] is not installed: pip install "jido[onnx]"'
    )

    def run(path: Path, batch: np.ndarray) -> np.ndarray:
        return runtime.InferenceSession(path).run(["probabilities"], {"image": batch})[0]

    return run


def test_onnx_says_what_torch_says_of_pixels(onnx_run, tmp_path: Path):
    model = pixel_model()
    export_onnx(model, tmp_path / "model.onnx")
    for shape in ((1, 3, 16, 16), (3, 3, 48, 20)):
        batch = images(*shape)
        batch[0, 1, 2:9] = np.nan
        np.testing.assert_allclose(onnx_run(tmp_path / "model.onnx", batch), model.predict(batch), atol=1e-5)


def test_onnx_says_what_torch_says_of_windows(onnx_run, tmp_path: Path):
    model, windows = patch_model(), images(5, 2, 8, 8)
    windows[1, 0], windows[2] = np.nan, np.inf  # smaller gaps are filled up before: test_nets
    export_onnx(model, tmp_path / "model.onnx")
    found = onnx_run(tmp_path / "model.onnx", windows)
    assert found.shape == (5, 17)
    np.testing.assert_allclose(found, model.predict(windows)[:, :, 0, 0], atol=1e-5)


def test_the_file_states_its_contract(onnx_run, jido: Callable[..., Run], saved: Path, tmp_path: Path):
    import onnx

    path = tmp_path / "model.onnx"
    run = jido("model", "export", saved / "pixel", "-o", path, "--json")
    assert run.code == 0
    assert run.err == ""
    made = onnx.load(path)
    onnx.checker.check_model(made)
    assert made.opset_import[0].version == OPSET == int(run.json["opset"])
    assert run.json == {"onnx": str(path)} | {entry.key: entry.value for entry in made.metadata_props}
    assert "image float32 (batch, 3, height, width)" in run.json["input"]
    assert "divisible by 4" in run.json["input"]
    assert run.json["bands"] == "b0, b1, b2"
    assert "opset" in jido("model", "export", saved / "patch", "-o", path).out


def test_the_contract_fits_a_terminal(onnx_run, jido: Callable[..., Run], saved: Path, tmp_path: Path):
    words = jido(
        "model", "export", saved / "patch", "-o", tmp_path / "model.onnx", "--quiet"
    ).out.splitlines()
    assert max(map(len, words[:-1])) <= 100
    assert any(line.startswith(" ") for line in words)


def test_an_onnx_file_is_called_so(refused: Refused, saved: Path, out: Path):
    refused("model", "export", saved / "patch", "-o", out / "m.txt", says=("m.txt", ".onnx"))


def test_a_forest_is_no_net(jido: Callable[..., Run], model: Path, tmp_path: Path):
    run = jido("model", "export", model, "-o", tmp_path / "model.onnx", "--json")
    assert run.code == 2
    assert "Only nets" in run.json["error"]
    assert list(tmp_path.iterdir()) == []
