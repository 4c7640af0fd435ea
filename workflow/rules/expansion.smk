"""expansion: p(expansion) and the predictive distribution of growth."""

FEATURES = paths(RESULTS.features("{patient}"))
FITTED = {
    "model": paths(RESULTS.growth_models),
    "training": paths(RESULTS.growth("training")),
    "forecasts": paths(RESULTS.growth("training_forecasts")),
    "comparison": paths(RESULTS.growth("comparison")),
    "ivh_comparison": paths(RESULTS.growth("ivh_comparison")),
}


# As in `latents`: the bleeds of those who are trained on are measured in one job, whose start takes
# longer than a bleed, those of every other patient in a job of their own.
rule measure_bleeds:
    input:
        scans=kept_files(NATIVE["ct"], TRAIN + VAL, session="baseline"),
        volumes=kept_files(VOLUMES, TRAIN + VAL, session="baseline"),
    output:
        expand(FEATURES, patient=TRAIN + VAL),
    log:
        log_file("measure_bleeds"),
    benchmark:
        benchmark_file("measure_bleeds")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
    params:
        code=hash_code("expansion.measure"),
        sheet=SHEET,
    shell:
        "python -m hemexp measure-bleed --splits train val --samples {params.sheet:q} > {log} 2>&1"


rule measure_bleed:
    input:
        scan=expand(NATIVE["ct"], session="baseline", allow_missing=True),
        volumes=expand(VOLUMES, session="baseline", allow_missing=True),
    output:
        FEATURES,
    log:
        log_file("measure_bleed", "{patient}"),
    benchmark:
        benchmark_file("measure_bleed", "{patient}")
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("expansion.measure"),
        sheet=SHEET,
    shell:
        "python -m hemexp measure-bleed --patients {wildcards.patient} "
        "--samples {params.sheet:q} > {log} 2>&1"


if SETTINGS.expansion.model_file is None:

    rule fit_expansion:
        input:
            kept_scans(VOLUMES, TRAIN),
            SEGMENTED,
            kept_files(FEATURES, TRAIN),
        output:
            **FITTED,
        log:
            log_file("fit_expansion"),
        benchmark:
            benchmark_file("fit_expansion")
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(20),
        params:
            code=hash_code("expansion.train"),
            settings=section("expansion"),
            seed=SETTINGS.seed,
            rows=rows(TRAIN, "patient_id", *CLINICAL, *HOURS, CENTER_ONSET),
            sheet=SHEET,
        shell:
            "python -m hemexp fit-expansion --samples {params.sheet:q} --settings {params.settings:q} "
            "--seed {params.seed} > {log} 2>&1"

else:

    rule adopt_expansion:
        input:
            released_files("expansion", "expansion"),
        output:
            **FITTED,
        log:
            log_file("adopt_expansion"),
        benchmark:
            benchmark_file("adopt_expansion")
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("release.adopt"),
            model=SETTINGS.released()["expansion"],
        shell:
            "python -m hemexp adopt-expansion --model {params.model:q} > {log} 2>&1"


GROWTH = (rules.adopt_expansion if SETTINGS.expansion.model_file else rules.fit_expansion).output


rule predict_expansion:
    input:
        model=GROWTH.model,
        training=GROWTH.training,
        volumes=kept_files(VOLUMES, [*PATIENTS.index], session="baseline"),
        masks=SEGMENTED,
        features=kept_files(FEATURES, [*PATIENTS.index]),
    output:
        predictions=paths(RESULTS.growth("predictions")),
        forecasts=paths(RESULTS.growth("forecasts")),
        over_time=paths(RESULTS.growth("over_time")),
    log:
        log_file("predict_expansion"),
    benchmark:
        benchmark_file("predict_expansion")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("expansion.predict"),
        rows=rows(PATIENTS.index, "patient_id", "split", *OUTSIDE, *CLINICAL, *HOURS, CENTER_ONSET),
        sheet=SHEET,
    shell:
        "python -m hemexp predict-expansion --samples {params.sheet:q} > {log} 2>&1"


rule answer_what_if:
    input:
        model=GROWTH.model,
        volumes=kept_files(VOLUMES, VAL + TEST + PREDICT, session="baseline"),
        masks=SEGMENTED,
        features=kept_files(FEATURES, VAL + TEST + PREDICT),
        truth=rules.collect_what_if_truth.output if PHANTOM else [],
    output:
        answers=paths(RESULTS.growth("what_if")),
        summary=paths(RESULTS.growth("what_if_summary")),
    log:
        log_file("answer_what_if"),
    benchmark:
        benchmark_file("answer_what_if")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("expansion.what_if"),
        rows=rows(VAL + TEST + PREDICT, "patient_id", "split", *CLINICAL, *HOURS, CENTER_ONSET),
        sheet=SHEET,
    shell:
        "python -m hemexp answer-what-if --samples {params.sheet:q} > {log} 2>&1"


rule expansion:
    input:
        rules.predict_expansion.output,
        rules.answer_what_if.output,
