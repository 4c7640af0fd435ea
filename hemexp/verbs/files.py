"""A file that the system does not open, as a fault: most often a product that is not made yet."""

import re
from pathlib import Path

from hemexp import Fault, HemexpError
from hemexp.verbs.options import Arguments


def file_fault(error: OSError | HemexpError, args: Arguments) -> Fault | None:
    """The fault behind an error, where a file that the options lead to cannot be opened.

    Args:
        error: What the verb raised; a fault of its own counts where a product of the run that is
            not there has caused it.
        args: The verb's options.

    Returns:
        None otherwise: the fault is told already, or the program is at fault and not its input.
    """
    cause = error if isinstance(error, OSError) else _missing_file(error)
    path = _file_of(cause) if cause else None
    if path is None:
        return None
    results = getattr(args, "results", None)
    said = "no such file" if isinstance(cause, FileNotFoundError) else str(cause)
    if results and _is_below(path, results):
        made = path.absolute().relative_to(results.absolute().parent)
        expected = f"a product of the run, made before `hemexp {args.verb}`"
        cure = f"`snakemake --cores 2 -- {made}` makes it."
        return Fault(str(path), said, expected, cure)
    folders = [value for value in vars(args).values() if isinstance(value, Path)]
    if cause is error and any(_is_below(path, folder) for folder in folders):
        return Fault(str(path), said, "what can be read or written", "Correct the path.")
    return None


def _missing_file(error: BaseException) -> OSError | None:
    """That a file is not there, if that has caused an error."""
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError):
        return cause
    return _missing_file(cause)


def _file_of(error: OSError) -> Path | None:
    if error.filename:
        return Path(error.filename)
    # safetensors names the file in its words alone.
    found = re.fullmatch(r"No such file or directory: (.+)", str(error))
    return Path(found[1]) if found else None


def _is_below(path: Path, folder: Path) -> bool:
    return path.absolute().is_relative_to(folder.absolute())
