"""expansion: p(expansion) and the predictive distribution of growth."""

FEATURES = "results/expansion/sub-{patient}/sub-{patient}_features.tsv"


# As in `latents`: the bleeds of those who are trained on are measured in one job, whose start takes
# longer than a bleed, those of every other patient in a job of their own.
rule measure_bleeds:
    input:
        scans=kept_files([NATIVE["ct"], GRID_CT], TRAIN + VAL, session="baseline"),
        volumes=kept_files(VOLUMES, TRAIN + VAL, session="baseline"),
    output:
        expand(FEATURES, patient=TRAIN + VAL),
    log:
        "results/logs/measure_bleeds.log",
    benchmark:
        "results/benchmarks/measure_bleeds.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=hash_code("expansion"),
        sheet=SHEET,
    shell:
        "python -m hemexp measure-bleed --splits train val --samples {params.sheet:q} > {log} 2>&1"


rule measure_bleed:
    input:
        scan=expand([NATIVE["ct"], GRID_CT], session="baseline", allow_missing=True),
        volumes=expand(VOLUMES, session="baseline", allow_missing=True),
    output:
        FEATURES,
    log:
        "results/logs/measure_bleed/{patient}.log",
    benchmark:
        "results/benchmarks/measure_bleed/{patient}.tsv"
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("expansion"),
        sheet=SHEET,
    shell:
        "python -m hemexp measure-bleed --patients {wildcards.patient} "
        "--samples {params.sheet:q} > {log} 2>&1"


if SETTINGS.expansion.model_file is None:

    rule fit_expansion:
        input:
            kept_scans(VOLUMES, TRAIN),
            kept_files(FEATURES, TRAIN),
        output:
            model="results/expansion/model.json",
            training="results/expansion/training.tsv",
            forecasts="results/expansion/training_forecasts.tsv",
            comparison="results/expansion/comparison.tsv",
        log:
            "results/logs/fit_expansion.log",
        benchmark:
            "results/benchmarks/fit_expansion.tsv"
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            code=hash_code("expansion"),
            settings=section("expansion"),
            seed=SETTINGS.seed,
            rows=rows(TRAIN, "patient_id", *NUMBERS),
            sheet=SHEET,
        shell:
            "python -m hemexp fit-expansion --samples {params.sheet:q} --settings {params.settings:q} "
            "--seed {params.seed} > {log} 2>&1"

else:

    rule adopt_expansion:
        input:
            released_files("expansion", "expansion"),
        output:
            model="results/expansion/model.json",
            training="results/expansion/training.tsv",
            forecasts="results/expansion/training_forecasts.tsv",
            comparison="results/expansion/comparison.tsv",
        log:
            "results/logs/adopt_expansion.log",
        benchmark:
            "results/benchmarks/adopt_expansion.tsv"
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("released"),
            model=SETTINGS.released()["expansion"],
        shell:
            "python -m hemexp adopt-expansion --model {params.model:q} > {log} 2>&1"


GROWTH = (rules.adopt_expansion if SETTINGS.expansion.model_file else rules.fit_expansion).output


rule predict_expansion:
    input:
        model=GROWTH.model,
        training=GROWTH.training,
        volumes=kept_files(VOLUMES, [*SAMPLES.index], session="baseline"),
        features=kept_files(FEATURES, [*SAMPLES.index]),
    output:
        predictions="results/expansion/predictions.tsv",
        forecasts="results/expansion/forecasts.tsv",
    log:
        "results/logs/predict_expansion.log",
    benchmark:
        "results/benchmarks/predict_expansion.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("expansion"),
        rows=rows(SAMPLES.index, "patient_id", "split", *OUTSIDE, *NUMBERS),
        sheet=SHEET,
    shell:
        "python -m hemexp predict-expansion --samples {params.sheet:q} > {log} 2>&1"


rule answer_what_if:
    input:
        model=GROWTH.model,
        volumes=kept_files(VOLUMES, VAL + TEST + PREDICT, session="baseline"),
        features=kept_files(FEATURES, VAL + TEST + PREDICT),
        truth=rules.collect_what_if_truth.output if PHANTOM else [],
    output:
        answers="results/expansion/what_if.tsv",
        summary="results/expansion/what_if_summary.tsv",
    log:
        "results/logs/answer_what_if.log",
    benchmark:
        "results/benchmarks/answer_what_if.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("expansion"),
        rows=rows(VAL + TEST + PREDICT, "patient_id", "split", *NUMBERS),
        sheet=SHEET,
    shell:
        "python -m hemexp answer-what-if --samples {params.sheet:q} > {log} 2>&1"


rule expansion:
    input:
        rules.predict_expansion.output,
        rules.answer_what_if.output,
