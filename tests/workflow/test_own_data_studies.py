"""Data of one's own without code: docs/own-data.md as it stands, and what a file that is wrong, or that changes, does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from computed import computed_in
from snakemake_runs import REPOSITORY, SMALL, Workspace

PAGE = (REPOSITORY / "docs" / "own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|yaml) (file|data)=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def follow_the_page(folder: Path) -> dict[str, str]:
    """Make the files that the page makes, in the folder; returns its data sets, by name, as they are written there."""
    shown = {}
    for language, what, name, text in BLOCKS:
        if language == "python":
            subprocess.run([sys.executable, "-W", "error", "-c", text], cwd=folder, check=True)
            assert (folder / name).exists()
        elif what == "file":
            (folder / name).write_text(text, encoding="utf-8")
        else:
            shown[name] = text
    return shown


@pytest.mark.long(sample=0.5)
def test_the_study_of_the_page_is_all_that_it_takes(tmp_path: Path) -> None:
    follow_the_page(tmp_path)
    assert "snakemake --cores 2 --configfile wine.yaml" in PAGE
    workspace = Workspace(tmp_path)
    workspace.snakemake(study=tmp_path / "wine.yaml")
    results = tmp_path / "results" / "wine"
    for name in ("figures/figure1a.png", "paper/table1.md", "data/wine/labels.csv"):
        assert (results / name).exists(), name
        assert name.removeprefix("data/wine/") in PAGE
    table = pd.read_parquet(results / "tables" / "unlearning.parquet")
    assert len(table) == 3 * 3 * 4
    checkpoints = pd.read_parquet(results / "tables" / "checkpoints.parquet").query("checkpoint == 'grokked'")
    assert (checkpoints.test_accuracy > 0.85).all(), "it has learned something of the wines"


@pytest.mark.long(sample=0.5)
def test_the_three_kinds_of_the_page_are_trained_on_by_the_models_that_take_them(tmp_path: Path) -> None:
    study = yaml.safe_load(SMALL.read_text().replace("5e-3", "0.005").replace("1e-2", "0.01"))
    shown = follow_the_page(tmp_path)
    study["data"] = {name: settings for text in shown.values() for name, settings in yaml.safe_load(text).items()}
    base = study["settings"].pop("modular-mlp")
    base["training"] = {**base["training"], "steps": 60, "segment_steps": 60}
    cnn = {"kind": "cnn", "channels": [4], "hidden": 16}
    for data, model in (("table", {"kind": "mlp"}), ("arrays", {"kind": "mlp"}), ("arrays", cnn), ("images", cnn)):
        study["settings"][f"{data}-{model['kind']}"] = {**base, "data": data, "model": model}
    study["forget_sets"]["doubles"] = {"kind": "duplicated", "fraction": 0.1}
    study["seeds"] = [0]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    workspace = Workspace(tmp_path)
    wanted = "results/small/tables/unlearning.parquet"
    workspace.snakemake(wanted, study=tmp_path / "study.yaml")
    table = pd.read_parquet(tmp_path / wanted)
    assert set(table.setting) == {"table-mlp", "arrays-mlp", "arrays-cnn", "images-cnn"}
    assert not (table.flag == "diverged").any()
    training = table.query("method == 'original' and checkpoint == 'grokked'").groupby("setting").test_accuracy.min()
    assert (training > 0.5).all(), "classes are told apart, so labels belong to their inputs"
    labels = pd.read_csv(tmp_path / "results/small/data/images/labels.csv")
    assert labels["class"].tolist() == [f"digit-{digit}" for digit in range(10)]
    assert labels.examples.sum() == 1797


def study_of(folder: Path, data: str) -> Path:
    """The small study on the modular data and, in a setting more, on these."""
    text = SMALL.read_text()
    text = text.replace("data:\n", f"data:\n  mine: {data}\n", 1)
    setting = text[text.index("  modular-mlp:") : text.index("forget_sets:")]
    added = setting.replace("modular-mlp", "mine-mlp").replace("data: addition", "data: mine")
    text = text.replace("forget_sets:", f"{added}forget_sets:", 1)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def arrays(folder: Path) -> str:
    rows = np.arange(80)
    np.savez(folder / "mine.npz", x=np.stack([rows % 7, rows % 5], axis=1) * 1.0, y=rows % 2)
    return "{kind: arrays, path: mine.npz, train: 40, validation: 20}"


def pictures(folder: Path) -> str:
    for label, kind in enumerate(("cat", "dog")):
        (folder / "mine" / kind).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (4, 4), 20 * number + label).save(folder / "mine" / kind / f"{number}.png")
    return "{kind: image-folder, path: mine, train: 0.5, validation: 0.2}"


def mnist(folder: Path) -> str:
    """Forty images of MNIST's form, in its unpacked files, of which torchvision knows no checksum."""
    raw = folder / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 30), ("t10k", 20)):
        pixels = np.random.default_rng(n).integers(0, 256, (n, 28, 28), dtype=np.uint8)
        for what, array in (("images-idx3", pixels), ("labels-idx1", np.arange(n, dtype=np.uint8) % 10)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (raw / f"{part}-{what}-ubyte").write_bytes(head + array.tobytes())
    return "{kind: mnist, train: 20, validation: 10, test: 10, side: 14, label_noise: 0.2}"


def other_pixel(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def same_time(change: Callable[[Path], object], path: Path) -> None:
    """Change a file without a new time stamp, on it or on the folder that it lies in."""
    stamps = {one: one.stat() for one in (path, path.parent)}
    change(path)
    for one, stamp in stamps.items():
        os.utime(one, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def other_values(path: Path) -> None:
    content = dict(np.load(path))
    np.savez(path, **{**content, "x": content["x"] + 1})


@pytest.mark.long(sample=1)
@pytest.mark.parametrize(
    ("make", "file", "change"),
    [
        (arrays, "mine.npz", other_values),
        (pictures, "mine/dog/3.png", lambda path: Image.new("L", (4, 4), 255).save(path)),
        (mnist, "data/MNIST/raw/t10k-images-idx3-ubyte", other_pixel),
    ],
    ids=["a file", "an image in a folder", "a file of torchvision's"],
)
def test_what_changes_under_its_name_makes_its_data_and_what_follows_anew(
    make: Callable[[Path], str], file: str, change: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    study, workspace = study_of(folder, make(folder)), Workspace(folder)
    wanted = "results/small/data/mine/seed0.safetensors"
    workspace.snakemake(wanted, study=study)
    assert computed_in(workspace, "small").keys() == {"data/mine/examples", "data/mine/seed0"}
    assert workspace.planned(wanted, study=study) == {}
    # Results and data in another place: other paths, the same bytes.
    shutil.copytree(folder, tmp_path / "there")
    moved = Workspace(tmp_path / "there")
    moved.snakemake(wanted, study=tmp_path / "there" / "study.yaml")
    assert computed_in(moved, "small") == {}
    before = (folder / wanted).stat().st_mtime_ns
    same_time(change, folder / file)
    workspace.snakemake(wanted, study=study)
    assert computed_in(workspace, "small", since=before).keys() == {"data/mine/examples", "data/mine/seed0"}


def test_a_file_that_cannot_be_used_stops_before_anything_is_trained(tmp_path: Path) -> None:
    data = arrays(tmp_path)
    study, workspace = study_of(tmp_path, data), Workspace(tmp_path)
    np.savez(tmp_path / "mine.npz", x=np.full((80, 2), np.nan), y=np.arange(80) % 2)
    # On one core, where other data may well come first.
    done = workspace.snakemake(study=study, cores=1, check=False)
    assert done.returncode != 0
    assert f"prepare failed: DataError: {tmp_path}/mine.npz: x with values that are NaN or infinite" in done.stdout
    assert not list((tmp_path / "results" / "small").glob("train/**/*.safetensors"))
    (tmp_path / "mine.npz").unlink()
    done = workspace.snakemake(study=study, check=False)
    assert "study.yaml:7: data.mine.path: no such file: found 'mine.npz'; allowed: a file that is there" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_data_set_that_is_not_there_is_missed_before_any_work(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    done = workspace.snakemake(study=study_of(tmp_path, "{kind: cifar10, train: 1000, validation: 100}"), check=False)
    assert done.returncode != 0
    missed = f"study.yaml:7: data.mine.folder: no cifar-10-batches-py/data_batch_1 in {tmp_path}/data: found 'data'"
    assert missed in done.stdout
    assert "cifar10.npz, or `download: true`" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "results").exists()
