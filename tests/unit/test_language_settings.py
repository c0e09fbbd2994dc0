"""What settings of methods of language models do not go together with."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
from pydantic import ValidationError

from grokforget.config.analyses import Ablation, ModuleModel
from grokforget.config.methods import METHODS, GradientAscent
from grokforget.config.models import CNN, Model, Phi, Transformer
from grokforget.config.study import Study
from small import small


@pytest.mark.parametrize(
    ("module", "model", "refused"),
    [
        ("model.layers.2", Phi(layers=2), True),
        ("model.layers.7", Phi(layers=7), True),
        ("model.layers.1", Phi(layers=2), False),
        ("model.final_layernorm", Phi(layers=2), False),
        ("model.layers.7", CNN(channels=[2]), False),
    ],
)
def test_a_layer_that_a_model_does_not_have_is_refused(module: str, model: Model, refused: bool) -> None:
    found = METHODS["rmu"](module=module).conflict_with(model)
    last = getattr(model, "layers", 0) - 1
    assert found == ((module, f"model.layers.0 to model.layers.{last}") if refused else None)


def test_a_study_with_a_method_that_does_not_fit_a_model_is_refused_at_the_method(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree = small().model_dump(mode="json", exclude_unset=True)
    name = next(name for name, method in tree["methods"].items() if method["kind"] == "gradient-ascent")
    monkeypatch.setattr(GradientAscent, "conflict_with", lambda self, model: (model.kind, "another"))
    with pytest.raises(
        ValidationError, match=r"that does not fit the model of '.*': found '.*'; allowed: another"
    ) as told:
        Study.model_validate(tree)
    assert told.value.errors()[0]["ctx"]["at"] == ["methods", name]


def test_kinds_are_told_apart_by_what_they_unlearn() -> None:
    language = {kind for kind, method in METHODS.items() if "classification" not in method.objectives}
    assert language == {
        *("lm-gradient-ascent", "gradient-difference", "kl", "preference", "dpo"),
        *("npo", "simnpo", "rmu", "undial", "task-vector"),
    }
    for kind in language:
        assert "batch_statistics" not in METHODS[kind].model_fields, "language models have no batch norms"
        assert METHODS[kind]().spec().settings.keys() == METHODS[kind].model_fields.keys() - {"kind", "updates"}


def test_modules_are_asked_of_models_whose_heads_and_neurons_are_known() -> None:
    class Unknown(Phi):
        has_heads: ClassVar[bool] = False
        kind: Literal["unknown"] = "unknown"

    heads = Ablation(units=["all", "heads"])
    for analysis in (ModuleModel(), Ablation(), heads):
        assert analysis.conflict_with(Phi()) is None
        assert analysis.conflict_with(Transformer()) is None
        found = analysis.conflict_with(Unknown())
        assert found is not None
        assert "unknown" in str(found[0])
        assert "phi" in found[1]
    assert Ablation().conflict_with(CNN(channels=[2])) is None
    assert heads.conflict_with(CNN(channels=[2])) == (
        "units heads of a cnn",
        "other units, or a model whose heads are modules: transformer, phi",
    )


def test_a_study_with_an_analysis_that_does_not_fit_a_model_is_refused_at_the_analysis() -> None:
    tree = small().model_dump(mode="json", exclude_unset=True)
    tree["analyses"]["heads"] = {"kind": "ablation", "units": ["heads"]}
    with pytest.raises(
        ValidationError, match=r"an analysis that does not fit the model of .* found 'units heads of"
    ) as told:
        Study.model_validate(tree)
    assert told.value.errors()[0]["ctx"]["at"] == ["analyses", "heads"]
