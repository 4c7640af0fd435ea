"""Verb `accept-masks`: a person takes masks that the workflow found as they are."""

from pathlib import Path

from hemexp import Fault, HemexpError
from hemexp.layout import Layout
from hemexp.made_masks import (
    GIVEN,
    accepted_file,
    accepted_text,
    hash_masks,
    mask_source,
    read_accepted,
)
from hemexp.provenance import write_text


def run_accept_masks(layout: Layout, samples: Path | str, patient_id: str, session: str) -> str:
    """Lists the masks of a scan, by their hash, in `accepted_masks.tsv` beside the sheet.

    A rerun that finds the same masks finds them accepted; others have to be looked at again.

    Args:
        layout: Of the run.
        samples: The sheet.
        patient_id: Patient of the sheet.
        session: `baseline` or `followup`.

    Returns:
        What was done, and what shows it.

    Raises:
        HemexpError: The scan has no masks, or given ones.
    """
    iph = layout.native(patient_id, session).iph
    found = "no mask" if not iph.exists() else "a mask that the sheet names"
    if not iph.exists() or mask_source(layout, patient_id, session) == GIVEN:
        raise HemexpError(
            Fault(
                f"patient {patient_id}, {session}, {iph}",
                found,
                "a mask that the workflow found",
                "Look for patient and session in results/preprocess/qc.html; a given mask needs "
                "no accepting.",
            )
        )
    path = accepted_file(samples)
    accepted = read_accepted(path) | {
        (patient_id, session): hash_masks(layout, patient_id, session)
    }
    write_text(path, accepted_text(accepted))
    return (
        f"{path}: masks of patient {patient_id}, {session}, accepted. "
        "`snakemake --cores 2 -- results/preprocess/qc.html` shows it."
    )
