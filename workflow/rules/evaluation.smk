"""evaluation: forecasts against what happened, as tidy tables."""

from hemexp.evaluation.cohort.tables import TABLES


rule fit_climatology:
    input:
        kept_scans(GRID_CT, TRAIN),
    output:
        paths(RESULTS.climatology),
    log:
        log_file("fit_climatology"),
    benchmark:
        benchmark_file("fit_climatology")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation.patient.distance_climatology"),
        rows=rows(TRAIN, "patient_id"),
        sheet=SHEET,
    shell:
        "python -m hemexp fit-climatology --samples {params.sheet:q} > {log} 2>&1"


# Patients of `val`, on whom nothing is trained, say how far a drawn map may be trusted.
rule fit_pool:
    input:
        samples=kept_files(SAMPLED, VAL),
        scans=kept_scans(GRID_CT, VAL),
        climatology=rules.fit_climatology.output,
    output:
        paths(RESULTS.pool),
    log:
        log_file("fit_pool"),
    benchmark:
        benchmark_file("fit_pool")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation.patient.fit_pool"),
        settings=section("evaluation"),
        rows=rows(VAL, "patient_id"),
        sheet=SHEET,
    shell:
        "python -m hemexp fit-pool --samples {params.sheet:q} --settings {params.settings:q} "
        "> {log} 2>&1"


rule pool_map:
    input:
        samples=SAMPLED,
        scan=expand(GRID_CT, session="baseline", allow_missing=True),
        climatology=rules.fit_climatology.output,
        weight=rules.fit_pool.output,
    output:
        POOLED_MAP,
    log:
        log_file("pool_map", "{patient}"),
    benchmark:
        benchmark_file("pool_map", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("evaluation.patient.pooled_map"),
    shell:
        "python -m hemexp pool-map --patient {wildcards.patient} > {log} 2>&1"


rule score_patient:
    input:
        samples=SAMPLED,
        scans=grid_scans,
        climatology=rules.fit_climatology.output,
        pooled=POOLED_MAP,
        truth=true_map,
        reference=SCALE,
    output:
        scores=paths(RESULTS.scores("{patient}")),
        maps=paths(RESULTS.map_sums("{patient}")),
        consistency=paths(RESULTS.consistency("{patient}")),
        location=paths(RESULTS.location("{patient}")),
    log:
        log_file("score_patient", "{patient}"),
    benchmark:
        benchmark_file("score_patient", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation.patient.score"),
        settings=section("evaluation"),
    shell:
        "python -m hemexp score-patient --patient {wildcards.patient} "
        "--settings {params.settings:q} > {log} 2>&1"


rule summarise_scores:
    input:
        outcomes=rules.collect_qc.output.outcomes,
        volumes=kept_files(SAMPLED, SCORED),
        scores=kept_files(rules.score_patient.output, SCORED),
        predictions=rules.predict_expansion.output.predictions,
        forecasts=rules.predict_expansion.output.forecasts,
        training=GROWTH.forecasts,
        models=GROWTH.model,
        truth=rules.phantom.input,
        redraws=kept_files(TRUE_MAP, [p for p in SCORED if p in PHANTOM]),
    output:
        [paths(RESULTS.evaluation(table)) for table in TABLES],
        metrics=paths(RESULTS.metrics),
    log:
        log_file("summarise_scores"),
    benchmark:
        benchmark_file("summarise_scores")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=hash_code("evaluation.cohort.summarise"),
        settings=section("evaluation"),
        seed=SETTINGS.seed,
        rows=rows(PATIENTS.index, "patient_id", "center", "split", *CLINICAL, *SEX),
        sheet=SHEET,
    shell:
        "python -m hemexp summarise-scores --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} > {log} 2>&1"


# Native masks alone say what an outline a voxel further out would measure.
rule vary_masks:
    input:
        rules.summarise_scores.input,
        kept_scans(NATIVE["iph"], SCORED),
        kept_scans(NATIVE["ivh"], SCORED),
    output:
        paths(RESULTS.evaluation("robustness")),
    log:
        log_file("vary_masks"),
    benchmark:
        benchmark_file("vary_masks")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=hash_code("evaluation.cohort.vary_masks"),
        settings=section("evaluation"),
        seed=SETTINGS.seed,
        rows=rows(PATIENTS.index, "patient_id", "center", "split", *CLINICAL, *SEX),
        sheet=SHEET,
    shell:
        "python -m hemexp vary-masks --samples {params.sheet:q} --settings {params.settings:q} "
        "--seed {params.seed} > {log} 2>&1"


rule score_what_if:
    input:
        drawn=kept_files([*DRAWN_WHAT_IF, paths(RESULTS.sample_map(_ONE, "expansion"))], WHAT_IF),
        truth=kept_files(TRUE_WHAT_IF, [p for p in WHAT_IF if p in PHANTOM]),
    output:
        paths(RESULTS.evaluation("what_if_images")),
    log:
        log_file("score_what_if"),
    benchmark:
        benchmark_file("score_what_if")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation.cohort.what_if_images"),
        patients=WHAT_IF,
        sheet=SHEET,
    shell:
        "python -m hemexp score-what-if --patients {params.patients} --samples {params.sheet:q} "
        "> {log} 2>&1"


rule evaluation:
    input:
        rules.summarise_scores.output,
        rules.vary_masks.output,
        rules.score_what_if.output,
        kept_files(POOLED_MAP, FORECAST),
