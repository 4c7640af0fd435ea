"""A file that the system does not open, as a fault: most often a product that is not made yet."""

import re
from pathlib import Path

from hemexp import Fault
from hemexp.verbs.options import Arguments


def file_fault(error: OSError, args: Arguments) -> Fault | None:
    """The fault behind an error of the system, where a file that the options lead to is at fault.

    Args:
        error: What opening or listing a file raised.
        args: The verb's options.

    Returns:
        None for every other file: then the program is at fault, and not its input.
    """
    path = _file_of(error)
    results = getattr(args, "results", None)
    folders = [value for value in vars(args).values() if isinstance(value, Path)]
    if path is None or not any(_is_below(path, folder) for folder in folders):
        return None
    said = f"no such file ({path.name})" if isinstance(error, FileNotFoundError) else str(error)
    if results and _is_below(path, results):
        made = path.absolute().relative_to(results.absolute().parent)
        return Fault(
            str(path),
            said,
            f"a product of the run, made before `hemexp {args.verb}`",
            f"Let the workflow make it: snakemake --cores 2 -- {made}",
        )
    return Fault(str(path), said, "a file that can be read", "Correct the path, or make the file.")


def _file_of(error: OSError) -> Path | None:
    if error.filename:
        return Path(error.filename)
    # safetensors names the file in its words alone.
    found = re.fullmatch(r"No such file or directory: (.+)", str(error))
    return Path(found[1]) if found else None


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())
