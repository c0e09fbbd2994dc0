"""Every study of the repository can be planned in a folder without data, by a machine without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_models import put_phi_1_5
from image_files import put_imagenet
from snakemake_runs import REPOSITORY, Workspace

STUDIES = sorted((REPOSITORY / "workflow" / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_a_study_of_the_repository_is_planned(path: Path, tmp_path: Path) -> None:
    put_imagenet(tmp_path)
    put_phi_1_5(tmp_path)
    planned = Workspace(tmp_path).planned(study=path)
    asked = {"prepare", "train", "select", "unlearn", "collect", "claims", "figure", "provenance"}
    if path.stem == "laboratory":  # Nothing is unlearned.
        asked = {"prepare", "train", "together", "analyse", "collect", "outcomes", "fit_laws", "figure", "provenance"}
    if path.stem == "laboratory-transformer":
        asked = {"prepare", "train", "analyse", "collect", "outcomes", "fit_laws", "figure", "provenance"}
    if path.stem == "regression":
        asked = {"together", "analyse", "collect", "outcomes", "fit_laws", "figure", "provenance"}
    assert asked <= planned.keys()
