"""Masks and probability maps in the places where BIDS looks for them, as links."""

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from hemexp.columns import SESSIONS
from hemexp.layout import MAPS, Layout
from hemexp.provenance import sidecar_path, write_json

NATIVE = "The scan as it was acquired, in its own voxels."
GRID = "The common grid of the run, along the axes of the patient's reference scan."

BLOOD = {"iph": "intraparenchymal haemorrhage", "ivh": "intraventricular haemorrhage"}
MASK_FACTS = {
    **{
        name: {"Description": f"Mask of {words}", "Type": "Lesion", "SpatialReference": NATIVE}
        for name, words in BLOOD.items()
    },
    "brain": {"Description": "Brain mask", "Type": "Brain", "SpatialReference": NATIVE},
}
"""What BIDS asks of a mask, by our name of it."""

MAP_FACTS = {
    name: {"Description": f"Share of drawn follow-ups with {words}", "SpatialReference": GRID}
    for name, words in (BLOOD | {"expansion": "blood where the baseline had none"}).items()
}


def patient_images(layout: Layout, patient_id: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Images of a patient that BIDS has names for, and what it asks of each.

    Args:
        layout: Of the run.
        patient_id: A patient who was not excluded.
    """
    for session in SESSIONS:
        native = layout.native(patient_id, session)
        for name, facts in MASK_FACTS.items():
            yield getattr(native, name), facts
    for name in MAPS:
        yield layout.sample_map(patient_id, name), MAP_FACTS[name]


def clear_links(layout: Layout, wanted: Collection[Path]) -> None:
    """Takes away other links of an earlier call, and the folders that this leaves empty.

    Args:
        layout: Of the run.
        wanted: Links that stay.
    """
    for top in layout.bids_folders():
        for path in [*sorted(top.rglob("*"), reverse=True), top]:
            if path.is_symlink() and path not in wanted:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()


def link_images(layout: Layout, patients: Iterable[str]) -> None:
    """Links the images that there are and their sidecars, and writes a JSON for each kind.

    Args:
        layout: Of the run.
        patients: Those who were not excluded.
    """
    links: dict[Path, Path] = {}
    kinds: dict[Path, dict[str, str]] = {}
    for patient_id in patients:
        for image, facts in patient_images(layout, patient_id):
            if image.is_file():  # else there is no follow-up, or no samples
                link = layout.bids_link(image)
                links |= {link: image, sidecar_path(link): sidecar_path(image)}
                kinds[layout.bids_kind(image)] = facts
    clear_links(layout, links)
    for link, file in links.items():
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)  # a copied folder holds a file in place of the link
            link.symlink_to(os.path.relpath(file, link.parent))
    for path, facts in kinds.items():
        write_json(path, facts)
