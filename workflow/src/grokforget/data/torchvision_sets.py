"""The data sets that torchvision knows, from its own files or from arrays.

torchvision is imported only where its files are read. Of the files whose checksum it knows the checksum is compared before
anything is read of them: those of CIFAR are pickles, which can run code.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from grokforget.data.arrays import HALVES, arrays_of, described
from grokforget.data.own import GIVEN, OwnData, Raw
from grokforget.data.refusal import DataError, listed

DIGITS = tuple("0123456789")
CHUNK_PIXELS = 2**24
"""Pixels that are averaged at a time."""


class Known(NamedTuple):
    """A data set: torchvision's name for it, height and width of its images, their channels, and its classes in the order of
    their labels."""

    name: str
    side: int
    channels: int
    classes: tuple[str, ...]


CIFAR100_CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle caterpillar
cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster
house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree
orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose
sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television
tiger tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
FASHION_CLASSES = "T-shirt/top|Trouser|Pullover|Dress|Coat|Sandal|Shirt|Sneaker|Bag|Ankle boot"
KNOWN = {
    "cifar10": Known("CIFAR10", 32, 3, tuple(CIFAR10_CLASSES.split())),
    "cifar100": Known("CIFAR100", 32, 3, tuple(CIFAR100_CLASSES.split())),
    "svhn": Known("SVHN", 32, 3, DIGITS),
    "mnist": Known("MNIST", 28, 1, DIGITS),
    "fashion-mnist": Known("FashionMNIST", 28, 1, tuple(FASHION_CLASSES.split("|"))),
}

Half = tuple[np.ndarray, np.ndarray]
"""Images (N, height, width, channels), uint8, and labels (N,)."""


@dataclass(frozen=True, kw_only=True)
class VisionData(OwnData):
    """The data set ``kind``, with its own test set.

    It is read from ``KIND.npz``, or from torchvision's files, or, where ``fetch_into`` names a folder, from those that
    torchvision finds or puts there. ``side`` is the height and width that images are averaged down to, or None.
    """

    kind: str
    side: int | None
    fetch_into: str | None

    def read(self, *files: Path) -> Raw:
        known = KNOWN[self.kind]
        if not files:
            halves = self.fetched()
        elif files[0].suffix == ".npz":
            halves = halves_of(files[0], known)
        else:
            halves = read_by_torchvision(known, files)
        images = pooled([images for images, _ in halves], self.side or known.side)
        parts = np.repeat(GIVEN, [len(labels) for _, labels in halves])
        return Raw(images, np.concatenate([labels for _, labels in halves]), parts, "its labels", names=known.classes)

    def place(self, *files: Path) -> Path:
        return super().place(*files) if files else self.root()

    def root(self) -> Path:
        """The folder to put files into."""
        assert self.fetch_into is not None
        return Path(self.fetch_into).expanduser().absolute()

    def fetched(self) -> list[Half]:
        """What torchvision finds, or downloads. DataError where that fails."""
        known, root = KNOWN[self.kind], self.root()
        with readable(known, root, f"a connection to the internet; or, in that folder, its files or {self.kind}.npz"):
            if known.channels == 3:
                return [half_of(part) for part in of_both(known, root, download=True)]
            # torchvision takes what was unpacked there as it is; only of the archives does it know the checksums.
            files = archives(known, root)
        return read_by_torchvision(known, files)


def halves_of(path: Path, known: Known) -> list[Half]:
    """Train and test examples of an .npz file. DataError where it does not hold the arrays of such a data set."""
    arrays = arrays_of(path)
    if sorted(arrays) != sorted(HALVES):
        raise DataError(path, "arrays of other names", listed(sorted(arrays)), ", ".join(HALVES))
    halves = []
    for part in GIVEN:
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        shape = (known.side, known.side, known.channels)
        if known.channels == 1 and x.ndim == 3:
            x = x[..., None]
        if x.dtype != np.uint8 or x.shape[1:] != shape:
            raise DataError(path, f"x_{part}", described(x), f"uint8 of shape (N, {', '.join(map(str, shape))})")
        if y.shape != (len(x),):
            raise DataError(path, f"y_{part}", described(y), f"one label for each of the {len(x)} examples")
        halves.append((x, y))
    return halves


def read_by_torchvision(known: Known, files: Sequence[Path]) -> list[Half]:
    """Train and test examples from torchvision's files. DataError where one is damaged."""
    root = files[0].parents[len(Path(next(iter(checksums(known)))).parts) - 1]
    check_files(known, root, files)
    with readable(known, root, "the files that torchvision reads"), unpacked(known, root, files) as there:
        return [half_of(part) for part in of_both(known, there)]


def of_both(known: Known, root: Path, **options: Any) -> Iterator[Any]:
    """torchvision's objects for the train and the test examples."""
    kind = torchvision_class(known)
    for part in GIVEN:
        which = {"split": part} if known.name == "SVHN" else {"train": part == "train"}
        yield kind(root, **which, **options)


def half_of(part: Any) -> Half:
    """Images and labels of one of torchvision's objects."""
    images, labels = np.asarray(part.data), np.asarray(part.labels if hasattr(part, "split") else part.targets)
    if hasattr(part, "split"):
        # Of SVHN the channels come first.
        images = images.transpose(0, 2, 3, 1)
    return images if images.ndim == 4 else images[..., None], labels


def torchvision_class(known: Known) -> Any:
    """torchvision's class. DataError where torchvision is not installed."""
    from grokforget.data.torchvision_cpu import torchvision

    try:
        return getattr(torchvision().datasets, known.name)
    except ImportError as error:
        raise DataError(known.name, "no torchvision", error, "pip install 'grokforget[vision]', or arrays") from error


def checksums(known: Known) -> dict[str, str]:
    """MD5, as torchvision knows it, of the files that it reads or, of MNIST's kind, downloads: by path below the root."""
    kind = torchvision_class(known)
    if known.channels == 1:
        return {f"{known.name}/raw/{name}": md5 for name, md5 in kind.resources}
    if known.name == "SVHN":
        return {name: md5 for _, name, md5 in (kind.split_list[part] for part in GIVEN)}
    meta = (kind.meta["filename"], kind.meta["md5"])
    return {f"{kind.base_folder}/{name}": md5 for name, md5 in (*kind.train_list, *kind.test_list, meta)}


def check_files(known: Known, root: Path, files: Sequence[Path]) -> None:
    """Raise DataError for a file that has another checksum than torchvision knows."""
    from torchvision.datasets.utils import calculate_md5

    for name, md5 in checksums(known).items():
        if root / name in files and (found := calculate_md5(str(root / name))) != md5:
            allowed = f"md5 {md5}; remove it, and put the whole file there or give `download: true`"
            raise DataError(root / name, "a damaged file or an interrupted download", f"md5 {found}", allowed)


def archives(known: Known, root: Path) -> list[Path]:
    """MNIST's four archives below ``root``, downloaded where they are not there or not whole."""
    kind = torchvision_class(known)
    from torchvision.datasets.utils import download_url

    for name, md5 in kind.resources:
        for mirror in kind.mirrors:
            try:
                download_url(f"{mirror}{name}", root / known.name / "raw", name, md5)
                break
            except (RuntimeError, OSError):
                if mirror == kind.mirrors[-1]:
                    raise
    return [root / name for name in checksums(known)]


@contextmanager
def unpacked(known: Known, root: Path, files: Sequence[Path]) -> Iterator[Path]:
    """A folder in which torchvision finds its files: ``root``, unless some are archives, which are unpacked elsewhere, since the
    user's folder may be one that nobody writes to."""
    if all(file.suffix != ".gz" for file in files):
        yield root
        return
    from torchvision.datasets.utils import extract_archive

    with TemporaryDirectory() as folder:
        raw = Path(folder, known.name, "raw")
        raw.mkdir(parents=True)
        for file in files:
            if file.suffix == ".gz":
                extract_archive(str(file), str(raw))
            elif not (raw / file.name).exists():
                (raw / file.name).symlink_to(file)
        yield Path(folder)


@contextmanager
def readable(known: Known, root: Path, allowed: str) -> Iterator[None]:
    """Raise DataError where the block finds that files are missing or broken."""
    try:
        yield
    except DataError:
        raise
    except (RuntimeError, OSError, ValueError, EOFError, AssertionError, KeyError) as error:
        raise DataError(root, f"files of {known.name} that cannot be read", error, allowed) from error


def pooled(halves: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Images (N, height, width, channels) of uint8, one part after the other, as (N, channels, side, side): every pixel the mean
    over a square of pixels, rounded to the nearest whole number, halves up."""
    height, _, channels = halves[0].shape[1:]
    k, total = height // side, sum(map(len, halves))
    together = np.empty((total, channels, side, side), dtype=np.uint8)
    rows, at = max(CHUNK_PIXELS // (height * height * channels), 1), 0
    for images in halves:
        for start in range(0, len(images), rows):
            some = images[start : start + rows]
            if k > 1:
                blocks = some.reshape(len(some), side, k, side, k, channels)
                some = ((blocks.sum(axis=(2, 4), dtype=np.uint32) + k * k // 2) // (k * k)).astype(np.uint8)
            together[at : at + len(some)] = some.transpose(0, 3, 1, 2)
            at += len(some)
    return together
