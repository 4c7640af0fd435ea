"""latents: posterior means of every scan, cached once; their scale from training patients only."""

# Only a denoiser that is trained here needs what its follow-ups are drawn relative to.
REFERENCE = SETTINGS.latents.reference
REFERENCES = SETTINGS.diffusion.model is None and not REFERENCE.is_baseline

if REFERENCES:

    rule fit_push:
        input:
            kept_scans(GRID_CT, TRAIN),
            kept_scans(VOLUMES, TRAIN),
        output:
            paths(RESULTS.push),
        log:
            log_file("fit_push"),
        benchmark:
            benchmark_file("fit_push")
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(240),
        params:
            code=hash_code("latents.push"),
            sheet=SHEET,
        shell:
            "python -m hemexp fit-push --samples {params.sheet:q} > {log} 2>&1"


# Training patients are encoded in one job: they change together, with the autoencoder.
rule encode_patients:
    input:
        weights=AUTOENCODER.weights,
        scans=kept_scans(GRID_CT, TRAIN + VAL),
        volumes=kept_scans(VOLUMES, TRAIN) if REFERENCES else [],
        push=rules.fit_push.output if REFERENCES else [],
    output:
        latents=expand(LATENTS, patient=TRAIN + VAL),
        scores=expand(RECONSTRUCTION, patient=TRAIN + VAL),
    log:
        log_file("encode_patients"),
    benchmark:
        benchmark_file("encode_patients")
    conda:
        "../../envs/hemexp.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=GPU,
    params:
        code=hash_code("latents.encode"),
        settings=section("latents"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        references="--references" if REFERENCES else "",
        sheet=SHEET,
    shell:
        "python -m hemexp encode-patients --splits train val --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} "
        "{params.references} > {log} 2>&1"


# Every other patient has a job of its own, so that a new one costs only itself.
rule encode_patient:
    input:
        weights=AUTOENCODER.weights,
        scans=grid_scans,
    output:
        latents=LATENTS,
        scores=RECONSTRUCTION,
    log:
        log_file("encode_patient", "{patient}"),
    benchmark:
        benchmark_file("encode_patient", "{patient}")
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
        gpu=GPU,
    params:
        code=hash_code("latents.encode"),
        settings=section("latents"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        sheet=SHEET,
    shell:
        "python -m hemexp encode-patients --patients {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"


# The scale belongs to the denoiser that was trained on it.
if SETTINGS.diffusion.model is None:

    rule fit_scale:
        input:
            latents=kept_files(LATENTS, TRAIN),
            push=rules.fit_push.output if REFERENCES else [],
        output:
            paths(RESULTS.scale),
        log:
            log_file("fit_scale"),
        benchmark:
            benchmark_file("fit_scale")
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(20),
        params:
            code=hash_code("latents.scale"),
            settings=section("latents"),
            sheet=SHEET,
        shell:
            "python -m hemexp fit-scale --samples {params.sheet:q} --settings {params.settings:q} "
            "> {log} 2>&1"

else:

    rule adopt_scale:
        input:
            released_files("diffusion", "scale"),
        output:
            paths(RESULTS.scale),
        log:
            log_file("adopt_scale"),
        benchmark:
            benchmark_file("adopt_scale")
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("release.adopt"),
            model=SETTINGS.released()["diffusion"],
        shell:
            "python -m hemexp adopt-scale --model {params.model:q} > {log} 2>&1"


SCALE = (rules.adopt_scale if SETTINGS.diffusion.model else rules.fit_scale).output


rule latents:
    input:
        SCALE,
        kept_files(LATENTS, [*PATIENTS.index]),
