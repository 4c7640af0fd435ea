"""Masks that the workflow made: their expected error, and where it is carried on."""

import json

import numpy as np
import pandas as pd
import pytest
from test_exclusion import collect, tables  # noqa: F401 - a fixture

from hemexp import HemexpError
from hemexp.columns import SESSIONS
from hemexp.desk.accept_masks import run_accept_masks
from hemexp.expansion.distribution import LogisticLognormal
from hemexp.expansion.logistic import Ridge, fit_logistic
from hemexp.expansion.model import ExpansionModel, Linear
from hemexp.expansion.patients import patient_files, read_patients
from hemexp.layout import Layout
from hemexp.made_masks import accepted_file, hash_masks, mask_source, read_accepted
from hemexp.mask_error import (
    FLOOR_ML,
    UNMEASURED_PART,
    label_certainty,
    read_doubt,
    uncertain_expansion,
)
from hemexp.preprocess.acceptance import Acceptance, read_acceptance
from hemexp.preprocess.outcomes_table import OF_MASKS, OUTCOMES
from hemexp.preprocess.page import rank, run_write_qc
from hemexp.preprocess.rows import write_row
from hemexp.preprocess.thumbnails import COLOURS, draw_scan
from hemexp.provenance import sidecar_path, write_json, write_text
from hemexp.reporting.cohort_table import describe_cohort
from hemexp.tables import write_table
from hemexp.volumes import Volume

ERROR = {"intercept": np.log(0.2), "volume_slope": 1.0, "entropy_slope": 0.0, "scans": 40}
"""Errors of a fifth of the volume, 0.1 mL added to it."""


def write_error_model(layout):
    write_json(layout.error_model, {"masks": {"iph": ERROR, "ivh": ERROR}})


def make_masks(layout, patient_id, session, iph_ml=20.0, method="network"):
    """What `segment-scan` leaves of a scan, as far as it is read here."""
    native = layout.native(patient_id, session)
    for path, text in ((native.iph, "iph"), (native.ivh, "ivh")):
        write_text(path, f"{text} of {iph_ml} mL")
    record = {"verb": "segment-scan", "settings": {"method": method}}
    write_json(sidecar_path(native.iph), record)
    row = {"patient_id": patient_id, "session": session, "iph_ml": iph_ml, "ivh_ml": 0.0}
    entropy = np.nan if method == "command" else 1.0
    row |= {"entropy_iph_ml": entropy, "entropy_ivh_ml": entropy, "network": "", "note": "said"}
    write_table(layout.segmentation(patient_id, session), pd.DataFrame([row]))


def test_a_given_mask_has_no_error_and_a_found_one_that_of_its_model(tmp_path):
    layout = Layout(tmp_path)
    assert read_doubt(layout, "P1", "baseline") == ("given", 0.0, 0.0, "")
    make_masks(layout, "P1", "baseline")
    with pytest.raises(HemexpError, match=r"patient P1, baseline.*a network made the masks"):
        read_doubt(layout, "P1", "baseline")
    write_error_model(layout)
    source, iph_ml, ivh_ml, note = read_doubt(layout, "P1", "baseline")
    assert (source, note) == ("network", "said") and iph_ml == pytest.approx(0.2 * 20.1)
    assert ivh_ml == FLOOR_ML  # of a mask without a voxel
    # Masks given later: what was found before still lies there.
    write_json(sidecar_path(layout.native("P1", "baseline").iph), {"verb": "strip-skull"})
    assert mask_source(layout, "P1", "baseline") == "given"


def test_of_a_program_that_was_not_measured_a_tenth_is_assumed(tmp_path):
    layout = Layout(tmp_path)
    make_masks(layout, "P1", "baseline", method="command")
    found = read_doubt(layout, "P1", "baseline")
    assert found[:2] == ("command", pytest.approx(UNMEASURED_PART * 20))


def test_he_is_uncertain_within_the_error_of_its_threshold():
    """6 mL of a bleed of 30 mL, 3.3 mL of one of 10 mL."""
    table = pd.DataFrame(
        {
            "growth_ml": [5.0, 5.0, 7.0, 4.0, 3.3, np.nan],
            "baseline_iph_ml": [30.0, 30.0, 30.0, 10.0, 10.0, 30.0],
            "iph_error_ml": [1.5, 0.5, 1.0, 0.6, 0.0, 1.0],
        }
    )
    expected = [1, 0, 1, 0, 0, np.nan]
    np.testing.assert_array_equal(uncertain_expansion(table), expected)
    certain = label_certainty(table["growth_ml"], table["baseline_iph_ml"], table["iph_error_ml"])
    assert certain[:3] == pytest.approx([0.7475, 0.9772, 0.8413], abs=1e-4)
    assert certain[4] == 1 and np.isnan(certain[5])


def empty_masks_of(sheet, patient_id, *sessions):
    """Empties mask cells of a patient's row in the sheet."""
    table = pd.read_csv(sheet, sep="\t", dtype=str, keep_default_na=False)
    cells = [f"{session}_{mask}" for session in sessions for mask in ("iph", "ivh")]
    table.loc[table["patient_id"] == patient_id, cells] = ""
    table.to_csv(sheet, sep="\t", index=False)


def test_tables_say_where_masks_come_from_if_any_was_made(tables, settings):  # noqa: F811
    qc, _, outcomes = collect(tables, settings, "stop")
    assert "mask" not in qc and list(outcomes) == list(OUTCOMES)
    write_error_model(tables)
    patient = outcomes["patient_id"][0]
    for session, iph_ml in (("baseline", 20.0), ("followup", 10.0)):
        make_masks(tables, patient, session, iph_ml)
        stripped = {"patient_id": patient, "session": session, "brain_ml": 1500.0, "notes": ""}
        write_row(tables.stripped(patient, session), stripped)
    empty_masks_of("config/samples.tsv", patient, *SESSIONS)
    qc, _, outcomes = collect(tables, settings, "stop")
    assert list(outcomes) == [*OUTCOMES, *OF_MASKS]
    row = outcomes.set_index("patient_id").loc[patient]
    assert (row["baseline_mask"], row["followup_mask"]) == ("network", "network")
    assert float(row["iph_error_ml"]) == pytest.approx(np.hypot(0.2 * 20.1, 0.2 * 10.1), rel=1e-5)
    assert float(row["ivh_error_ml"]) == pytest.approx(np.hypot(FLOOR_ML, FLOOR_ML), rel=1e-5)
    others = outcomes[outcomes["patient_id"] != patient]
    assert (others["ivh_error_ml"] == 0).all()
    assert set(others["baseline_mask"]) == {"given"} and (others["iph_error_ml"] == 0).all()
    rows = qc.set_index(["patient_id", "session"]).loc[patient]
    assert set(rows["mask"]) == {"network"} and set(rows["status"]) == {"warning"}
    assert rows.loc["baseline", "reason"].startswith("IPH 20.00 mL found by the network, give or")
    sidecar = json.loads(sidecar_path(tables.outcomes).read_text())
    assert "segmentation/error_model.json" in sidecar["inputs"]


def test_who_has_no_blood_found_is_excluded_by_the_step_that_made_masks(tables, settings):  # noqa: F811
    names = {"patient_id": "D02", "session": "baseline"}
    empty_masks_of("config/samples.tsv", "D02", "baseline")
    write_row(tables.stripped("D02", "baseline"), {**names, "brain_ml": 1500.0})
    write_row(tables.native("D02", "baseline").volumes, {"patient_id": "D02", "failure": "no IPH"})
    qc, excluded, outcomes = collect(tables, settings, "exclude")
    assert excluded.values.tolist() == [["D02", "baseline", "segment-scan", "no IPH"]]
    assert "mask" not in qc and "D02" not in set(outcomes["patient_id"])


# Quality control


def scan(name, **changed):
    row = {
        "patient_id": name,
        "session": "baseline",
        "mask": "network",
        "iph_ml": 10.0,
        "iph_error_ml": 0.5,
        "status": "ok",
        "reason": "",
        "notes": "",
        **{"ivh_ml": 0.0, "iph_grid_ml": 10.0, "ivh_grid_ml": 0.0, "brain_ml": 1550.0},
        **{"lowest_share": 0.0, "highest_share": 0.0, "compactness": 0.75},
        **{"rotation_deg": np.nan, "translation_mm": np.nan},
    }
    return row | changed


EMPTY = scan("nothing", iph_ml=np.nan, iph_grid_ml=np.nan, mask="", status="failed")
DOUBTFUL = scan("doubtful", iph_error_ml=3.0, status="warning")
MORE = scan("more", iph_error_ml=4.0, status="warning")
CROWD = [scan("sure"), DOUBTFUL, scan("failed", status="failed", mask=""), EMPTY, MORE]


def test_found_masks_come_worst_first_and_empty_ones_first_of_all(settings):
    limits = settings.preprocess.quality

    def order(masks):
        def key(one):
            step = {"nothing": "segment-scan", "failed": "strip-skull"}.get(one["patient_id"], "")
            return rank([one], limits, masks, step)

        return [one["patient_id"] for one in sorted(CROWD, key=key)]

    current = {(one["patient_id"], "baseline"): "a" for one in CROWD if one["mask"]}
    assert order(Acceptance(current, {})) == ["nothing", "failed", "more", "doubtful", "sure"]
    seen = Acceptance(current, {("more", "baseline"): "a", ("doubtful", "baseline"): "older"})
    assert order(seen) == ["nothing", "failed", "doubtful", "more", "sure"]
    assert "accepted" in seen.words(MORE) and "not accepted" in seen.words(scan("sure"))
    assert "these are new" in seen.words(DOUBTFUL)


def test_accepted_masks_survive_a_rerun_until_they_change(tmp_path, settings):
    layout, sheet = Layout(tmp_path / "results"), tmp_path / "config" / "samples.tsv"
    with pytest.raises(HemexpError, match="patient P1, baseline.*no mask"):
        run_accept_masks(layout, sheet, "P1", "baseline")
    for name in ("P2", "P1"):
        make_masks(layout, name, "baseline")
        run_accept_masks(layout, sheet, name, "baseline")
    accepted = read_accepted(accepted_file(sheet))
    assert list(accepted) == [("P1", "baseline"), ("P2", "baseline")]
    make_masks(layout, "P1", "baseline")  # a rerun finds the same
    make_masks(layout, "P2", "baseline", iph_ml=21.0)
    qc = pd.DataFrame([scan("P1"), scan("P2"), scan("P3", mask="given", iph_error_ml=0.0)])
    found = read_acceptance(layout, qc, accepted_file(sheet))
    assert found.current == {
        (p, "baseline"): hash_masks(layout, p, "baseline") for p in ("P1", "P2")
    }
    assert [found.is_accepted(one) for one in qc.to_dict("records")] == [True, False, False]
    write_table(layout.qc, qc.assign(rotation_deg=1.0, translation_mm=1.0, note="-"))
    layout.excluded.write_text("patient_id\tsession\tstep\treason\n")
    run_write_qc(layout, settings.preprocess.quality, accepted_file(sheet))
    text = layout.qc_page.read_text()
    assert "2 scans have masks that the workflow found (dashed contours), 1 of them acc" in text
    assert text.count("found by the network (dashed), accepted") == 1
    write_json(sidecar_path(layout.native("P1", "baseline").iph), {"verb": "strip-skull"})
    with pytest.raises(HemexpError, match="a mask that the sheet names"):
        run_accept_masks(layout, sheet, "P1", "baseline")


def test_a_list_of_accepted_masks_that_was_spoiled_is_refused(tmp_path):
    path = tmp_path / "accepted_masks.tsv"
    path.write_text("patient_id\tsession\tmasks\nP1 baseline 12\n")
    with pytest.raises(HemexpError, match="line 2.*P1 baseline 12"):
        read_accepted(path)


def test_contours_of_found_masks_are_dashed():
    ct = Volume(np.full((60, 70, 20), 30.0), np.diag([2.0, 2.0, 5.0, 1.0]))
    ball = np.linalg.norm((np.indices(ct.data.shape).T - [30, 35, 10]) * [2, 2, 5], axis=-1).T < 25
    masks = {"brain": np.ones_like(ball), "iph": ball, "ivh": np.zeros_like(ball)}

    def orange(*dashed):
        return (draw_scan(ct, masks, ("iph",), dashed) == COLOURS["iph"]).all(axis=-1)

    whole, dashes = orange(), orange("iph")
    assert (whole == orange("ivh")).all() and not (dashes & ~whole).any()
    assert 0.4 < dashes.sum() / whole.sum() < 0.6


# Models of growth

STABLE = tuple(np.linspace(-0.4, 0.4, 41))


def law(error_ml, volume_ml=20.0):
    return LogisticLognormal(0.3, np.log(9.0), 0.4, STABLE, volume_ml, error_ml)


def test_a_forecast_keeps_its_coverage_where_the_baseline_is_uncertain():
    """True volumes and growth are drawn; the forecast starts from a volume that is 1.5 mL off."""
    rng, error_ml = np.random.default_rng(0), 1.5
    true_growth = law(0.0).sample(20_000, rng)
    measured = true_growth + rng.normal(0, error_ml, len(true_growth))

    def coverage(forecast):
        low, high = forecast.quantiles(np.array([0.05, 0.95]))
        return np.mean((measured >= low) & (measured <= high))

    assert coverage(law(error_ml)) == pytest.approx(0.9, abs=0.01)
    assert coverage(law(0.0)) < 0.85
    drawn = law(error_ml).sample(20_000, np.random.default_rng(0))
    assert drawn.std() == pytest.approx(measured.std(), rel=0.03)
    assert drawn.mean() == pytest.approx(true_growth.mean(), abs=0.05)
    assert law(error_ml).p_expansion == 0.3


def test_a_forecast_from_a_given_mask_stays_as_it_is_to_the_bit():
    u, v = np.random.default_rng(0).uniform(size=(2, 500))
    plain = LogisticLognormal(0.3, np.log(9.0), 0.4, STABLE, 20.0)
    assert np.array_equal(plain.quantile(u, v), law(0.0).quantile(u, v))
    assert np.abs(plain.quantile(u, v) - law(1e-6).quantile(u, v)).max() < 0.1


def test_a_model_reads_the_error_of_the_baseline():
    line = Linear(("ln_iph_ml",), (0.0,), (1.0,), (0.0,), 0.0)
    model = ExpansionModel("x", line, line, 0.4, STABLE, 0.0)
    table = pd.DataFrame({"baseline_iph_ml": [20.0, 20.0]})
    assert [one.error_ml for one in model.distributions(table)] == [0, 0]
    told = table.assign(baseline_error_ml=[0.0, 2.0])
    assert [one.error_ml for one in model.distributions(told)] == [0, 2]


def test_patients_come_with_the_errors_of_the_scans_that_may_be_seen(tmp_path):
    layout = Layout(tmp_path)
    write_error_model(layout)
    for session, iph_ml in (("baseline", 20.0), ("followup", 26.0)):
        write_table(
            layout.native("P1", session).volumes, pd.DataFrame([{"iph_ml": iph_ml, "ivh_ml": 0.0}])
        )
        make_masks(layout, "P1", session, iph_ml)
    write_table(layout.features("P1"), pd.DataFrame([{"patient_id": "P1", "sphericity": 1.0}]))
    sheet = pd.DataFrame({"patient_id": ["P1"], "split": ["train"]}).set_index(
        "patient_id", drop=False
    )
    seen = read_patients(layout, sheet).loc["P1"]
    assert (
        seen["baseline_error_ml"] == pytest.approx(0.2 * 20.1) and seen["followup_error_ml"] == 0
    )
    both = read_patients(layout, sheet, follow_up=True).loc["P1"]
    assert both["label_certainty"] == pytest.approx(0.5)  # it grew by just 6 mL
    names = [path.name for path in patient_files(layout, sheet)]
    assert names.count("error_model.json") == 1
    assert "sub-P1_ses-baseline_segmentation.tsv" in names
    assert "sub-P1_ses-followup_segmentation.tsv" not in names


def test_a_patient_counts_in_a_fit_by_the_weight():
    rng = np.random.default_rng(0)
    x, happens = rng.normal(size=(60, 2)), rng.uniform(size=60) < 0.5
    pull = Ridge(np.ones(2), np.zeros(2))
    once = fit_logistic(x, happens, pull)
    halves = fit_logistic(np.tile(x, (2, 1)), np.tile(happens, 2), pull, weight=np.full(120, 0.5))
    assert np.allclose(once[0], halves[0], atol=1e-3) and once[1] == pytest.approx(
        halves[1], abs=1e-3
    )
    some = np.arange(60) < 40
    without = fit_logistic(x[some], happens[some], pull)
    assert np.allclose(fit_logistic(x, happens, pull, weight=some * 1.0)[0], without[0], atol=1e-3)


def test_the_cohort_table_counts_found_masks_and_uncertain_expansion():
    names = ["a", "b", "c", "d"]
    sheet = pd.DataFrame({"center": "A", "split": "train"}, index=names)
    sheet = sheet.assign(**dict.fromkeys(("age", "onset_to_ct_h", "gcs", "sbp"), 1.0))
    sheet = sheet.assign(anticoagulant=0.0, antiplatelet=0.0)
    numbers = ("baseline_iph_ml", "baseline_ivh_ml", "growth_ml", "he", "he_6ml", "rhe")
    outcomes = pd.DataFrame(dict.fromkeys(numbers, 1.0), index=names)
    found, uncertain = (
        "Masks found by the workflow, n (%)",
        "HE within the error of its threshold, n (%)",
    )
    assert found not in describe_cohort(sheet, outcomes)
    outcomes["baseline_mask"] = ["given", "network", "given", "given"]
    outcomes["followup_mask"] = ["given", "given", "command", np.nan]
    outcomes["he_uncertain"] = [0, 1, 0, np.nan]
    row = describe_cohort(sheet, outcomes).iloc[-1]
    assert (row[found], row[uncertain]) == ("2/4 (50 %)", "1/3 (33 %)")
