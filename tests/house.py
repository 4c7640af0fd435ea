"""Rooms and floors of the house, and who may import whom; the architecture page draws it."""

ROOMS = (
    "phantom",
    "preprocess",
    "segmentation",
    "autoencoder",
    "latents",
    "expansion",
    "diffusion",
    "sampling",
    "evaluation",
    "reporting",
)
GROUND = (
    "settings",
    "config",
    "sheet",
    "sheet_faults",
    "ranges",
    "cohort",
    "outcomes",
    "made_masks",
    "mask_error",
    "volumes",
    "image_header",
    "nrrd",
    "data_files",
    "provenance",
    "training",
    "compiling",
    "prefetch",
    "processes",
    "layout",
    "columns",
    "tables",
    "grid_scan",
    "code_hash",
    "what_if_cases",
    "html",
    "notice",
    "monai_parts",
    "statistics",
    "anatomy",
)
TOP = ("cli", "verbs", "desk", "release")
"""They call rooms; no room and no ground may know them. `desk` is what a person calls outside the
workflow, `release` what trained models are handed on as."""

# Every crossing between rooms; what is not listed here happens through files.
CROSSINGS = {
    "segmentation": {"preprocess"},
    "latents": {"autoencoder"},
    "diffusion": {"latents"},
    "sampling": {"preprocess", "autoencoder", "latents", "expansion", "diffusion"},
    "evaluation": {"preprocess"},
    "reporting": {"preprocess", "evaluation"},
}
