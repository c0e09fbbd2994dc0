"""Settings of the methods that unlearn language models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from grokforget.config.method_settings.base import Count, Decay, Rate, Steps
from grokforget.config.work import Request, Work, batches

if TYPE_CHECKING:
    from grokforget.config.models import Model

Strength = Annotated[float, Field(gt=0, le=10_000)]
Weight = Annotated[float, Field(ge=0, le=10_000)]


class Paired(Steps):
    """What all of them have: AdamW on pairs of a forget and a random retain example (published with TOFU, Maini et al. 2024,
    arXiv 2401.06121: lr 1e-5, of Phi-1.5 2e-5, decay 0.01, 5 epochs, batch 32, warm-up over the first epoch, then linear)."""

    objectives: ClassVar[tuple[str, ...]] = ("language",)
    learned: ClassVar[int] = 2
    """Examples that learn for each forget example of an epoch, itself among them if it does."""

    learning_rate: Rate = 1e-5
    """Of AdamW, at its highest."""
    weight_decay: Decay = 0.01
    """Decoupled, of AdamW."""
    epochs: Count = 5
    """Passes over the forget set."""
    batch_size: Count = 32
    """Forget examples of an update, and as many retain examples where the method has some, paired at random in every epoch."""
    warmup_epochs: int = Field(default=1, ge=0, le=1_000_000)
    """The learning rate rises linearly over the updates of so many epochs, the first of them having one part of it."""
    schedule: Literal["linear", "constant"] = "linear"
    """Of the learning rate behind the warm-up: ``linear`` falls to one part of it in the last update (published: the default
    of transformers' trainer)."""
    mean_over: Literal["examples", "tokens"] = "examples"
    """What losses that stand for a token are averaged over: ``tokens``, all answer tokens of a batch alike, by which long
    answers weigh more; ``examples``, each answer's own and then the answers. Published: over the tokens of each processor's
    part of a batch, of 1 to 16 examples."""

    def work(self, request: Request) -> Work:
        passes = self.epochs * 3 * self.learned * request.forget
        return Work(self.epochs * batches(request.forget, self.batch_size), passes + self.looked_at(request))

    def looked_at(self, request: Request) -> int:
        """Examples that the original model is asked about, once each."""
        return 0

    def partners(self, request: Request) -> int:
        """Retain examples that are some forget example's in some epoch, at most."""
        return min(self.epochs * request.forget, request.retain)


class LanguageGradientAscent(Paired):
    """Maximise the negative log-likelihood of the answers to forget (TOFU's; NLL is of answer tokens, everywhere here)."""

    implementation: ClassVar[str] = "grokforget.methods.language.gradient_ascent:GradientAscent"
    learned: ClassVar[int] = 1

    kind: Literal["lm-gradient-ascent"] = "lm-gradient-ascent"


class Balanced(Paired):
    """Those of a loss on forget and one on retain examples."""

    gamma: Strength = 1.0
    """γ, weight of the loss on the forget examples."""
    alpha: Weight = 1.0
    """α, weight of the loss on the retain examples."""


class GradientDifference(Balanced):
    """-γ NLL of the forget + α NLL of the retain examples (Liu et al. 2022, arXiv 2203.12817; as in TOFU: γ = α = 1)."""

    implementation: ClassVar[str] = "grokforget.methods.language.gradient_difference:GradientDifference"

    kind: Literal["gradient-difference"] = "gradient-difference"


class KL(Balanced):
    """-γ NLL of the forget examples + α KL(original ‖ model) at the retain examples' answer tokens (TOFU's: γ = α = 1)."""

    implementation: ClassVar[str] = "grokforget.methods.language.kl:KL"

    kind: Literal["kl"] = "kl"

    def looked_at(self, request: Request) -> int:
        return self.partners(request)


class Preference(Paired):
    """PO: learn refusals, drawn at random in every epoch, for the forget questions and the answers of the retain examples
    together (TOFU's, with its 100 refusals). Needs data with refusals."""

    implementation: ClassVar[str] = "grokforget.methods.language.preference:Preference"

    kind: Literal["preference"] = "preference"


class NPO(Balanced):
    """Negative preference optimisation (Zhang et al. 2024, arXiv 2404.05868): ascent that fades as an answer becomes less
    likely than the original found it, beside NLL on retain examples (published: β 0.1, γ = α = 1, lr 1e-5, 10 epochs)."""

    implementation: ClassVar[str] = "grokforget.methods.language.npo:NPO"

    kind: Literal["npo"] = "npo"
    beta: Strength = 0.1
    """β, how soon it fades: near 0 the forget loss is gradient ascent's, of sums over an answer's tokens."""
    epochs: Count = 10
    """Passes over the forget set."""

    def looked_at(self, request: Request) -> int:
        return request.forget


class DPO(NPO):
    """Prefer a refusal, drawn at random in every epoch, to the answer (Rafailov et al. 2023, arXiv 2305.18290), in the form
    and with the defaults of NPO's authors, beside NLL on retain examples. Needs data with refusals."""

    implementation: ClassVar[str] = "grokforget.methods.language.dpo:DPO"
    learned: ClassVar[int] = 3

    kind: Literal["dpo"] = "dpo"  # type: ignore[assignment]
    beta: Strength = 0.1
    """β, of the preference: the larger, the nearer to the original it is satisfied."""

    def looked_at(self, request: Request) -> int:
        """At most: a refusal may be drawn twice."""
        return request.forget * (1 + self.epochs)


class SimNPO(Balanced):
    """NPO without a reference, on the mean over an answer's tokens (Fan et al. 2024, arXiv 2410.07163; of TOFU β 4.5, δ 0,
    γ 0.125, α 1, lr 1e-5, 10 epochs)."""

    implementation: ClassVar[str] = "grokforget.methods.language.simnpo:SimNPO"

    kind: Literal["simnpo"] = "simnpo"
    beta: Strength = 4.5
    """β, how soon the forget loss fades."""
    delta: Weight = 0.0
    """δ, nats a token: the mean NLL from which on it fades."""
    gamma: Strength = 0.125
    """γ, weight of the loss on the forget examples."""
    epochs: Count = 10
    """Passes over the forget set."""


class RMU(Balanced):
    """Representation misdirection (Li et al. 2024, arXiv 2403.03218): a layer's output is pulled to one random direction on
    forget examples, and to the original's on retain examples. The defaults are those of open-unlearning for TOFU (layer 7,
    c 2, γ = α = 1, lr 1e-5, 10 epochs); the authors' have c 6.5 to 300, α 1200."""

    implementation: ClassVar[str] = "grokforget.methods.language.rmu:RMU"

    kind: Literal["rmu"] = "rmu"
    module: str = Field(default="model.layers.7", min_length=1)
    """Name of the submodule whose output it is about, in the model: ``model.layers.N`` in Phi, Llama and Qwen, from 0."""
    coefficient: Strength = 2.0
    """c, length of the vector that the outputs are pulled to."""
    epochs: Count = 10
    """Passes over the forget set."""

    def looked_at(self, request: Request) -> int:
        return self.partners(request)

    def conflict_with(self, model: Model) -> tuple[object, str] | None:
        layers: int | None = getattr(model, "layers", None)
        named = re.fullmatch(r"model\.layers\.(\d+)", self.module)
        if layers is not None and named and int(named[1]) >= layers:
            return self.module, f"model.layers.0 to model.layers.{layers - 1}"
        return None


class Undial(Balanced):
    """UNDIAL (Dong et al. 2024, arXiv 2402.10052): learn the original's own distribution with the logit of each answer token
    lowered by β (published for LoRA: β 3 to 30, no retain loss, lr 1e-4; open-unlearning: β 10, 10 epochs)."""

    implementation: ClassVar[str] = "grokforget.methods.language.undial:Undial"

    kind: Literal["undial"] = "undial"
    beta: Strength = 10.0
    """β, by which logits are lowered."""
    alpha: Weight = 0.0
    """α, weight of the NLL of the retain examples; published: none."""
    learning_rate: Rate = 1e-4
    """Of AdamW, at its highest."""
    epochs: Count = 10
    """Passes over the forget set."""

    def work(self, request: Request) -> Work:
        calls, passes = super().work(request)
        return Work(calls, passes if self.alpha else passes - self.epochs * 3 * request.forget)

    def looked_at(self, request: Request) -> int:
        return request.forget


class TaskVector(Paired):
    """Negated task vector (Ilharco et al. 2023, arXiv 2212.04089): fine-tune a copy on the forget set, and take a multiple of
    what that adds to the weights from the original. The recipe's defaults are those of TOFU's fine-tuning."""

    implementation: ClassVar[str] = "grokforget.methods.language.task_vector:TaskVector"
    in_common: ClassVar[bool] = True
    learned: ClassVar[int] = 1

    kind: Literal["task-vector"] = "task-vector"
    scale: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """α, the multiple (published: chosen on held-out data, from 0 to 1)."""
    steps: Count = 10
    """Equal parts in which it is taken away, an update each, so that its trajectory tells of every smaller α; the result is
    the same whatever their number."""

    def work(self, request: Request) -> Work:
        return super().work(request)._replace(calls=self.steps)
