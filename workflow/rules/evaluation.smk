"""evaluation: forecasts against what happened, as tidy tables."""


rule fit_climatology:
    input:
        kept_scans(GRID_CT, TRAIN),
    output:
        "results/evaluation/climatology.tsv",
    log:
        "results/logs/fit_climatology.log",
    benchmark:
        "results/benchmarks/fit_climatology.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation"),
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
        "results/evaluation/pool.tsv",
    log:
        "results/logs/fit_pool.log",
    benchmark:
        "results/benchmarks/fit_pool.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation"),
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
        "results/logs/pool_map/{patient}.log",
    benchmark:
        "results/benchmarks/pool_map/{patient}.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("evaluation"),
    shell:
        "python -m hemexp pool-map --patient {wildcards.patient} > {log} 2>&1"


rule score_patient:
    input:
        samples=SAMPLED,
        scans=grid_scans,
        climatology=rules.fit_climatology.output,
        pooled=POOLED_MAP,
        truth=true_map,
    output:
        scores="results/evaluation/sub-{patient}/sub-{patient}_scores.tsv",
        maps="results/evaluation/sub-{patient}/sub-{patient}_maps.tsv",
    log:
        "results/logs/score_patient/{patient}.log",
    benchmark:
        "results/benchmarks/score_patient/{patient}.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("evaluation"),
        settings=section("evaluation"),
    shell:
        "python -m hemexp score-patient --patient {wildcards.patient} "
        "--settings {params.settings:q} > {log} 2>&1"


rule summarise_scores:
    input:
        outcomes=rules.collect_qc.output.outcomes,
        volumes=kept_files(SAMPLED, SCORED),
        scores=kept_files(rules.score_patient.output, SCORED),
        expansion=rules.predict_expansion.output,
        training=GROWTH.forecasts,
        truth=rules.phantom.input,
        redraws=kept_files(TRUE_MAP, [p for p in SCORED if p in PHANTOM]),
    output:
        expand(
            "results/evaluation/{table}.tsv",
            table=[
                "forecasts",
                "expansion",
                "obedience",
                "images",
                "images_oracle",
                "volumes",
                "calibration",
                "comparisons",
                "expected",
                "conformal",
                "maps",
                "reliability",
                "coherence",
            ],
        ),
        metrics="results/evaluation/metrics.json",
    log:
        "results/logs/summarise_scores.log",
    benchmark:
        "results/benchmarks/summarise_scores.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        code=hash_code("evaluation"),
        settings=section("evaluation"),
        seed=SETTINGS.seed,
    shell:
        "python -m hemexp summarise-scores --settings {params.settings:q} --seed {params.seed} "
        "> {log} 2>&1"


rule evaluation:
    input:
        rules.summarise_scores.output,
        kept_files(POOLED_MAP, FORECAST),
