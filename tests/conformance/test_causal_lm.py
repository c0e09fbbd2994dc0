"""Models of the Hugging Face hub against ``transformers`` and ``peft`` themselves, and against the stand-in ``phi``."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from grokforget.analyses.features import REPRESENTATION, layers, outputs
from grokforget.config.data import FictitiousAuthors as FictitiousAuthorsSettings
from grokforget.config.methods import METHODS
from grokforget.config.models import CausalLM as Settings
from grokforget.config.models import Phi
from grokforget.config.specs.runs import ModelSpec, TrainSpec
from grokforget.config.training import TrainingSettings
from grokforget.config.work import Extent
from grokforget.data.examples import read_examples
from grokforget.data.language.authors import FictitiousAuthors
from grokforget.data.language.encode import IGNORED
from grokforget.data.loader import Examples
from grokforget.data.refusal import DataError
from grokforget.data.shape import DataShape
from grokforget.jobs.train import train_segment
from grokforget.methods.base import Problem
from grokforget.methods.runner import unlearn
from grokforget.models.build import build_model
from grokforget.models.causal_lm import CausalLM
from grokforget.models.states import read_state, state_of
from grokforget.runtime.files import read_table
from grokforget.runtime.job import Job
from grokforget.runtime.seeds import numpy_generator
from grokforget.training.answer_logits import answer_logits
from grokforget.training.evaluate import reduced
from grokforget.training.language import Language
from hub_models import ARCHITECTURES, AUTHORS, BLOCKS, END, VOCABULARY, peft, put_model, put_plain, put_tokenizer
from hub_models import transformers as installed

LORA = {"rank": 3, "alpha": 6.0}
WAYS = [None, LORA]
of_each = pytest.mark.parametrize("architecture", [*ARCHITECTURES])
of_both = pytest.mark.parametrize("lora", WAYS, ids=["full", "lora"])
TOKENS = torch.randint(2, VOCABULARY, (5, 12), generator=torch.Generator().manual_seed(0))


def spec_of(folder: Path, lora: Mapping[str, Any] | None = None) -> tuple[ModelSpec, list[Path]]:
    if lora:
        peft()
    settings = Settings(folder=str(folder), lora=lora)
    return ModelSpec(**dict(settings.spec()), libraries=settings.libraries), [*map(Path, settings.files())]


def built(folder: Path, lora: Mapping[str, Any] | None = None, seed: int = 1, vocabulary: int = VOCABULARY) -> CausalLM:
    spec, files = spec_of(folder, lora)
    with warnings.catch_warnings():
        # peft says that GPT-2's layers are the other way round, and turns them.
        warnings.simplefilter("ignore", UserWarning)
        return build_model(spec, DataShape((12,), 4, vocabulary), seed, files)


def stirred(model: CausalLM) -> CausalLM:
    """With adapters that add something: new ones add nothing."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


@of_each
def test_outputs_and_names_are_those_of_transformers_and_nothing_is_drawn(architecture: str, tmp_path: Path) -> None:
    theirs, ours = put_model(tmp_path, architecture), built(tmp_path)
    ours.eval()
    with torch.no_grad():
        expected = theirs(input_ids=TOKENS).logits
        assert torch.equal(ours(TOKENS), expected)
        torch.testing.assert_close(ours.from_embedding(ours.embed(TOKENS)), expected, rtol=0, atol=1e-6)
        outputs = dict(ours.named_modules())[ours.output_layer]
        assert outputs.weight.shape == (VOCABULARY, 24)
    assert ours.state_dict().keys() == {name for name, _ in theirs.named_parameters()}, "what is shared is there once"
    assert {name for name, _ in ours.named_modules()} == {name for name, _ in theirs.named_modules()}
    assert all(parameter.dtype is torch.float32 for parameter in ours.parameters())
    again = built(tmp_path, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), again.parameters(), strict=True))


def test_weights_in_half_precision_are_learned_in_single_precision(tmp_path: Path) -> None:
    model = put_model(tmp_path, "llama").half()
    model.save_pretrained(tmp_path, safe_serialization=True)
    ours = built(tmp_path)
    assert all(parameter.dtype is torch.float32 for parameter in ours.parameters())
    assert torch.equal(ours.lm_head.weight, model.lm_head.weight.float())


@of_each
@of_both
def test_what_stands_behind_a_token_has_no_part_in_its_output(
    architecture: str, lora: Mapping[str, Any] | None, tmp_path: Path
) -> None:
    """So pads on the right need no mask."""
    put_model(tmp_path, architecture)
    model = stirred(built(tmp_path, lora)).eval()
    other = TOKENS.clone()
    other[:, 7:] = END
    with torch.no_grad():
        logits, cut, padded = model(TOKENS), model(TOKENS[:, :7]), model(other)
    torch.testing.assert_close(padded[:, :7], logits[:, :7], rtol=0, atol=1e-5)
    torch.testing.assert_close(cut, logits[:, :7], rtol=0, atol=1e-5)
    assert not torch.allclose(padded[:, 7:], logits[:, 7:])


@of_each
@of_both
def test_answers_alone_go_through_the_output_layer(
    architecture: str, lora: Mapping[str, Any] | None, tmp_path: Path
) -> None:
    put_model(tmp_path, architecture)
    model, given = stirred(built(tmp_path, lora)).eval(), []
    layer = model.get_submodule(model.output_layer)
    examples = batch(model)
    asked = examples.y != IGNORED
    everywhere = model(examples.x)
    layer.register_forward_hook(lambda module, inputs, output: given.append(output.shape[:-1]))
    torch.testing.assert_close(answer_logits(model, examples.x, asked), everywhere[asked], rtol=0, atol=1e-5)
    assert given == [(int(asked.sum()),)]


@of_each
def test_there_is_no_dropout_whatever_the_config_says(architecture: str, tmp_path: Path) -> None:
    said = {name: 0.5 for name in ("attention_dropout", "hidden_dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop")}
    put_model(tmp_path, architecture, **said)
    model = built(tmp_path)
    assert torch.equal(model.train()(TOKENS), model.eval()(TOKENS))


@of_each
def test_a_copy_is_a_model_of_its_own(architecture: str, tmp_path: Path) -> None:
    put_model(tmp_path, architecture)
    model = built(tmp_path).eval()
    before = model(TOKENS)
    other = copy.deepcopy(model)
    state = state_of(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    assert torch.equal(model(TOKENS), before)
    assert not torch.allclose(other(TOKENS), before)
    other.load_state_dict(state)
    assert torch.equal(other(TOKENS), before)
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({name: value for name, value in list(state.items())[1:]})


@of_each
def test_adapters_alone_learn_and_give_what_peft_gives_when_it_merges_them(architecture: str, tmp_path: Path) -> None:
    library = peft()
    put_model(tmp_path, architecture)
    plain, ours = built(tmp_path).eval(), built(tmp_path, LORA).eval()
    assert torch.equal(ours(TOKENS), plain(TOKENS)), "new adapters add nothing"
    stirred(ours)
    assert all("lora_" in name for name in ours.state_dict())
    theirs = installed().AutoModelForCausalLM.from_pretrained(tmp_path)
    config = library.LoraConfig(r=3, lora_alpha=6.0, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        wrapped = library.get_peft_model(theirs, config)
    state = {f"base_model.model.{name}": value for name, value in ours.state_dict().items()}
    assert not wrapped.load_state_dict(state, strict=False).unexpected_keys
    with torch.no_grad():
        merged = wrapped.merge_and_unload().eval()(input_ids=TOKENS).logits
        found = ours(TOKENS)
    torch.testing.assert_close(found, merged, rtol=0, atol=2e-5 * merged.abs().max().item())
    assert not torch.allclose(found, plain(TOKENS), atol=1e-2)


def test_adapters_are_drawn_by_the_seed_and_put_where_they_are_asked_for(tmp_path: Path) -> None:
    put_model(tmp_path, "llama")
    first, again, other = (built(tmp_path, LORA, seed=seed).state_dict() for seed in (1, 1, 2))
    name = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    some = built(tmp_path, {**LORA, "targets": ["q_proj", "up_proj"]}).state_dict()
    assert {key.split(".")[4] for key in some} == {"q_proj", "up_proj"}
    with pytest.raises(DataError, match=r"lora: targets that are no linear layers: found query; allowed: down_proj, "):
        built(tmp_path, {**LORA, "targets": ["q_proj", "query"]})


@of_each
@of_both
def test_what_a_model_is_said_to_compute_is_what_torch_counts(
    architecture: str, lora: Mapping[str, Any] | None, tmp_path: Path
) -> None:
    put_model(tmp_path, architecture)
    model = built(tmp_path, lora).eval()
    extent = Extent(10, 2, 2, TOKENS.shape[1], 4, 0, VOCABULARY)
    work = Settings(folder=str(tmp_path), lora=lora).work(FictitiousAuthorsSettings(**AUTHORS), extent)
    assert work
    assert work.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert work.frozen == sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)

    def counted(n: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(TOKENS[:n])
        return counter.get_total_flops()

    # Attention is a single operation, which torch passes over.
    assert work.flops == counted(3) - counted(2) + 2 * 4 * TOKENS.shape[1] ** 2 * 24


def batch(model: nn.Module) -> Examples:
    x = model.encode(TOKENS)
    y = TOKENS.roll(-1, 1)
    y[:, :4], y[:, -1] = -100, -100
    return Examples(x, y)


def test_a_step_moves_the_weights_of_a_phi_folder_as_it_moves_the_stand_ins(tmp_path: Path) -> None:
    theirs = put_model(tmp_path, "phi")
    hub = built(tmp_path)
    settings = Phi(layers=2, width=24, heads=3, mlp_width=40)
    own = build_model(ModelSpec(**dict(settings.spec())), DataShape((12,), 4, VOCABULARY), 1)
    own.load_state_dict(theirs.state_dict())
    for model in (hub, own):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        examples = batch(model)
        Language().training_loss(model(examples.x), examples.y).backward()
        optimizer.step()
    assert hub.state_dict().keys() == own.state_dict().keys()
    for name, value in hub.state_dict().items():
        torch.testing.assert_close(value, own.state_dict()[name], rtol=1e-5, atol=2e-6, msg=name)


RECIPE = TrainingSettings.model_validate(
    {
        "loss": "next-token",
        "optimizer": {"name": "adamw", "learning_rate": 5e-3, "weight_decay": 0.1, "warmup_steps": 2, "clip": 1.0},
        **{"batch_size": 8, "steps": 8, "segment_steps": 4, "evaluate_every": 2, "snapshots_per_decade": 4},
    }
)


def table_of(folder: Path) -> FictitiousAuthors:
    """The data of ``AUTHORS`` in the tokenizer of a folder, written with a split beside it."""
    settings = {name: value for name, value in AUTHORS.items() if name != "kind"}
    held_out = {"validation_per_author": 1, "test_per_author": 1}
    data = FictitiousAuthors(
        **settings, **held_out, other_authors=0, seed=0, vocabulary=300, tokenizer_files=1, max_length=None
    )
    table = data.examples(folder / "tokenizer.json")
    table.write(folder / "examples.safetensors")
    data.split(table.labels, numpy_generator(0, "split")).write(folder / "split.safetensors")
    return data


@of_both
def test_training_in_segments_is_training_at_once_to_the_bit(lora: Mapping[str, Any] | None, tmp_path: Path) -> None:
    put_model(tmp_path, "qwen2")
    put_tokenizer(tmp_path)
    table_of(tmp_path)
    model, files = spec_of(tmp_path, {**LORA, "dropout": 0.2} if lora else None)
    weights = (tmp_path / "model.safetensors").read_bytes()

    def trained(name: str, stop: int, **before: list[Path]) -> Job[TrainSpec]:
        spec = TrainSpec(
            model=model,
            objective=RECIPE.objective(),
            recipe=RECIPE.recipe(),
            **{"seed": 0, "stop": stop, "processes": 1, "threads": 1, "device": "cpu"},
        )
        inputs = {what: [tmp_path / f"{what}.safetensors"] for what in ("examples", "split")}
        kinds = {"state": "safetensors", "snapshots": "safetensors", "curve": "parquet"}
        outputs = {what: tmp_path / name / f"{what}.{ending}" for what, ending in kinds.items()}
        job = Job({**inputs, "model": files, **before}, outputs, spec, tmp_path / name / "scratch")
        train_segment(job)
        return job

    whole, first = trained("whole", 8), trained("first", 4)
    second = trained("second", 8, state=[first.outputs["state"]])
    assert second.outputs["state"].read_bytes() == whole.outputs["state"].read_bytes()
    rows = read_table(whole.outputs["curve"])
    assert rows.train_loss.iloc[-1] < rows.train_loss.iloc[0]
    names = read_state(whole.outputs["snapshots"], "8").keys()
    assert all("lora_" in name for name in names) == bool(lora)
    assert ("lm_head.weight" in names) is False, "Qwen's output layer is its embedding"
    assert (tmp_path / "model.safetensors").read_bytes() == weights


PLAIN: dict[str, dict[str, Any]] = {
    "lm-gradient-ascent": {"epochs": 2, "batch_size": 3, "learning_rate": 1e-3},
    "npo": {"epochs": 2, "batch_size": 3, "learning_rate": 1e-3},
    "kl": {"epochs": 2, "batch_size": 3, "learning_rate": 1e-3},
    "rmu": {"epochs": 2, "batch_size": 3, "learning_rate": 1e-3},
    "task-vector": {"epochs": 2, "batch_size": 3, "learning_rate": 1e-2, "steps": 2},
    "relative-ascent": {"epochs": 1, "batch_size": 3, "share": 1e-3},
    "fine-tune": {"epochs": 1, "batch_size": 3, "learning_rate": 1e-2},
}


@of_both
@pytest.mark.parametrize("architecture", ["phi", "gpt2"])
@pytest.mark.parametrize("kind", [*PLAIN])
def test_methods_move_what_learns_and_leave_every_other_bit(
    kind: str, architecture: str, lora: Mapping[str, Any] | None, tmp_path: Path
) -> None:
    put_model(tmp_path, architecture)
    model = stirred(built(tmp_path, lora))
    examples = batch(model)
    forget, retain, test = examples[torch.tensor([0, 1])], examples[torch.tensor([2, 3])], examples[torch.tensor([4])]
    module = {"module": BLOCKS.get(architecture, "model.layers.0")} if kind == "rmu" else {}
    method = METHODS[kind](**PLAIN[kind], **module).spec().build()
    before, state = {name: value.clone() for name, value in model.named_parameters()}, state_of(model)
    problem = Problem(model, forget, retain, test, Language(), seed=3)
    losses = partial(reduced, model, forget, Language().sequence_losses)
    first = losses()
    record = unlearn(method, problem, test, stride=1)
    assert record.diagnostics["diverged"] == 0
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert moved <= {*model.learned}
    assert all("lora_" in name for name in moved) == bool(lora)
    if kind in ("lm-gradient-ascent", "npo", "task-vector", "relative-ascent"):
        assert (losses() > first).all()
    result = state_of(model)
    model.load_state_dict(state)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())
    assert result.keys() == state.keys()


def refusal(folder: Path, vocabulary: int = VOCABULARY) -> str:
    with pytest.raises(DataError) as raised:
        built(folder, vocabulary=vocabulary)
    return str(raised.value)


def test_what_cannot_be_used_is_told_with_what_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_model(tmp_path / "whole", "llama")
    told = refusal(tmp_path / "whole", VOCABULARY + 1)
    assert (
        f"{tmp_path / 'whole'}: a tokenizer of another model: found data in 401 tokens for a model of 400; allowed:"
        in told
    )
    installed()
    # Of the shapes that its config says, but zeros; and with other shapes, and none that transformers knows.
    assert built(put_plain(tmp_path / "zeros")).output_layer == "lm_head"
    told = refusal(put_plain(tmp_path / "shapes", hidden_size=32))
    assert f"{tmp_path / 'shapes'}: a model that cannot be loaded: found " in told
    told = refusal(put_plain(tmp_path / "unknown", model_type="martian"))
    assert "a model that cannot be loaded: found ValueError: " in told
    assert "martian" in told
    told = refusal(put_plain(tmp_path / "deeper", num_hidden_layers=3))
    assert "weights that are not all there: found no model.layers.2.input_layernorm.bias, " in told
    # No connection.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError) as raised:
        CausalLM(DataShape((12,), 4, VOCABULARY), name="nobody/nothing", revision="v1")
    told = str(raised.value)
    assert "nobody/nothing: a model that cannot be loaded: found " in told
    assert "`hf download nobody/nothing --revision v1 --local-dir FOLDER --include" in told
    assert "and give `folder: FOLDER` in place of `name`" in told


def test_a_name_of_the_hub_is_found_in_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "a" * 40
    model = put_model(tmp_path / "models--owner--tiny" / "snapshots" / commit, "llama")
    (tmp_path / "models--owner--tiny" / "refs").mkdir()
    (tmp_path / "models--owner--tiny" / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    # As transformers before 5 has it.
    monkeypatch.setattr("transformers.utils.hub.TRANSFORMERS_CACHE", str(tmp_path), raising=False)
    for revision in (None, "main", commit):
        settings = Settings(name="owner/tiny", revision=revision)
        ours = build_model(ModelSpec(**dict(settings.spec())), DataShape((12,), 4, VOCABULARY), 0).eval()
        assert torch.equal(ours(TOKENS), model(input_ids=TOKENS).logits)


def test_a_model_that_sees_what_follows_is_refused(tmp_path: Path) -> None:
    library = installed()
    config = library.BertConfig(
        vocab_size=VOCABULARY, hidden_size=24, intermediate_size=40, num_hidden_layers=1, num_attention_heads=2
    )
    model = library.BertLMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05)
    model.save_pretrained(tmp_path, safe_serialization=True)
    assert "a model that is not causal: found BertLMHeadModel" in refusal(tmp_path)


def test_the_data_are_written_in_the_tokenizer_of_the_folder(tmp_path: Path) -> None:
    put_model(tmp_path, "phi")
    put_tokenizer(tmp_path)
    table_of(tmp_path)
    table, _ = read_examples(tmp_path / "examples.safetensors", tmp_path / "split.safetensors")
    model = built(tmp_path, vocabulary=table.shape.vocabulary)
    logits: Tensor = model(model.encode(torch.tensor(table.inputs[:2])))
    assert logits.shape == (2, table.inputs.shape[1], VOCABULARY)


@of_each
def test_what_a_text_is_at_a_layer_is_the_mean_of_the_hidden_states_of_its_answer(
    architecture: str, tmp_path: Path
) -> None:
    """transformers gives the stream before every block, and behind the last norm what enters the output layer."""
    theirs, ours = put_model(tmp_path, architecture), built(tmp_path).eval()
    targets = TOKENS.clone()
    targets[:, :4], targets[2:, 9:] = IGNORED, IGNORED
    with torch.no_grad():
        states = theirs(input_ids=TOKENS, output_hidden_states=True).hidden_states
    block = BLOCKS.get(architecture, "model.layers.0")
    names = layers(ours, texts=True)
    assert names[0] == block
    assert names[-1] == REPRESENTATION
    found = outputs(ours, [block, REPRESENTATION], Examples(TOKENS, targets))
    for name, state in ((block, states[1]), (REPRESENTATION, states[-1])):
        for row, answer in enumerate(targets != IGNORED):
            torch.testing.assert_close(found[name][row], state[row][answer].mean(0), rtol=1e-5, atol=1e-6)
