"""preprocess: raw NCCT to checked, skull-stripped, aligned scans on one grid, with QC."""


rule strip_skull:
    input:
        scan_files,
    output:
        mask=NATIVE_BRAIN,
        volumes=VOLUMES,
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
        sheet=SHEET,
    shell:
        "python -m hemexp strip-skull --patient {wildcards.patient} --session {wildcards.session} "
        "--samples {params.sheet:q} --settings {params.settings:q} > {log} 2>&1"


rule register_followup:
    input:
        both_sessions,
        expand(NATIVE_BRAIN, session=["baseline", "followup"], allow_missing=True),
    output:
        transform=TRANSFORM,
        qc="results/preprocess/sub-{patient}/sub-{patient}_desc-registration_qc.tsv",
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
        scan_files,
        unpack(other_session),
        brain=NATIVE_BRAIN,
    output:
        ct=GRID_CT,
        iph="results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_desc-iph_mask.nii.gz",
        ivh="results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_desc-ivh_mask.nii.gz",
        brain="results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_desc-brain_mask.nii.gz",
        volumes="results/preprocess/sub-{patient}/sub-{patient}_ses-{session}_space-grid_volumes.tsv",
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


rule collect_qc:
    input:
        per_scan(VOLUMES, SAMPLES.index),
        per_scan(rules.resample_scan.output.volumes, SAMPLES.index),
        expand(rules.register_followup.output.qc, patient=PAIRED),
    output:
        qc=report(
            "results/preprocess/qc.tsv", caption="../report/qc.rst", category="Quality control"
        ),
        outcomes="results/cohort/outcomes.tsv",
    log:
        "results/logs/collect_qc.log",
    benchmark:
        "results/benchmarks/collect_qc.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess"),
        settings=section("preprocess.quality"),
        reference=SETTINGS.preprocess.reference,
        rows=rows(SAMPLES.index, "patient_id", "center", "split"),
        sheet=SHEET,
    shell:
        "python -m hemexp collect-qc --samples {params.sheet:q} --settings {params.settings:q} "
        "--reference {params.reference} > {log} 2>&1"


rule preprocess:
    input:
        rules.collect_qc.output,
