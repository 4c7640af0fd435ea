"""reporting: tables, figures and pages for people."""

from hemexp.reporting.captions import FIGURES, OPTIONAL, TABLES

PRINTED = [table for table in TABLES if table not in OPTIONAL]


rule write_tables:
    input:
        rules.summarise_scores.output,
        rules.collect_qc.output.outcomes,
        GROWTH.comparison,
        rules.predict_expansion.output.predictions,
        rules.answer_what_if.output.summary,
        kept_files(RECONSTRUCTION, [*SAMPLES.index]),
    output:
        [
            report(
                f"results/tables/{table}.csv",
                caption=f"../report/tables/{table}.rst",
                category="Tables",
                labels={"table": table.replace("_", " ")},
            )
            for table in PRINTED
        ],
        expand("results/tables/{table}.tex", table=PRINTED),
    log:
        "results/logs/write_tables.log",
    benchmark:
        "results/benchmarks/write_tables.tsv"
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("reporting"),
        settings=section("reporting"),
        ablations=ablation_tables(),
        rows=rows(SAMPLES.index, "patient_id", "center", "split", *NUMBERS),
        sheet=SHEET,
    shell:
        "python -m hemexp write-tables --samples {params.sheet:q} --settings {params.settings:q} "
        "> {log} 2>&1"


rule draw_figures:
    input:
        rules.summarise_scores.output,
        rules.collect_qc.output,
        rules.predict_expansion.output.predictions,
        rules.answer_what_if.output.answers,
        AUTOENCODER.history,
        DENOISER.history,
        rules.phantom.input,
        kept_files([*SAMPLED, POOLED_MAP], FORECAST),
        kept_files(TRUE_MAP, [p for p in SCORED if p in PHANTOM]),
    output:
        [
            report(
                f"results/figures/{figure}.png",
                caption=f"../report/figures/{figure}.rst",
                category="Figures",
                labels={"figure": figure.replace("_", " ")},
            )
            for figure in FIGURES
        ],
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
        "results/report/methods.md",
    log:
        "results/logs/write_report.log",
    benchmark:
        "results/benchmarks/write_report.tsv"
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting"),
        settings=section("reporting"),
        ablations=ablation_tables(),
        preset=SETTINGS.preset,
        seed=SETTINGS.seed,
    shell:
        "python -m hemexp write-report --settings {params.settings:q} --preset {params.preset:q} "
        "--seed {params.seed} > {log} 2>&1"


rule reporting:
    input:
        rules.write_report.output,
