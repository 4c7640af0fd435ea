"""Tables of masks, images, expansion maps and coherence through the plane."""

import pandas as pd

from hemexp.evaluation.cohort.groups import GROUP
from hemexp.evaluation.metrics import METRICS
from hemexp.reporting.cells import REMARK, head, number, score, with_interval
from hemexp.reporting.model_names import in_model_order

REGION_WORDS = {"band": "Band round the bleed", "brain": "Brain"}
REFERENCE_WORDS = {"outcome": "What happened", "true_map": "True map"}


def describe_images(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/images.tsv` for people, models side by side within a score."""
    return pd.DataFrame(
        head(row)
        | {
            "Score": (metric := METRICS[row["metric"]]).words,
            "Patients": row["n"],
            "Left out (undefined)": row["n_undefined"],
            "Mean [95 % CI]": with_interval(row["mean"], row["low"], row["high"], metric.digits),
            REMARK: row["note"],
        }
        for row in in_model_order(table, *GROUP, "metric").to_dict("records")
    )


def describe_maps(table: pd.DataFrame) -> pd.DataFrame:
    """`evaluation/maps.tsv` for people."""
    return pd.DataFrame(
        head(row)
        | {
            "Region": REGION_WORDS[row["region"]],
            "Against": REFERENCE_WORDS[row["reference"]],
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
