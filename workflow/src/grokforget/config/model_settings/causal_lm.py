"""Causal language models of the Hugging Face hub, whole or by low-rank adapters."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from grokforget.config.base import Strict, no_repeats, problem
from grokforget.config.data_settings.base import DataSet
from grokforget.config.data_settings.language import tokenizer_files
from grokforget.config.data_settings.own import absolute
from grokforget.config.model_settings.base import Model
from grokforget.config.model_settings.hub_files import Sizes, end_of, ends_of, files_of, model_folder, tokens_of
from grokforget.config.work import Extent, ModelWork, linear, norm

PHI_1_5 = {"model_type": "phi", "hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192}
"""Of Phi-1.5 (arXiv 2309.05463), the paper's model."""


def hub_name(name: str) -> str:
    """A validator: a name of the hub, ``OWNER/MODEL``."""
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name, re.ASCII):
        raise problem("no name of the hub", name, "OWNER/MODEL; a folder is given as `folder:`")
    return name


class LoRA(Strict):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), by the library ``peft``: W x + (alpha / rank) B A x, of which A and B
    alone learn; B begins at 0. The defaults are TOFU's (arXiv 2401.06121), but for its dropout of 0.05."""

    rank: int = Field(default=8, ge=1, le=4096)
    """Rows of A."""
    alpha: float = Field(default=32.0, gt=0, le=100_000)
    """Over ``rank`` the factor on what an adapter adds."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that is left out in training, and in unlearning."""
    targets: Literal["all-linear"] | Annotated[list[str], Field(min_length=1), AfterValidator(no_repeats)] = (
        "all-linear"
    )
    """Which linear layers have adapters, by the last part of their names (``q_proj``, ``dense``), or all but the output layer."""

    def adapts(self, weight: str) -> bool:
        """Whether the linear layer of a weight has an adapter, as long as it is not the output layer."""
        return self.targets == "all-linear" or weight.split(".")[-2] in self.targets


class CausalLM(Model):
    """A causal language model of the Hugging Face hub with its weights, from a folder or by its name
    (``pip install 'grokforget[hub]'``)."""

    implementation: ClassVar[str] = "grokforget.models.causal_lm:CausalLM"
    objectives: ClassVar[tuple[str, ...]] = ("language",)
    pretrained: ClassVar[bool] = True

    kind: Literal["causal-lm"] = "causal-lm"
    folder: Annotated[str, AfterValidator(model_folder)] | None = None
    """The folder of the model: ``config.json`` and its weights as safetensors. Files count by their contents. A relative path
    begins where Snakemake runs, as ``results/`` does. This or ``name``."""
    name: Annotated[str, AfterValidator(hub_name)] | None = None
    """The model's name on the hub, ``OWNER/MODEL``, from which the jobs fetch it, into the hub's own cache."""
    revision: str | None = Field(default=None, min_length=1)
    """With ``name``: the branch, tag or commit; null is ``main``. Only a commit stays what it is."""
    lora: LoRA | None = None
    """Low-rank adapters that learn in place of the weights; null is full fine-tuning."""

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]  # here the settings tell
        return ("transformers", *(["peft"] if self.lora else []))

    @property
    def in_paper(self) -> str | None:  # type: ignore[override]  # likewise
        """Phi-1.5, all of whose weights learn: by its name, or by that of its folder and its sizes."""
        if self.lora or Path(self.name or self.folder or "").name != "phi-1_5":
            return None
        config = Sizes(self.folder).config if self.folder else PHI_1_5
        return "phi-1.5" if all(config.get(key) == value for key, value in PHI_1_5.items()) else None

    @property
    def layers(self) -> int | None:
        """Blocks, where its files tell."""
        return Sizes(self.folder).layers or None if self.folder else None

    def not_settings(self) -> set[str]:
        """A folder's files count by their contents."""
        return {"folder", *(["name", "revision"] if self.folder else [])} | super().not_settings()

    def files(self) -> list[str]:
        return files_of(self.folder) if self.folder else []

    def conflict(self) -> tuple[object, str] | None:
        if (self.folder is None) == (self.name is None):
            return f"folder {self.folder!r} and name {self.name!r}", "one of them"
        if self.revision and self.folder:
            return f"revision {self.revision!r} of a folder", "a `name` of the hub with it, or no revision"
        return super().conflict()

    def conflict_with(self, data: DataSet) -> tuple[object, str] | None:
        """Its tokens are those of its own tokenizer, which the data are written in."""
        own = f"`tokenizer: {self.folder}`" if self.folder else "the folder of its own tokenizer"
        path: str | None = getattr(data, "tokenizer", None)
        if path is None:
            return "a tokenizer that is trained on the data (`tokenizer` is null)", f"{own} in the data set"
        if self.folder is None:
            return super().conflict_with(data)
        files = tokenizer_files(path)
        tokens, rows, where = tokens_of(files), Sizes(self.folder).vocabulary, absolute(self.folder)
        most = max(tokens.values(), default=-1)
        if rows and most >= rows:
            return f"the token {most} of {files[0]}, of {rows} (vocab_size of {where / 'config.json'})", own
        ends, end = ends_of(self.folder), tokens.get(end_of(files))
        if ends and end is not None and end not in ends:
            told = " or ".join(map(str, sorted(ends)))
            return f"texts that end in {end} by {files[0]}, in {told} by eos_token_id of {where / 'config.json'}", own
        theirs = tokenizer_files(self.folder)
        if theirs and (differing := set(tokens.items()) ^ set(tokens_of(theirs).items())):
            token = min(token for token, _ in differing)
            numbers = f"{token!r} is {tokens.get(token)} and {tokens_of(theirs).get(token)}"
            return f"{files[0]}, which differs from {theirs[0]}: {numbers}", own
        return super().conflict_with(data)

    def work(self, data: DataSet, extent: Extent) -> ModelWork | None:
        """Of texts that are all as long, by the shapes in its files; not known of a name. Of adapters the parameters that learn
        are told apart; the backward pass counts as that of all weights, which is up to a third too much."""
        if self.folder is None:
            return None
        sizes, positions, found, learned = Sizes(self.folder), extent.features, ModelWork(), 0
        for name, (n_out, n_in) in sizes.matrices().items():
            found += linear(n_in, n_out, bias=False, positions=positions)
            if self.lora and self.lora.adapts(name):
                numbers = self.lora.rank * (n_in + n_out)
                # Of what A gives alone; what B gives is added to what is there.
                found += ModelWork(flops=2 * numbers * positions, kept=self.lora.rank * positions, layers=2)
                learned += numbers
        attention = ModelWork(flops=4 * positions**2 * sizes.width, kept=positions**2 * sizes.heads)
        norms = sum("norm" in name or "ln_" in name for name in sizes.tensors if name.endswith(".weight"))
        found += attention * sizes.layers + norm(sizes.width, positions) * norms
        found += linear(sizes.width, sizes.vocabulary, bias=False, positions=positions)
        # One layer more, the embedding, which computes nothing.
        parameters, frozen = sizes.parameters + learned, sizes.parameters if self.lora else 0
        return ModelWork(found.flops, parameters, found.kept, found.layers + 1, frozen)
