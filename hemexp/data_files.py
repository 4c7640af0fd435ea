"""Images that are more than one file: what has to be there, and be hashed, to read them.

No numpy here: the rules name these files before any job.
"""

from pathlib import Path


def data_files(path: Path) -> list[Path]:
    """The files behind an image file: itself, and the data that a `.nhdr` names.

    Names that NRRD makes of a pattern or a list are left out.
    """
    if path.suffix.lower() != ".nhdr":
        return [path]
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, name = line.partition(":")
        if key.strip().lower() in ("data file", "datafile"):
            beside = path.parent / name.strip()
            return [path, *([beside] if beside.is_file() else [])]
    return [path]
