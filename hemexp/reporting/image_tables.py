"""Tables of masks, images, expansion maps and coherence through the plane."""

import pandas as pd

from hemexp.reporting.cells import REMARK, head, number, score, with_interval
from hemexp.reporting.model_names import in_model_order

GROUP = ("split", "center")
REGIONS = {"band": "Band round the bleed", "brain": "Brain"}
REFERENCES = {"outcome": "What happened", "true_map": "True map"}
METRICS = {
    "iph_dice_sample": "IPH Dice, mean of samples",
    "iph_dice_map": "IPH Dice, map > 0.5",
    "ivh_dice_sample": "IVH Dice, mean of samples",
    "ivh_dice_map": "IVH Dice, map > 0.5",
    "psnr_db_sample": "PSNR in the brain, dB, mean of samples",
    "psnr_db_mean_image": "PSNR in the brain, dB, mean image",
    "ssim_sample": "SSIM in the brain, mean of samples",
    "ssim_mean_image": "SSIM in the brain, mean image",
    "expansion_brier_brain": "Expansion map Brier, brain",
    "expansion_brier_band": "Expansion map Brier, band round the bleed",
    "midline_shift_mm": "Midline shift, mm, median",
    "midline_shift_error_mm": "Midline shift error, mm",
    "midline_shift_crps_mm": "Midline shift CRPS, mm",
    **{
        f"{mask}_{metric}_sample": f"{mask.upper()} {header}, mean of samples"
        for mask in ("iph", "ivh")
        for metric, header in (("hd95_mm", "HD95, mm"), ("surface_dice", "surface Dice"))
    },
    **{
        f"{metric}_band_{kind}": f"{header} round the bleed, {words}"
        for metric, header in (("psnr_db", "PSNR, dB,"), ("ssim", "SSIM"))
        for kind, words in (("sample", "mean of samples"), ("mean_image", "mean image"))
    },
    **{
        f"{mask}_ged{term}": f"{header} GED{words}"
        for mask, header in (("iph", "IPH"), ("expansion", "Expansion"))
        for term, words in (
            ("", ""),
            ("_error", ": distance to the truth"),
            ("_diversity", ": distance between samples"),
        )
    },
    "ventricle_ml": "Ventricles, mL, median",
    "ventricle_error_ml": "Ventricle error, mL",
    "ventricle_crps_ml": "Ventricle CRPS, mL",
}


def describe_images(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/images.tsv` for people, models side by side within a score."""
    return pd.DataFrame(
        head(row)
        | {
            "Score": METRICS[row["metric"]],
            "Patients": row["n"],
            "Left out (undefined)": row["n_undefined"],
            "Mean [95 % CI]": with_interval(row["mean"], row["low"], row["high"], 3),
            REMARK: row["note"],
        }
        for row in in_model_order(table, *GROUP, "metric").to_dict("records")
    )


def describe_maps(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/maps.tsv` for people."""
    return pd.DataFrame(
        head(row)
        | {
            "Region": REGIONS[row["region"]],
            "Against": REFERENCES[row["reference"]],
            "Patients": row["n"],
            "Voxel Brier [95 % CI]": score(row, "brier", "", 4),
            "NLL, nats": number(row["nll"], 4),
            "Skill against climatology by distance [95 % CI]": score(row, "skill", "", 3),
            "Reliability slope [95 % CI]": score(row, "slope", "", 2),
            "Intercept": number(row["intercept"], 3),
            REMARK: row["note"],
        }
        for row in in_model_order(table, *GROUP, "region", "reference").to_dict("records")
    )


def describe_coherence(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/coherence.tsv` for people."""
    return pd.DataFrame(
        head(row)
        | {
            "Patients": row["n"],
            "Lag-1 correlation [95 % CI]": with_interval(row["value"], row["low"], row["high"], 3),
            REMARK: row["note"],
        }
        for row in in_model_order(table, *GROUP).to_dict("records")
    )
