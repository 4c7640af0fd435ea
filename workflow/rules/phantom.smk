"""phantom: raw scans of the sheet's synthetic patients, and what is true of them."""


rule draw_patient:
    output:
        [*paths(RESULTS.raw("{patient}", "baseline")).values()],
        [*paths(RESULTS.raw("{patient}", "followup")).values()],
        truth=paths(RESULTS.truth("{patient}")),
    log:
        log_file("draw_patient", "{patient}"),
    benchmark:
        benchmark_file("draw_patient", "{patient}")
    group:
        before_masks
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("phantom.draw"),
        settings=section("phantom"),
        row=center_row,
        sheet=SHEET,
    shell:
        "python -m hemexp draw-patient --patient {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} > {log} 2>&1"


rule collect_truth:
    input:
        expand(rules.draw_patient.output.truth, patient=PHANTOM),
    output:
        paths(RESULTS.truths),
    log:
        log_file("collect_truth"),
    benchmark:
        benchmark_file("collect_truth")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("phantom.collect_truth"),
        settings=section("phantom"),
        sheet=SHEET,
    shell:
        "python -m hemexp collect-truth --samples {params.sheet:q} "
        "--settings {params.settings:q} > {log} 2>&1"


rule draw_truth_map:
    input:
        iph=GRID["iph"].replace("{session}", "baseline"),
        ivh=GRID["ivh"].replace("{session}", "baseline"),
    output:
        TRUE_MAP,
    log:
        log_file("draw_truth_map", "{patient}"),
    benchmark:
        benchmark_file("draw_truth_map", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("phantom.truth_map", "preprocess.interpolate"),
        settings=section("phantom"),
        row=center_row,
        draws=SETTINGS.evaluation.redraws,
        reference=SETTINGS.preprocess.reference,
        sheet=SHEET,
    shell:
        "python -m hemexp draw-truth-map --patient {wildcards.patient} "
        "--samples {params.sheet:q} --settings {params.settings:q} --draws {params.draws} "
        "--reference {params.reference} > {log} 2>&1"


rule draw_true_what_if:
    input:
        iph=GRID["iph"].replace("{session}", "baseline"),
        ivh=GRID["ivh"].replace("{session}", "baseline"),
    output:
        TRUE_WHAT_IF,
    log:
        log_file("draw_true_what_if", "{patient}"),
    benchmark:
        benchmark_file("draw_true_what_if", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("phantom.truth_map", "phantom.what_if_map", "preprocess.interpolate"),
        settings=section("phantom"),
        row=what_if_row,
        draws=SETTINGS.evaluation.redraws,
        reference=SETTINGS.preprocess.reference,
        sheet=SHEET,
    shell:
        "python -m hemexp draw-true-what-if --patient {wildcards.patient} "
        "--samples {params.sheet:q} --settings {params.settings:q} --draws {params.draws} "
        "--reference {params.reference} > {log} 2>&1"


rule collect_what_if_truth:
    output:
        paths(RESULTS.what_if_truths),
    log:
        log_file("collect_what_if_truth"),
    benchmark:
        benchmark_file("collect_what_if_truth")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("phantom.what_if"),
        settings=section("phantom"),
        rows=rows(PHANTOM, "patient_id", "center"),
        sheet=SHEET,
    shell:
        "python -m hemexp collect-what-if-truth --samples {params.sheet:q} "
        "--settings {params.settings:q} > {log} 2>&1"


rule phantom:
    input:
        [*rules.collect_truth.output, *rules.collect_what_if_truth.output] if PHANTOM else [],
