"""The whole of preset `full` at full size on a few phantom patients: seconds, memory, use.

python benchmarks/full_size.py --out FOLDER [--budget 540] [--device cuda] [--config FILE]
python benchmarks/full_size.py --out FOLDER --tiny        # the same road on a CPU in a minute

Verbs run in order, as the rules call them, each job a process of its own, so that this works where
Snakemake is not installed. Trainings are those of the preset: they run until their steps are timed
and are then stopped. Models of 2 steps go on from there: what later stages cost does not hang on
what the networks have learned. With `--tiny` trainings are so short that they end. Figures are
extrapolated to 450 patients and the preset's steps; of jobs that stand side by side on a cluster,
the sum is given. Fits are not extrapolated.
"""

import argparse
import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from budget import Budget
from full_size_jobs import Card, Done, run_job
from full_size_stages import PATIENTS, STUDY, Stage, command, list_stages

from hemexp.config import load_settings, overlay, read_config
from hemexp.layout import RESULTS, Layout
from hemexp.settings import Settings

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "verb": "{}",
    "unit": "{}",
    "units": "{:d}",
    "wall_s": "{:.1f}",
    "start_s": "{:.1f}",
    "s_a_unit": "{:.3g}",
    "host_gb": "{:.1f}",
    "card_gb": "{:.1f}",
    "busy": "{:.2f}",
    "tflop_a_unit": "{:.3g}",
    "of_rate": "{:.3f}",
    "study_hours": "{:.2f}",
}
"""Of the table, with the format of a cell."""
THREADS = "4"
"""Of each job, as the Slurm profile gives to a job that samples."""
FEW_STEPS, TIMED_S = 2, 20.0
"""Steps of the models that go on, and seconds for which a training's steady steps are timed."""
TINY = {
    "phantom": {"spacing_factor": 3.0},
    "preprocess": {
        "registration": {"voxel_mm": [8], "smoothing_mm": [4], "sampling_fraction": [1]},
        "grid": {"shape": [32, 32, 14], "spacing_mm": [6.0, 6.0, 12.0]},
    },
    "autoencoder": {
        "steps": 30,
        "accumulate": 1,
        "channels": [8, 16],
        "norm_groups": 8,
        "feature_channels": 4,
        "compile": False,
        "precision": "fp32",
    },
    "expansion": {"folds": 2, "bootstrap": 20},
    "latents": {"moved": 0},
    "diffusion": {
        "steps": 15,
        "accumulate": 1,
        "channels": [8, 16],
        "norm_groups": 8,
        "attention_levels": [False, False],
        "compile": False,
        "precision": "fp32",
    },
    "sampling": {"samples": 2, "batch_slices": 28, "precision": "fp32"},
    "evaluation": {"bootstrap": 20},
}
"""What `--tiny` changes: every part of `full` stays, at sizes a CPU runs in a minute."""


def choose_config(args: argparse.Namespace) -> dict[str, Any]:
    """The config of the run: `full`, what `--tiny` and `--config` change, few folds."""
    config = {"preset": "full", "device": args.device, "expansion": {"folds": 2}}
    if args.tiny:
        config = overlay(config, TINY)
    return overlay(config, read_config(args.config)) if args.config else config


def write_inputs(folder: Path, config: dict[str, Any]) -> Path:
    """Writes config and sheet of the run; gives the config's path."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    with (ROOT / "config/samples.tsv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row]
    kept = [rows[0], *(row for row in rows if row[0] in PATIENTS)]
    with (folder / "config/samples.tsv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(kept)
    path = folder / "config/config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def measured(stage: Stage, done: list[Done], facts: dict[str, Any]) -> dict[str, Any]:
    """A row of the table, from the jobs of a stage.

    Args:
        stage: What ran.
        done: Its jobs.
        facts: The device's `rate` in FLOP per second, and `flop` of a unit by verb.
    """
    wall_s, last = sum(job.seconds for job in done), done[-1]
    units, inner_s = stage.units, stage.inner_s() if stage.inner_s else wall_s
    if stage.training:
        units, inner_s = last.steps, last.steps_s
    each_s = inner_s / units
    told_apart = bool(stage.inner_s or stage.training)
    start_s = (wall_s - inner_s) / len(done) if told_apart else 0.0
    row = {
        "verb": stage.verb,
        "unit": stage.unit,
        "units": units,
        "wall_s": wall_s,
        "start_s": start_s if told_apart else None,
        "s_a_unit": each_s,
        "host_gb": max(job.host_gb for job in done),
    }
    if stage.study is not None:
        row["study_hours"] = (stage.starts * start_s + stage.study * each_s) / 3600
    if flop := facts["flop"].get(stage.verb):
        row |= {"tflop_a_unit": flop / 1e12, "of_rate": flop / each_s / facts["rate"]}
    return row


def as_line(row: dict[str, Any]) -> str:
    """A row of the Markdown table; an empty cell was not measured."""
    cells = [form.format(row[n]) if row.get(n) is not None else "" for n, form in COLUMNS.items()]
    return f"| {' | '.join(cells)} |"


def few_steps(stage: Stage, folder: Path, budget: Budget) -> bool:
    """Trains the model that later stages use; False where the time did not suffice."""
    room = stage.training
    Layout(folder / RESULTS).network(room).checkpoint.unlink(missing_ok=True)
    job = list(stage.jobs[0])
    place = job.index("--settings") + 1
    job[place] = json.dumps(json.loads(job[place]) | {"steps": FEW_STEPS})
    log = folder / RESULTS / f"logs/{stage.verb}_few.log"
    done = run_job(command(stage.verb, job), folder, log, budget.left)
    if not done.finished:
        budget.missing.append(f"{stage.verb} of {FEW_STEPS} steps: not finished")
    return done.finished


def run_stage(stage: Stage, folder: Path, budget: Budget, timed_s: float) -> list[Done] | None:
    """Runs the jobs of a stage; None where the time did not suffice."""
    done = []
    for number, job in enumerate(stage.jobs):
        log = folder / RESULTS / f"logs/{stage.verb}_{number}.log"
        limit = timed_s if stage.training else None
        done.append(run_job(command(stage.verb, job), folder, log, budget.left, limit))
        if not done[-1].finished or (stage.training and done[-1].steps == 0):
            budget.missing.append(
                f"{stage.verb}: not finished, {number} of {len(stage.jobs)} jobs"
            )
            return None
    return done


def run_all(
    stages: list[Stage], folder: Path, budget: Budget, facts: dict[str, Any], timed_s: float
) -> list[str]:
    """Runs the stages that the budget allows; prints and gives the lines of the table."""
    card, lines = Card(), []
    for number, stage in enumerate(stages):
        card.take()
        done = None
        if budget.allows(stage.verb, stage.estimate_s):
            done = run_stage(stage, folder, budget, timed_s)
        if done is None:
            budget.missing += [f"{later.verb}: not begun" for later in stages[number + 1 :]]
            break
        lines.append(as_line(measured(stage, done, facts) | card.take()))
        print(lines[-1], flush=True)
        if done[-1].stopped and not few_steps(stage, folder, budget):
            budget.missing += [f"{later.verb}: not begun" for later in stages[number + 1 :]]
            break
    card.close()
    return lines


def find_facts(config: Path, settings: Settings, folder: Path) -> dict[str, Any]:
    """Name and rate of the device, and FLOP of a unit of each verb, from a process of its own."""
    program = Path(__file__).with_name("full_size_flop.py")
    log = folder / RESULTS / "logs/flop.log"
    run_job([sys.executable, str(program), str(config), settings.device], folder, log, 120)
    return json.loads(log.read_text(encoding="utf-8").splitlines()[-1])


def main() -> None:
    """Prints a row for each verb as it is measured, and the table at the end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="new folder of the run")
    parser.add_argument("--budget", type=float, help="seconds after which it stops")
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--config", type=Path, help="config file laid over the preset `full`")
    parser.add_argument("--tiny", action="store_true", help="small sizes, for a CPU")
    args = parser.parse_args()
    args.device = args.device or ("cpu" if args.tiny else "cuda")
    budget, folder = Budget(args.budget), args.out.absolute()
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", THREADS)
    config = choose_config(args)
    settings, path = load_settings(config), write_inputs(folder, config)
    facts = find_facts(path, settings, folder)
    head = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}"
    print(f"{facts['device']}: bf16 matrix product {facts['rate'] / 1e12:.3g} TFLOP/s\n{head}")
    stages = list_stages(settings, folder)
    if args.tiny:
        stages = [replace(stage, estimate_s=0) for stage in stages]
    lines = run_all(stages, folder, budget, facts, TIMED_S)
    title = f"{facts['device']}, {len(PATIENTS)} patients run, {STUDY} and all steps extrapolated"
    print("\n".join(["", title, "", head, *lines]))
    print(budget.report())


if __name__ == "__main__":
    main()
