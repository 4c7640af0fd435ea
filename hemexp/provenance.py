"""How a product reaches the disk and says where it came from: sidecars, seeds, hashes."""

import contextlib
import errno
import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import hemexp
from hemexp import Fault, HemexpError

PACKAGE = Path(__file__).parent
WORKFLOW = PACKAGE.parent / "Snakefile"
"""Beside the package in a checkout; an installed wheel has none."""

VERSIONED = ("hemexp", "numpy", "torch", "monai", "SimpleITK", "nibabel", "scikit-learn")


_MAKE_ROOM = "Make room (disk, quota, ulimit -f), or let the run live elsewhere; start it again."
_GIVE_LEAVE = "Let your user write there, or let the run live elsewhere; start it again."
STORAGE_CURES = {
    errno.ENOSPC: _MAKE_ROOM,
    errno.EDQUOT: _MAKE_ROOM,
    errno.EFBIG: _MAKE_ROOM,
    errno.EROFS: _GIVE_LEAVE,
    errno.EACCES: _GIVE_LEAVE,
}
"""What to do when a product cannot be written, by the system's number of the error."""


class StorageError(HemexpError):
    """A file that cannot be written: the disk's fault, not the input's."""


def seed_for(*parts: object) -> int:
    """A 63-bit seed that depends on the given parts alone (run seed, patient_id, sample, ...)."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """JSON with sorted keys and no spare spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """First 16 hex digits of the SHA-256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def hash_file(path: Path | str) -> str:
    """First 16 hex digits of the SHA-256 of a file."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


@contextlib.contextmanager
def write_atomically(path: Path | str) -> Iterator[Path]:
    """Gives a temporary path in the target's folder; it becomes the target if the block succeeds.

    The temporary name keeps the target's suffixes (`.nii.gz`), which writers look at.

    Raises:
        StorageError: The disk is full or the folder may not be written to; nothing is left.
    """
    path = Path(path)
    try:
        folder = path.parent / f".writing-{path.name}"
        # What a killed run left behind goes with the first rerun.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder / path.name
            (folder / path.name).replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        # An error that names another file comes from reading an input inside the block.
        named, folder = Path(error.filename or path).absolute(), path.absolute().parent
        here = named.is_relative_to(folder) or folder.is_relative_to(named)
        if not here or error.errno not in STORAGE_CURES:
            raise
        raise StorageError(
            Fault(
                str(path),
                f"a file that cannot be written ({error.strerror})",
                "room on the disk and leave to write",
                STORAGE_CURES[error.errno],
            )
        ) from error


def write_text(path: Path | str, text: str) -> None:
    """Writes a text file whole or not at all."""
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Writes readable JSON whole or not at all; NaN is refused."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def sidecar_path(product: Path | str) -> Path:
    """The JSON file beside a product: `x_ct.nii.gz` has `x_ct.json`."""
    product = Path(product)
    stem = product.name.removesuffix(".gz")
    return product.with_name(stem.rsplit(".", 1)[0] + ".json")


def leave_empty(products: Iterable[Path | str]) -> None:
    """Writes files of 0 bytes where an excluded patient has no products, without sidecars."""
    for product in products:
        write_text(product, "")
        sidecar_path(product).unlink(missing_ok=True)


def describe(
    *,
    verb: str,
    settings: Any,  # noqa: ANN401 - any JSON value
    inputs: Iterable[Path | str] | Mapping[str, Path | str],
    started: float,
    seed: int | None = None,
    device: str = "cpu",
    **facts: Any,  # noqa: ANN401 - any JSON value
) -> dict[str, Any]:
    """Where a product comes from, as JSON values.

    Args:
        verb: Name of the verb.
        settings: The settings it ran with, as JSON values.
        inputs: The files it read; their hashes are kept, and of their paths the last two parts.
            Files whose paths are nobody's business come by a name that is kept instead.
        started: `time.perf_counter()` when the verb began.
        seed: Run seed, where one was used.
        device: Where the work ran.
        **facts: Anything else worth keeping beside the product.
    """
    named = (
        inputs
        if isinstance(inputs, Mapping)
        else {"/".join(Path(path).parts[-2:]): path for path in inputs}
    )
    return {
        "verb": verb,
        "settings": settings,
        "inputs": {name: hash_file(path) for name, path in named.items()},
        "seed": seed,
        "device": device,
        "seconds": round(time.perf_counter() - started, 3),
        "versions": versions(),
        "git": git_id(),
        **facts,
    }


def write_sidecars(products: Iterable[Path | str], **record: Any) -> None:  # noqa: ANN401
    """Writes the JSON sidecar of every product of one verb; `record` as `describe` takes it.

    A product that is JSON itself carries its `describe` record inside instead.
    """
    described = describe(**record)
    for product in products:
        write_json(sidecar_path(product), {"product": Path(product).name, **described})


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape results; absent ones are left out."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | {"hemexp": hemexp.__version__}


@cache
def git_id() -> str:
    """Commit of the package's checkout with `-dirty` if edited; `unknown` outside a checkout.

    A wheel may lie in an environment below a repository of somebody else, which is not asked.
    """
    if not WORKFLOW.is_file():
        return "unknown"
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
