"""Verb `redraw-what-if`: a patient's follow-ups under another onset time or anticoagulant state.

Sample k of a changed case has the noise and the quantile of growth of sample k as is: what differs
is what the models make of the changed value. It says what became of patients who had that value,
and is no effect of a treatment.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from hemexp.anatomy.boxes import Frame
from hemexp.expansion.model import GrowthModel, outside_probability, patient_distribution
from hemexp.layout import Layout
from hemexp.outcomes import is_expansion
from hemexp.provenance import write_sidecars
from hemexp.sampling.draw import Sampler, draw_patient_followups
from hemexp.sampling.finish import FinishedSample
from hemexp.sampling.models import load_trained
from hemexp.sampling.patient import Baseline, PatientAtBaseline, read_at_baseline
from hemexp.sampling.workers import Workers
from hemexp.settings import Sampling
from hemexp.tables import read_table, write_table
from hemexp.training import resolve_device
from hemexp.volumes import read_volume, write_volume
from hemexp.what_if_cases import AS_IS, CASES, other_value

log = logging.getLogger(__name__)


def change_patient(model: GrowthModel, patient: PatientAtBaseline, case: str) -> PatientAtBaseline:
    """The patient with one value changed, for the denoiser and the law of growth alike.

    The sheet's `expansion_prob` does not say what it would have been: its logit moves as the
    model's does.

    Args:
        model: Of growth.
        patient: As is.
        case: One of `CASES`.
    """
    row, column = patient.row.copy(), CASES[case]
    row[column] = other_value(case, float(row[column]))
    given = outside_probability(row)
    if given is not None:
        before, after = (
            patient_distribution(model, one.drop("expansion_prob")).p_expansion
            for one in (patient.row, row)
        )
        row["expansion_prob"] = expit(logit(given) + logit(after) - logit(before))
    return replace(patient, row=row)


def answer(
    volumes: pd.DataFrame, chance: NDArray, baseline: Baseline, row: pd.Series
) -> dict[str, object]:
    """What the samples of one case say.

    Args:
        volumes: `iph_ml` and `ivh_ml` of every sample.
        chance: (x, y, z) share of the samples with blood where the baseline had none.
        baseline: The baseline.
        row: The patient as the case has it.

    Returns:
        samples (their number), mean growth, p_expansion (share of samples with HE) and map_ml (sum
        of the map: the new blood expected), beside the two values that cases change.
    """
    growth_ml = volumes["iph_ml"] - baseline.iph_ml
    values = {column: float(row[column]) for column in CASES.values()}
    unknown = [column for column, value in values.items() if np.isnan(value)]
    return {
        **values,
        "samples": len(volumes),
        "iph_growth_ml": growth_ml.mean(),
        "ivh_growth_ml": volumes["ivh_ml"].mean() - baseline.ivh_ml,
        "p_expansion": float(np.mean(is_expansion(growth_ml, baseline.iph_ml))),
        "map_ml": float(chance.sum()) * baseline.scan.ct.voxel_ml,
        "note": f"unknown: {', '.join(unknown)}" if unknown else "",
    }


def add_up(
    samples: Iterable[FinishedSample], baseline: Baseline, frame: Frame
) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Measurements of samples, and the share of them with new blood (x, y, z); none is kept.

    Args:
        samples: Drawn follow-ups.
        baseline: The baseline.
        frame: What their images show of the grid.
    """
    blood, rows = frame.cut(baseline.scan.blood), []
    count = np.zeros(blood.shape, np.int32)
    for sample in samples:
        rows.append(sample.measured)
        count += (sample.labels > 0) & ~blood
    return pd.DataFrame(rows), frame.spread(count / len(rows))


def run_redraw_what_if(
    layout: Layout, sheet: pd.DataFrame, settings: Sampling, seed: int, device: str
) -> None:
    """Draws one patient's follow-ups again in every case; writes `what_if.tsv` and the maps.

    Args:
        layout: Of the run; the patient's samples have been drawn.
        sheet: The patient's row, as a table.
        settings: The room's settings, as the samples were drawn with.
        seed: Run seed.
        device: `auto`, `cpu` or `cuda`.
    """
    started, patient = time.perf_counter(), read_at_baseline(layout, sheet, settings.at_h)
    patient_id, baseline = patient.patient_id, patient.baseline
    drawn = [layout.sample_volumes(patient_id), layout.sample_map(patient_id, "expansion")]
    as_is = answer(read_table(drawn[0]), read_volume(drawn[1]).data, baseline, patient.row)
    rows, maps = [{"case": AS_IS} | as_is], []
    sampler = Sampler(load_trained(layout, resolve_device(device)), settings, seed)
    for case in CASES:
        changed = change_patient(sampler.models.growth, patient, case)
        with Workers.of_job() as workers:
            samples, asked = draw_patient_followups(sampler, changed, workers)
            volumes, chance = add_up(samples, baseline, asked.references.frame)
        rows.append({"case": case} | answer(volumes, chance, baseline, changed.row))
        maps.append(layout.what_if_map(patient_id, case))
        write_volume(maps[-1], chance, baseline.scan.ct.affine, np.float32)
    table = layout.what_if(patient_id)
    write_table(table, pd.DataFrame(rows))
    write_sidecars(
        [*maps, table],
        verb="redraw-what-if",
        settings=settings.as_json(),
        inputs=[*sampler.models.files, *patient.files, *drawn],
        started=started,
        seed=seed,
        device=str(sampler.models.device),
    )
    log.info("%s: what-if in %.1f s", patient_id, time.perf_counter() - started)
