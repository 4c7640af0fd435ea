"""Growth forecast for several hours after the baseline scan, where the model knows time."""

import pandas as pd

from hemexp.columns import INTERVAL
from hemexp.expansion.model import GrowthModel
from hemexp.expansion.timed import TimedModel

HOURS = (6.0, 12.0, 24.0, 48.0)
"""After the baseline scan."""

QUANTILES = {"q05_ml": 0.05, "q25_ml": 0.25, "q50_ml": 0.5, "q75_ml": 0.75, "q95_ml": 0.95}
COLUMNS = ("patient_id", "at_h", "p_expansion", *QUANTILES)


def growth_over_time(model: GrowthModel, table: pd.DataFrame) -> pd.DataFrame:
    """Quantiles of growth and p(expansion) at `HOURS`, a row a patient and hour.

    Args:
        model: The chosen model. One that knows no time gives no rows.
        table: Rows as `read_patients` gives them.

    Returns:
        Columns `COLUMNS`; growth in mL. A probability from outside is not heeded: it is of one
        time alone.
    """
    if not isinstance(model, TimedModel):
        return pd.DataFrame(columns=list(COLUMNS))
    rows = []
    for at_h in HOURS:
        laws = model.distributions(table.assign(**{INTERVAL: at_h}))
        for patient_id, law in zip(table.index, laws, strict=True):
            rows.append(
                (patient_id, at_h, law.p_expansion, *law.quantiles(list(QUANTILES.values())))
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(["patient_id", "at_h"])
