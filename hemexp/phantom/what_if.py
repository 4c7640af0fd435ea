"""The true distribution of a phantom patient's growth had they come at another time."""

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from hemexp.layout import Layout
from hemexp.outcomes import HE_ML
from hemexp.phantom.model import GrowthLaw
from hemexp.phantom.world import WORLDS
from hemexp.provenance import write_atomically, write_sidecars
from hemexp.settings import Phantom
from hemexp.what_if_cases import ask


def true_answer(law: GrowthLaw, points: int) -> dict[str, float]:
    """Median growth and probabilities of one case.

    Changing `onset_to_ct_h` or `anticoagulant` of a case changes its law and nothing else:
    volume, pockets and margin were drawn apart from both, and oedema, which widens with the
    hours, has no part in growth. So the changed case is the same image under another cause.

    Args:
        law: Of the patient, changed or as they are.
        points: Of the midpoint rule on the quantile function.
    """
    growth_ml = law.quantile((np.arange(points) + 0.5) / points)
    return {
        "median_growth_ml": float(law.quantile(np.array([0.5]))[0]),
        "p_growth_6ml": float(np.mean(growth_ml >= HE_ML)),
        "p_expansion": law.p_expansion,
    }


def run_collect_what_if_truth(
    layout: Layout, centers: Mapping[str, str], settings: Phantom
) -> None:
    """Verb `collect-what-if-truth`: true answers to the questions put to the models.

    Columns: patient_id, onset_to_ct_h, anticoagulant, median_growth_ml, p_growth_6ml,
    p_expansion.

    Args:
        layout: Of the run.
        centers: Letter of the centre of every phantom patient, by patient_id.
        settings: The phantom's settings.
    """
    started = time.perf_counter()
    asked, world = ask(list(centers)), WORLDS[settings.world]
    cases = {name: world.draw_case(settings.seed, name, at) for name, at in centers.items()}
    answers = [
        true_answer(
            world.law(replace(cases[name], onset_to_ct_h=onset, anticoagulant=drug)),
            settings.truth_draws,
        )
        for name, onset, drug in asked.itertuples(index=False)
    ]
    table = asked.join(pd.DataFrame(answers, index=asked.index))
    with write_atomically(layout.what_if_truths) as temporary:
        table.to_csv(temporary, sep="\t", index=False, float_format="%.6g", lineterminator="\n")
    write_sidecars(
        [layout.what_if_truths],
        verb="collect-what-if-truth",
        settings=settings.as_json(),
        inputs=[],
        started=started,
        seed=settings.seed,
    )
