"""reporting: tables, figures and pages for people."""

from hemexp.reporting.catalogue import FIGURES, TABLES, figure_modules, table_modules
from hemexp.reporting.checklists import CHECKLISTS, checklist_file
from hemexp.reporting.patient_columns import COURSE, INPUTS, PATIENT
from hemexp.reporting.report.contents import ALL_PAGES, HEADLINE_TABLES, PAGES, report_files
from hemexp.reporting.patient import page_files

REPORT_FILES = [*PAGE_FILES, *map(hash_file, report_files())]
PRINTED = [table.name for table in TABLES if not table.optional]
TOLD = [name for name in [*PATIENT, *INPUTS] if name in PATIENTS]
COURSES = [name for name in COURSE if name in EVERYONE]


rule write_tables:
    input:
        rules.summarise_scores.output,
        rules.vary_masks.output,
        rules.score_what_if.output,
        rules.collect_qc.output.outcomes,
        GROWTH.comparison,
        GROWTH.ivh_comparison,
        rules.predict_expansion.output.predictions,
        rules.answer_what_if.output.summary,
        kept_files(RECONSTRUCTION, [*PATIENTS.index]),
    output:
        [
            in_report("table", table.name, RESULTS.table(table.name), table.caption)
            for table in TABLES
            if not table.optional
        ],
        expand(paths(RESULTS.table("{table}", "tex")), table=PRINTED),
    log:
        log_file("write_tables"),
    benchmark:
        benchmark_file("write_tables")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("reporting.tables", *table_modules()),
        settings=section("reporting"),
        ablations=ablation_tables(),
        rows=rows(PATIENTS.index, "patient_id", "center", "split", *CLINICAL, *SEX),
        sheet=SHEET,
    shell:
        "python -m hemexp write-tables --samples {params.sheet:q} --settings {params.settings:q} "
        "> {log} 2>&1"


# Rows of patients: in no report, and in no commit.
rule write_patients:
    input:
        rules.collect_qc.output,
        rules.predict_expansion.output.predictions,
        kept_files([SAMPLED[0], POOLED_MAP], FORECAST),
        kept_files(paths(RESULTS.consistency("{patient}")), SCORED),
    output:
        paths(RESULTS.patients),
    log:
        log_file("write_patients"),
    benchmark:
        benchmark_file("write_patients")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting.patients"),
        # Says from how much IVH counts as present.
        settings=section("evaluation"),
        rows=digest_rows(EVERYONE, (*TOLD, *COURSES)),
        sheet=SHEET,
    shell:
        "python -m hemexp write-patients --samples {params.sheet:q} "
        "--settings {params.settings:q} > {log} 2>&1"


# Masks and maps are linked into the places that BIDS has for them: links are no outputs.
rule write_bids:
    input:
        rules.collect_qc.output,
        kept_files(SAMPLED[0], DRAWN),
    output:
        paths(RESULTS.dataset),
        paths(RESULTS.participants),
        paths(RESULTS.bidsignore),
    log:
        log_file("write_bids"),
    benchmark:
        benchmark_file("write_bids")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting.bids"),
        rows=rows(PATIENTS.index, *TOLD),
        sheet=SHEET,
    shell:
        "python -m hemexp write-bids --samples {params.sheet:q} > {log} 2>&1"


rule draw_figures:
    input:
        rules.summarise_scores.output,
        rules.score_what_if.output,
        kept_files(DRAWN_WHAT_IF, WHAT_IF),
        kept_files(TRUE_WHAT_IF, [p for p in WHAT_IF if p in PHANTOM]),
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
            in_report("figure", name, RESULTS.figure(name), figure.caption)
            for name, figure in FIGURES.items()
        ],
        expand(paths(RESULTS.figure("{figure}", "svg")), figure=FIGURES),
    log:
        log_file("draw_figures"),
    benchmark:
        benchmark_file("draw_figures")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        code=hash_code("reporting.draw", *figure_modules()),
        settings=section("reporting"),
    shell:
        "python -m hemexp draw-figures --settings {params.settings:q} > {log} 2>&1"


rule write_patient_page:
    input:
        page_inputs,
    output:
        page=paths(RESULTS.patient_page("{patient}")),
        answers=paths(RESULTS.patient_answers("{patient}")),
    log:
        log_file("write_patient_page", "{patient}"),
    benchmark:
        benchmark_file("write_patient_page", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("expansion.patient_answers", "preprocess.collect", "reporting.patient.page"),
        # Template, style and texts are data, which no hash of code sees.
        look=[hash_file(file) for file in page_files()],
        settings=section("preprocess.quality"),
        seed=SETTINGS.seed,
        reference=SETTINGS.preprocess.reference,
        row=page_row,
        sheet=SHEET,
    shell:
        "python -m hemexp write-patient-page --patient {wildcards.patient} "
        "--samples {params.sheet:q} --settings {params.settings:q} --seed {params.seed} "
        "--reference {params.reference} > {log} 2>&1"


rule write_report:
    input:
        rules.write_tables.output,
        rules.draw_figures.output,
        [paths(RESULTS.evaluation(table)) for table in ("volumes", *HEADLINE_TABLES)],
        rules.collect_qc.output,
        rules.write_qc.output,
        rules.write_patients.output,
        expand(rules.write_patient_page.output.page, patient=FORECAST),
        kept_files([SAMPLED[0], POOLED_MAP], FORECAST),
        AUTOENCODER.model,
        AUTOENCODER.history,
        DENOISER.model,
        DENOISER.history,
        GROWTH.model,
        SCALE,
    output:
        in_report("page", "overview", RESULTS.report, ALL_PAGES["index"].about),
        [
            in_report("page", name, RESULTS.report_page(name), page.about)
            for name, page in PAGES.items()
        ],
        paths(RESULTS.methods),
    log:
        log_file("write_report"),
    benchmark:
        benchmark_file("write_report")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting.report.write", "reporting.methods"),
        pages=REPORT_FILES,
        settings=section("reporting"),
        ablations=ablation_tables(),
        preset=SETTINGS.preset,
        seed=SETTINGS.seed,
    shell:
        "python -m hemexp write-report --settings {params.settings:q} --preset {params.preset:q} "
        "--seed {params.seed} > {log} 2>&1"


rule write_review:
    input:
        rules.write_tables.output,
        rules.draw_figures.output,
        rules.summarise_scores.output,
        rules.collect_qc.output,
        kept_files([paths(RESULTS.consistency("{patient}")), SAMPLED[0]], SCORED),
        AUTOENCODER.model,
        AUTOENCODER.history,
        DENOISER.model,
        DENOISER.history,
        GROWTH.model,
        SCALE,
    output:
        in_report("page", "review", RESULTS.review, ALL_PAGES["review"].about),
        paths(RESULTS.model_card),
        paths(RESULTS.failures),
        [paths(RESULTS.checklist(name)) for name in CHECKLISTS],
    log:
        log_file("write_review"),
    benchmark:
        benchmark_file("write_review")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("reporting.review"),
        pages=REPORT_FILES,
        settings=section("reporting"),
        # The items are data, which no hash of code sees.
        checklists=[hash_file(checklist_file(name)) for name in CHECKLISTS],
        preset=SETTINGS.preset,
        seed=SETTINGS.seed,
    shell:
        "python -m hemexp write-review --settings {params.settings:q} --preset {params.preset:q} "
        "--seed {params.seed} > {log} 2>&1"


rule reporting:
    input:
        rules.write_patients.output,
        rules.write_bids.output,
        expand(rules.write_patient_page.output, patient=FORECAST),
        rules.write_report.output,
        rules.write_review.output,
