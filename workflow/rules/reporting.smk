"""reporting: tables, figures and pages for people."""

TABLES = ["cohort", "forecasts", "expansion", "obedience", "images"]
FIGURES = ["panels", "volumes", "growth", "calibration", "training", "registration"]


rule write_tables:
    input:
        rules.summarise_scores.output,
        rules.collect_qc.output.outcomes,
    output:
        report(
            expand("results/tables/{table}.csv", table=TABLES),
            caption="../report/tables.rst",
            category="Tables",
        ),
    log:
        "results/logs/write_tables.log",
    benchmark:
        "results/benchmarks/write_tables.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("reporting"),
        settings=section("reporting"),
        rows=rows(SAMPLES.index, "patient_id", "center", "split", *NUMBERS),
        sheet=SHEET,
    shell:
        "python -m hemexp write-tables --samples {params.sheet:q} --settings {params.settings:q} "
        "> {log} 2>&1"


rule draw_figures:
    input:
        rules.summarise_scores.output,
        rules.collect_qc.output,
        rules.train_autoencoder.output.history,
        rules.train_diffusion.output.history,
        kept_files(SAMPLED, FORECAST),
    output:
        report(
            expand("results/figures/{figure}.png", figure=FIGURES),
            caption="../report/figures.rst",
            category="Figures",
        ),
        expand("results/figures/{figure}.svg", figure=FIGURES),
    log:
        "results/logs/draw_figures.log",
    benchmark:
        "results/benchmarks/draw_figures.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        code=hash_code("reporting"),
        settings=section("reporting"),
    shell:
        "python -m hemexp draw-figures --settings {params.settings:q} > {log} 2>&1"


rule write_report:
    input:
        rules.write_tables.output,
        rules.draw_figures.output,
        rules.collect_qc.output,
        rules.write_qc.output,
    output:
        "results/report/index.html",
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting"),
        settings=section("reporting"),
        preset=SETTINGS.preset,
        seed=SETTINGS.seed,
    shell:
        "python -m hemexp write-report --settings {params.settings:q} --preset {params.preset:q} "
        "--seed {params.seed} > {log} 2>&1"


rule reporting:
    input:
        rules.write_report.output,
