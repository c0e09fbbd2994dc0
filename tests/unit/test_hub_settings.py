"""Models of the Hugging Face hub, as far as their files tell of them: none of it needs ``transformers``."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from grokforget.config.cost import Costs
from grokforget.config.model_settings.hub_files import Sizes
from grokforget.config.models import CausalLM
from grokforget.config.specs import inspection, runs, unlearning
from grokforget.config.work import Extent
from grokforget.data.refusal import DataError
from grokforget.data.shape import DataShape
from grokforget.models import causal_lm
from grokforget.runtime.fingerprint import locked_versions
from grokforget.runtime.preflight import CannotRun, check_memory
from grokforget.runtime.spec_file import content
from hub_models import END, VOCABULARY, hub_study, phi_shapes, put_config, put_header, put_plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return put_plain(tmp_path / "phi")


def unlink(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def only_bin(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate((folder / "model.safetensors").stat().st_size - 2)


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")


def without_a_part(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


BAD: list[tuple[Callable[[Path], None], str]] = [
    (shutil.rmtree, "no such folder: found '{folder}'; allowed: a folder that is there"),
    (unlink("config.json"), "no config.json in {folder}: found '{folder}'; allowed: a model's folder, with its config.json"),
    (lambda folder: (folder / "config.json").write_text("{}") and None, "no model_type in {folder}/config.json: found []"),
    (lambda folder: (folder / "config.json").write_text("{") and None, "a file that cannot be read, {folder}/config.json"),
    (lambda folder: (folder / "config.json").write_text("[1]") and None, "of another form, {folder}/config.json: found 'list'"),
    (only_bin, "no weights in safetensors in {folder}: found 'pytorch_model.bin'; allowed: model.safetensors, or"),
    (unlink("model.safetensors"), "no weights in safetensors in {folder}: found 'no weights at all'"),
    (truncated, "weights that cannot be read, {folder}/model.safetensors"),
    (pointer, "allowed: a .safetensors file, whole (a file of some hundred bytes is what Git LFS leaves"),
    (without_a_part, "no model-00002-of-00002.safetensors in {folder}: found '1 of 2 parts'; allowed: all of them"),
    (lambda folder: (folder / "adapter_config.json").write_text("{}") and None, "an adapter in {folder}"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "told"), BAD, ids=[told[:30] for _, told in BAD])
def test_a_folder_that_holds_no_whole_model_is_refused(folder: Path, spoil: Callable[[Path], None], told: str) -> None:
    assert hub_study({"folder": str(folder)}, folder).settings["hub"].model.files()
    spare = shutil.copytree(folder, folder.parent / "spare")
    spoil(folder)
    with pytest.raises(ValidationError) as raised:
        hub_study({"folder": str(folder)}, spare)
    assert told.format(folder=folder) in str(raised.value)
    (error,) = raised.value.errors()
    assert error["loc"] == ("settings", "hub", "model", "causal-lm", "folder")


def spoiled_tokenizer(folder: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the tokenizer that differs from it in one thing."""
    other = folder.parent / "other"
    other.mkdir()
    told = json.loads((folder / "tokenizer.json").read_text())
    change(told)
    (other / "tokenizer.json").write_text(json.dumps(told))
    return other


def test_a_tokenizer_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    def refusal(tokenizer: Path | None, **changes: Any) -> str:
        with pytest.raises(ValidationError) as raised:
            hub_study({"folder": str(folder)}, tokenizer, **changes)
        assert raised.value.errors()[0]["ctx"]["at"] == ["settings", "hub", "model"]
        return str(raised.value)

    own = f"allowed: `tokenizer: {folder}`"
    assert f"found 'a tokenizer that is trained on the data (`tokenizer` is null)'; {own} in the data set" in refusal(
        None
    )
    larger = spoiled_tokenizer(folder, lambda told: told["added_tokens"].append({"content": "<x>", "id": VOCABULARY}))
    told = refusal(larger)
    assert (
        f"the token {VOCABULARY} of {larger}/tokenizer.json, of {VOCABULARY} (vocab_size of {folder}/config.json)"
        in told
    )
    assert own in told
    shutil.rmtree(larger)
    swapped = spoiled_tokenizer(folder, lambda told: told["model"]["vocab"].update({"a": 70, "b": 71}))
    told = refusal(swapped)
    assert f"{swapped}/tokenizer.json, which differs from {folder}/tokenizer.json: 'a' is 70 and" in told
    put_config(folder, vocab_size=VOCABULARY, eos_token_id=5)
    assert (
        f"texts that end in {END} by {folder}/tokenizer.json, in 5 by eos_token_id of {folder}/config.json"
        in refusal(folder)
    )
    # What ends a text may be said beside the model's config, and several tokens may.
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [3, END]}))
    assert hub_study({"folder": str(folder)}, folder)


def test_one_of_folder_and_name_says_which_model_it_is(folder: Path) -> None:
    def refusal(**model: Any) -> str:
        with pytest.raises(ValidationError) as raised:
            hub_study(model, folder)
        return str(raised.value)

    assert f"found \"folder '{folder}' and name 'a/b'\"; allowed: one of them" in refusal(
        folder=str(folder), name="a/b"
    )
    assert "found 'folder None and name None'; allowed: one of them" in refusal()
    assert "revision 'main' of a folder" in refusal(folder=str(folder), revision="main")
    for name in ("phi", "a/b/c", "../b", "a b/c", "-/"):
        assert "no name of the hub" in refusal(name=name), name
    named = hub_study({"name": "microsoft/phi-1_5", "revision": "abc"}, folder).settings["hub"].model
    assert named.spec().settings == {"name": "microsoft/phi-1_5", "revision": "abc", "lora": None}
    assert named.files() == []


def test_a_layer_that_its_config_does_not_have_is_refused(folder: Path) -> None:
    with pytest.raises(
        ValidationError, match=r"found 'model\.layers\.2'; allowed: model\.layers\.0 to model\.layers\.1"
    ):
        hub_study({"folder": str(folder)}, folder, methods__rmu={"kind": "rmu", "module": "model.layers.2"})
    assert hub_study({"folder": str(folder)}, folder, methods__rmu={"kind": "rmu", "module": "model.layers.1"})


def test_no_factor_is_put_on_weights_that_are_there_already(folder: Path) -> None:
    with pytest.raises(ValidationError) as raised:
        hub_study({"folder": str(folder)}, folder, settings__hub__initialisation_scale=2.0)
    assert "a factor on weights that are not drawn: found 2.0; allowed: 1" in str(raised.value)
    assert raised.value.errors()[0]["ctx"]["at"] == ["settings", "hub", "initialisation_scale"]


def test_every_job_that_runs_the_model_reads_its_files_and_no_spec_names_their_folder(folder: Path) -> None:
    study = hub_study({"folder": str(folder)}, folder)
    files = [str(folder / name) for name in ("config.json", "model.safetensors")]
    jobs = [
        runs.train(study, "hub", "0", "full", "050"),
        runs.difficulty(study, "hub", "0"),
        unlearning.unlearn(study, "hub", "0", "early"),
        unlearning.unlearn_along_training(study, "hub", "0"),
        unlearning.tune(study, "hub", "0"),
        inspection.analyse(study, "hub", "0"),
        inspection.shadow(study, "hub"),
    ]
    items = [item for job in jobs for item in job.values()]
    reading = {type(item.spec).__name__ for item in items if item.inputs.get("model") == files}
    running = {type(item.spec).__name__ for item in items if hasattr(item.spec, "device")}
    assert not [item for item in runs.forget(study, "hub", "0").values() if "model" in item.inputs]
    assert reading == running
    assert {"TrainSpec", "UnlearnSpec", "TuneSpec", "LossesSpec", "ShadowSpec", "AnalyseSpec"} <= reading
    moved = shutil.copytree(folder, folder.parent / "moved")
    there = hub_study({"folder": str(moved)}, moved)
    for build, where in ((runs.train, ("0", "full", "050")), (unlearning.unlearn, ("0", "early"))):
        ours, theirs = (content(build(one, "hub", *where)) for one in (study, there))
        for name, item in ours["items"].items():
            assert {**item, "inputs": {}} == {**theirs["items"][name], "inputs": {}}
        assert str(folder) not in json.dumps([item["spec"] for item in ours["items"].values()])


def test_the_libraries_of_the_extra_are_locked_and_count_where_they_are_used(folder: Path) -> None:
    for lora, expected in ((None, {"transformers"}), ({"rank": 2}, {"transformers", "peft"})):
        study = hub_study({"folder": str(folder), "lora": lora}, folder)
        (item,) = content(runs.train(study, "hub", "0", "full", "050"))["items"].values()
        versions = {name: item["versions"].get(name) for name in ("transformers", "peft") if name in item["versions"]}
        assert versions == {name: locked_versions()[name] for name in expected}


def test_published_numbers_stand_beside_all_of_phi_1_5_alone(tmp_path: Path) -> None:
    place = tmp_path / "phi-1_5"
    put_config(place)
    put_header(place / "model.safetensors", phi_shapes(51200, 2048, 8192, 24))
    assert CausalLM(folder=str(place)).in_paper == "phi-1.5"
    assert CausalLM(name="microsoft/phi-1_5").in_paper == "phi-1.5"
    assert CausalLM(folder=str(place), lora={"rank": 8}).in_paper is None
    assert CausalLM(name="microsoft/phi-2").in_paper is None
    assert CausalLM(folder=str(place.rename(tmp_path / "mine"))).in_paper is None
    put_config(tmp_path / "mine", hidden_size=2560)
    assert CausalLM(folder=str((tmp_path / "mine").rename(place))).in_paper is None


def test_phi_1_5_is_as_large_as_it_is_said_to_be(tmp_path: Path) -> None:
    put_config(tmp_path)
    put_header(tmp_path / "model.safetensors", phi_shapes(51200, 2048, 8192, 24))
    assert Sizes(str(tmp_path)).parameters == 1_418_270_720, "as its card on the hub says: 1.42 B"
    extent = Extent(3600, 200, 200, 170, 200, 0, 50_000)
    whole, adapted = (CausalLM(folder=str(tmp_path), lora=lora).work(None, extent) for lora in (None, {"rank": 8}))
    assert whole.parameters == 1_418_270_720
    assert whole.frozen == 0
    # Two multiplications and additions for every weight but the embedding's, at every token.
    matrices = 24 * (4 * 2048**2 + 2 * 2048 * 8192) + 51200 * 2048
    assert whole.flops == 170 * 2 * matrices + 24 * 4 * 170**2 * 2048
    learned = 24 * 8 * (4 * (2048 + 2048) + 2 * (2048 + 8192))
    assert adapted.frozen == 1_418_270_720
    assert adapted.parameters - adapted.frozen == learned
    some = CausalLM(folder=str(tmp_path), lora={"targets": ["q_proj"]}).work(None, extent)
    assert some.parameters - some.frozen == 24 * 8 * (2048 + 2048)
    assert CausalLM(name="microsoft/phi-1_5").work(None, extent) is None


def test_too_little_memory_is_told_before_the_first_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(hub_study({"folder": str(folder)}, folder))
    needs = costs.gpu_needs()
    assert needs["hub"] > 16 * Sizes(str(folder)).parameters
    adapted = Costs(hub_study({"folder": str(folder), "lora": {"rank": 1}}, folder))
    assert adapted.gpu_needs()["hub"] < needs["hub"]
    assert adapted.setting("hub").disk("train")[0] < costs.setting("hub").disk("train")[0] / 4
    jobs = {"training/hub/seed0/full/050": "train"}
    check_memory(jobs, needs, False)
    monkeypatch.setattr("os.sysconf", lambda name: 1 if name == "SC_PAGE_SIZE" else int(needs["hub"]) - 1)
    told = r"settings\.hub: a training step needs at least .* GiB of memory, and this machine has .* or `lora` where"
    with pytest.raises(CannotRun, match=told):
        check_memory(jobs, needs, False)
    check_memory(jobs, adapted.gpu_needs(), False)
    check_memory({"x": "unlearn"}, needs, False)


@pytest.mark.parametrize("name", ["transformers", "peft"])
def test_a_missing_library_is_named_with_what_installs_it(name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(causal_lm, "torchvision", lambda: None)
    with pytest.raises(DataError, match=rf"models of the hub: no {name}: .*; allowed: pip install 'grokforget\[hub\]'"):
        causal_lm.library(name)


def test_it_takes_texts_alone() -> None:
    with pytest.raises(ValueError, match="needs texts as tokens"):
        causal_lm.CausalLM(DataShape((2,), 4), name="a/b")
