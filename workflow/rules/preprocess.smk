"""preprocess: raw NCCT to checked, skull-stripped, aligned scans on one grid, with QC."""


rule strip_skull:
    input:
        scan_files,
    output:
        **NATIVE,
    log:
        "results/logs/strip_skull/{patient}_{session}.log",
    benchmark:
        "results/benchmarks/strip_skull/{patient}_{session}.tsv"
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess.skull_strip"),
        raw=section("preprocess.raw"),
        sheet=SHEET,
    shell:
        "python -m hemexp strip-skull --patient {wildcards.patient} --session {wildcards.session} "
        "--samples {params.sheet:q} --settings {params.settings:q} --raw {params.raw:q} "
        "> {log} 2>&1"


rule register_followup:
    input:
        expand([*NATIVE_IMAGES.values()], session=["baseline", "followup"], allow_missing=True),
    output:
        **REGISTERED,
    log:
        "results/logs/register_followup/{patient}.log",
    benchmark:
        "results/benchmarks/register_followup/{patient}.tsv"
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess.registration"),
        reference=SETTINGS.preprocess.reference,
        sheet=SHEET,
    shell:
        "python -m hemexp register-followup --patient {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} --reference {params.reference} > {log} 2>&1"


rule resample_scan:
    input:
        unpack(other_session),
        **NATIVE_IMAGES,
    output:
        **GRID,
    log:
        "results/logs/resample_scan/{patient}_{session}.log",
    benchmark:
        "results/benchmarks/resample_scan/{patient}_{session}.tsv"
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess.grid"),
        reference=SETTINGS.preprocess.reference,
        sheet=SHEET,
    shell:
        "python -m hemexp resample-scan --patient {wildcards.patient} --session {wildcards.session} "
        "--samples {params.sheet:q} --settings {params.settings:q} "
        "--reference {params.reference} > {log} 2>&1"


# A checkpoint: what is left to do depends on who was excluded.
checkpoint collect_qc:
    input:
        per_scan(VOLUMES, SAMPLES.index),
        per_scan(GRID["volumes"], SAMPLES.index),
        expand(REGISTERED["qc"], patient=PAIRED),
    output:
        qc=report(
            "results/preprocess/qc.tsv", caption="../report/qc.rst", category="Quality control"
        ),
        excluded="results/preprocess/excluded.tsv",
        outcomes="results/cohort/outcomes.tsv",
    log:
        "results/logs/collect_qc.log",
    benchmark:
        "results/benchmarks/collect_qc.tsv"
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess"),
        rows=rows(SAMPLES.index, "patient_id", "center", "split"),
        sheet=SHEET,
    shell:
        "python -m hemexp collect-qc --samples {params.sheet:q} --settings {params.settings:q} > {log} 2>&1"


rule write_qc:
    input:
        rules.collect_qc.output,
        per_scan(NATIVE["picture"], SAMPLES.index),
        per_scan(GRID["picture"], SAMPLES.index),
        expand(REGISTERED["picture"], patient=PAIRED),
    output:
        report(
            "results/preprocess/qc.html",
            caption="../report/qc.rst",
            category="Quality control",
        ),
    log:
        "results/logs/write_qc.log",
    benchmark:
        "results/benchmarks/write_qc.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess.quality"),
    shell:
        "python -m hemexp write-qc --settings {params.settings:q} > {log} 2>&1"


rule preprocess:
    input:
        rules.collect_qc.output,
        rules.write_qc.output,
