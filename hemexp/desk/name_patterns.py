"""Patterns of file names: what a name says of patient, session and image."""

import re

from hemexp import Fault, HemexpError

PATTERN = "{patient}/{session}_{image}"
WORDS = {
    "session": {
        "baseline": ("baseline", "base", "bl", "t0"),
        "followup": ("followup", "follow-up", "follow", "fu", "t1"),
    },
    "image": {
        "ct": ("ct", "ncct"),
        "iph": ("iph", "ich"),
        "ivh": ("ivh",),
        "brain": ("brain", "brainmask"),
    },
}
"""What stands in a name for a session and an image, letter case aside."""

ENDING = r"(?:\.nii(?:\.gz)?|(?:\.seg)?\.nrrd|\.nhdr|\.dcm)?"


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern as a regular expression over paths relative to the folder.

    Args:
        pattern: Such as `{patient}_{session}_{image}.nii.gz`, or one that names the file of one
            column, such as `{patient}_baseline_ct.nii.gz`. An ending may be left out; `*` stands
            for anything within one name.

    Raises:
        HemexpError: It lacks `{patient}`, or has another word in braces.
    """
    fields = re.findall(r"{(\w*)}", pattern)
    unknown = [name for name in fields if name not in ("patient", *WORDS)]
    if "patient" not in fields or unknown or len(set(fields)) < len(fields):
        raise HemexpError(
            Fault(
                f"--pattern {pattern}",
                f"{', '.join(fields) or 'nothing'} in braces",
                "{patient}, and where the name says them {session} and {image}, each once",
                "Write it as the files are named, such as {patient}_{session}_{image}.nii.gz.",
            )
        )
    parts = []
    for part in re.split(r"({\w+}|\*)", pattern):
        name = part.strip("{}")
        if part == "*":
            parts.append("[^/]*")
        elif name == "patient":
            parts.append("(?P<patient>[^/]+?)")
        elif name in WORDS:
            words = sorted({w for words in WORDS[name].values() for w in words}, key=len)
            parts.append(f"(?P<{name}>{'|'.join(map(re.escape, reversed(words)))})")
        else:
            parts.append(re.escape(part))
    return re.compile("".join(parts) + ENDING, re.IGNORECASE)


def column_of(path: str, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    """Patient as named and column (`baseline_ct`) of a path; None where it does not fit."""
    found = pattern.fullmatch(path)
    if not found:
        return None
    # What the pattern does not say in braces it says in its own words.
    given = found.groupdict()
    kinds = [_kind(field, given.get(field), pattern.pattern) for field in WORDS]
    return None if None in kinds else (given["patient"], "_".join(kinds))


def _kind(field: str, word: str | None, pattern: str) -> str | None:
    for kind, words in WORDS[field].items():
        if word is not None and word.lower() in words:
            return kind
        parts = re.split(r"[^a-z0-9]+", re.sub(r"\(.*?\)", " ", pattern.replace("\\", "")).lower())
        if word is None and set(words) & set(parts):
            return kind
    return None
