"""Causal language models of the Hugging Face hub, by the library ``transformers``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grokforget.data.refusal import DataError
from grokforget.data.shape import DataShape
from grokforget.data.torchvision_cpu import torchvision

Name = Literal["transformers", "peft"]


class CausalLM(nn.Module):
    """A language model of texts with its weights: tokens (N, T) to logits (N, T, V), V being its own vocabulary.

    It is read from ``files`` of one folder, or as ``name`` at a ``revision`` from the hub: safetensors alone, no code, float32.
    Nothing but ``lora`` is drawn. Dropout is switched off, whatever the model's config says; that of ``lora`` is its own. There
    is no mask: under causal attention what stands on the right of a token, as padding does, has no part in its logits. Its
    modules and parameters have the names that they have in ``transformers``.

    With ``lora`` (rank, alpha, dropout, targets) the weights are frozen, and the state dict is that of the adapters alone.
    Raises DataError for files that hold no such model, a name that cannot be fetched, and data in more tokens than it knows.
    """

    def __init__(
        self,
        shape: DataShape,
        *files: Path,
        name: str | None = None,
        revision: str | None = None,
        lora: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not shape.vocabulary:
            raise ValueError("a language model needs texts as tokens; this data set holds none")
        network: Any = from_folder(files[0].parent) if files else from_hub(str(name), revision or "main")
        place = str(files[0].parent if files else name)
        rows = network.get_input_embeddings().num_embeddings
        if shape.vocabulary > rows:
            found = f"data in {shape.vocabulary} tokens for a model of {rows}"
            raise DataError(place, "a tokenizer of another model", found, "data whose `tokenizer` is the model's own")
        check_causal(network, place)
        if lora:
            adapt(network, place, **lora)
        # Its parts are this module's own, so that they have their names; itself it is none, or all would be there twice.
        self._network = (network,)
        for part, module in network.named_children():
            self.add_module(part, module)
        names = {module: part for part, module in self.named_modules()}
        self.output_layer, self._words = names[network.get_output_embeddings()], names[network.get_input_embeddings()]
        self.learned = tuple(part for part, parameter in self.named_parameters() if parameter.requires_grad)
        """What its state dict has: of weights that two layers share the first name."""

    def encode(self, x: Tensor) -> Tensor:
        """Tokens as stored, (N, T), to int64."""
        return x.long()

    def embed(self, x: Tensor) -> Tensor:
        """What enters the model, (N, T, width)."""
        embedded: Tensor = self.get_submodule(self._words)(x)
        return embedded

    def from_embedding(self, embedded: Tensor) -> Tensor:
        """Logits from ``embed``'s points."""
        logits: Tensor = self._network[0](inputs_embeds=embedded, use_cache=False).logits
        return logits

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self._network[0](input_ids=x, use_cache=False).logits
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # of torch's overloads
        """What learns, each once. Buffers are constants of the config."""
        whole = super().state_dict(*args, **kwargs)
        return {name: whole[name] for name in self.learned}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """What ``state_dict`` gave; all else stays."""
        stays = {name: value for name, value in super().state_dict().items() if name not in self.learned}
        return super().load_state_dict({**stays, **state_dict}, strict, assign)


def library(name: Name) -> ModuleType:
    """The library of that name. DataError where it is not installed."""
    with suppress(ImportError):
        # transformers imports it too, which a build for another torch would not survive.
        torchvision()
    try:
        module = import_module(name)
    except ImportError as error:
        raise DataError("models of the hub", f"no {name}", error, "pip install 'grokforget[hub]'") from error
    if name == "transformers":
        module.logging.set_verbosity_error()
        module.logging.disable_progress_bar()
    return module


def from_folder(folder: Path) -> nn.Module:
    """The model in a folder. Raises DataError."""
    allowed = "the folder of a causal language model that transformers knows, whole: config.json and safetensors"
    return loaded(str(folder), allowed, local_files_only=True)


def from_hub(name: str, revision: str) -> nn.Module:
    """A model of the hub, which is fetched where it is not in the hub's cache. Raises DataError."""
    command = f"hf download {name} --revision {revision} --local-dir FOLDER --include '*.json' '*.safetensors' '*.txt'"
    allowed = (
        "a model of the hub with safetensors, and a connection; without one fetch it elsewhere "
        f"(`{command}`) and give `folder: FOLDER` in place of `name`"
    )
    return loaded(name, allowed, revision=revision)


def loaded(source: str, allowed: str, **where: Any) -> nn.Module:
    """The model with its weights in float32, and without dropout."""
    transformers = library("transformers")
    try:
        config = transformers.AutoConfig.from_pretrained(source, trust_remote_code=False, **where)
        without_dropout(config)
        network, told = transformers.AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            torch_dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **where,
        )
    except Exception as error:
        # Files, the connection, the architecture: each library behind it has errors of its own.
        raise DataError(source, "a model that cannot be loaded", f"{type(error).__name__}: {error}", allowed) from error
    missing = sorted(told["missing_keys"])
    if missing:
        found = f"no {', '.join(missing[:3])}{f' and {len(missing) - 3} more' if len(missing) > 3 else ''}"
        raise DataError(source, "weights that are not all there", found, allowed)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model: nn.Module = network
    return model


def without_dropout(config: Any) -> None:
    """Every share of dropout in a config 0: some are numbers of layers that hold no ``nn.Dropout``."""
    for key, value in config.to_dict().items():
        if ("dropout" in key or key.endswith("pdrop")) and isinstance(value, float):
            setattr(config, key, 0.0)


@torch.no_grad()
def check_causal(network: Any, place: str) -> None:
    """Raise DataError where what follows has a part in a token's logits, or there are none."""
    if network.get_output_embeddings() is None:
        raise DataError(place, "a model without an output layer", type(network).__name__, "a model that says words")
    network.eval()
    tokens = torch.tensor([[0, 1, 1, 1], [0, 1, 0, 0]])
    first, second = network(input_ids=tokens, use_cache=False).logits[:, :2]
    if not torch.allclose(first, second, rtol=0, atol=1e-5 * float(first.abs().max())):
        raise DataError(place, "a model that is not causal", type(network).__name__, "a model that sees what is before")


def adapt(
    network: nn.Module, place: str, *, rank: int, alpha: float, dropout: float, targets: str | Sequence[str]
) -> None:
    """Freeze the model and give it adapters, by the library ``peft``. Raises DataError where there is no such layer."""
    peft = library("peft")
    asked = targets if isinstance(targets, str) else list(targets)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=asked, bias="none")
    linear = sorted({name.rpartition(".")[2] for name, module in network.named_modules() if is_linear(module)})
    unknown = [] if isinstance(targets, str) else [name for name in targets if name not in linear]
    if unknown:
        raise DataError(place, "lora: targets that are no linear layers", ", ".join(unknown), ", ".join(linear))
    peft.inject_adapter_in_model(config, network)


def is_linear(module: nn.Module) -> bool:
    """Whether it is a linear layer, GPT-2's kind of it included."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
