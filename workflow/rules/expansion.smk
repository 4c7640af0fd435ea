"""expansion: p(expansion) and the predictive distribution of growth."""


rule fit_expansion:
    input:
        kept_scans(VOLUMES, TRAIN),
    output:
        model="results/expansion/model.json",
        training="results/expansion/training.tsv",
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


rule predict_expansion:
    input:
        model=rules.fit_expansion.output.model,
        training=rules.fit_expansion.output.training,
        volumes=kept_files(VOLUMES, [*SAMPLES.index], session="baseline"),
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


rule expansion:
    input:
        rules.predict_expansion.output,
