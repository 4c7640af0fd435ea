"""phantom: raw scans of the sheet's synthetic patients, and what is true of them."""


rule draw_patient:
    output:
        baseline_ct="results/phantom/sub-{patient}/sub-{patient}_ses-baseline_ct.nii.gz",
        baseline_iph="results/phantom/sub-{patient}/sub-{patient}_ses-baseline_iph.nii.gz",
        baseline_ivh="results/phantom/sub-{patient}/sub-{patient}_ses-baseline_ivh.nii.gz",
        followup_ct="results/phantom/sub-{patient}/sub-{patient}_ses-followup_ct.nii.gz",
        followup_iph="results/phantom/sub-{patient}/sub-{patient}_ses-followup_iph.nii.gz",
        followup_ivh="results/phantom/sub-{patient}/sub-{patient}_ses-followup_ivh.nii.gz",
        truth="results/phantom/sub-{patient}/sub-{patient}_truth.json",
    log:
        "results/logs/draw_patient/{patient}.log",
    benchmark:
        "results/benchmarks/draw_patient/{patient}.tsv"
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("phantom"),
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
        "results/phantom/truth.tsv",
    log:
        "results/logs/collect_truth.log",
    benchmark:
        "results/benchmarks/collect_truth.tsv"
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("phantom"),
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
        "results/logs/draw_truth_map/{patient}.log",
    benchmark:
        "results/benchmarks/draw_truth_map/{patient}.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("phantom"),
        resampling=hash_code("preprocess"),
        settings=section("phantom"),
        row=center_row,
        draws=SETTINGS.evaluation.redraws,
        reference=SETTINGS.preprocess.reference,
        sheet=SHEET,
    shell:
        "python -m hemexp draw-truth-map --patient {wildcards.patient} "
        "--samples {params.sheet:q} --settings {params.settings:q} --draws {params.draws} "
        "--reference {params.reference} > {log} 2>&1"


rule collect_what_if_truth:
    output:
        "results/phantom/what_if_truth.tsv",
    log:
        "results/logs/collect_what_if_truth.log",
    benchmark:
        "results/benchmarks/collect_what_if_truth.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("phantom"),
        settings=section("phantom"),
        rows=rows(PHANTOM, "patient_id"),
        sheet=SHEET,
    shell:
        "python -m hemexp collect-what-if-truth --samples {params.sheet:q} "
        "--settings {params.settings:q} > {log} 2>&1"


rule phantom:
    input:
        [*rules.collect_truth.output, *rules.collect_what_if_truth.output] if PHANTOM else [],
