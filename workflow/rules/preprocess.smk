"""preprocess: raw NCCT to checked, skull-stripped, aligned scans on one grid, with QC."""


rule strip_skull:
    input:
        scan_files,
    output:
        **NATIVE,
    log:
        log_file("strip_skull", "{patient}_{session}"),
    benchmark:
        benchmark_file("strip_skull", "{patient}_{session}")
    wildcard_constraints:
        session=other_scans(UNMASKED),
    group:
        before_masks
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=for_scan,
        runtime=growing(10),
    params:
        code=hash_code("preprocess.strip"),
        settings=section("preprocess.skull_strip"),
        raw=section("preprocess.raw"),
        sheet=SHEET,
    shell:
        "python -m hemexp strip-skull --patient {wildcards.patient} --session {wildcards.session} "
        "--samples {params.sheet:q} --settings {params.settings:q} --raw {params.raw:q} "
        "> {log} 2>&1"


rule strip_unmasked:
    input:
        scan_files,
    output:
        ct=NATIVE["ct"],
        brain=NATIVE["brain"],
        stripped=STRIPPED,
    log:
        log_file("strip_unmasked", "{patient}_{session}"),
    benchmark:
        benchmark_file("strip_unmasked", "{patient}_{session}")
    wildcard_constraints:
        session=these_scans(UNMASKED),
    group:
        before_masks
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=for_scan,
        runtime=growing(10),
    params:
        code=hash_code("preprocess.unmasked"),
        settings=section("preprocess.skull_strip"),
        raw=section("preprocess.raw"),
        sheet=SHEET,
    shell:
        "python -m hemexp strip-unmasked --patient {wildcards.patient} "
        "--session {wildcards.session} --samples {params.sheet:q} --settings {params.settings:q} "
        "--raw {params.raw:q} > {log} 2>&1"


rule register_followup:
    input:
        expand([*NATIVE_IMAGES.values()], session=["baseline", "followup"], allow_missing=True),
    output:
        **REGISTERED,
    log:
        log_file("register_followup", "{patient}"),
    benchmark:
        benchmark_file("register_followup", "{patient}")
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess.register"),
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
        log_file("resample_scan", "{patient}_{session}"),
    benchmark:
        benchmark_file("resample_scan", "{patient}_{session}")
    group:
        "patient"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=for_scan,
        runtime=growing(10),
    params:
        code=hash_code("preprocess.resample"),
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
        per_scan(VOLUMES, PATIENTS.index),
        per_scan(GRID["volumes"], PATIENTS.index),
        expand(REGISTERED["qc"], patient=PAIRED),
        SEGMENTED,
    output:
        qc=report(paths(RESULTS.qc), caption="../report/qc.rst", category="Quality control"),
        excluded=paths(RESULTS.excluded),
        outcomes=paths(RESULTS.outcomes),
    log:
        log_file("collect_qc"),
    benchmark:
        benchmark_file("collect_qc")
    localrule: True
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess.collect"),
        settings=section("preprocess"),
        rows=rows(PATIENTS.index, "patient_id", "center", "split"),
        leaves=[*LEAVES.items()],
        sheet=SHEET,
    shell:
        "python -m hemexp collect-qc --samples {params.sheet:q} --settings {params.settings:q} > {log} 2>&1"


rule write_qc:
    input:
        rules.collect_qc.output,
        per_scan(NATIVE["picture"], PATIENTS.index),
        per_scan(GRID["picture"], PATIENTS.index),
        expand(REGISTERED["picture"], patient=PAIRED),
        list(filter(Path.is_file, [accepted_file(SHEET)])),
    output:
        report(
            paths(RESULTS.qc_page),
            caption="../report/qc.rst",
            category="Quality control",
        ),
    log:
        log_file("write_qc"),
    benchmark:
        benchmark_file("write_qc")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(20),
    params:
        code=hash_code("preprocess.page"),
        pages=PAGE_FILES,
        settings=section("preprocess.quality"),
        sheet=SHEET,
    shell:
        "python -m hemexp write-qc --samples {params.sheet:q} --settings {params.settings:q} > {log} 2>&1"


rule preprocess:
    input:
        rules.collect_qc.output,
        rules.write_qc.output,
