"""latents: posterior means of every scan, cached once; their scale from training patients only."""


# Training patients are encoded in one job: they change together, with the autoencoder.
rule encode_patients:
    input:
        weights=AUTOENCODER.weights,
        scans=kept_scans(GRID_CT, TRAIN + VAL),
    output:
        latents=expand(LATENTS, patient=TRAIN + VAL),
        scores=expand(RECONSTRUCTION, patient=TRAIN + VAL),
    log:
        "results/logs/encode_patients.log",
    benchmark:
        "results/benchmarks/encode_patients.tsv"
    conda:
        "../../envs/hemexp.yaml"
    threads: 2
    resources:
        mem_mb=growing(4000),
        runtime=growing(240),
        gpu=GPU,
    params:
        code=hash_code("latents"),
        settings=section("latents"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        sheet=SHEET,
    shell:
        "python -m hemexp encode-patients --splits train val --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"


# Every other patient has a job of its own, so that a new one costs only itself.
rule encode_patient:
    input:
        weights=AUTOENCODER.weights,
        scans=grid_scans,
    output:
        latents=LATENTS,
        scores=RECONSTRUCTION,
    log:
        "results/logs/encode_patient/{patient}.log",
    benchmark:
        "results/benchmarks/encode_patient/{patient}.tsv"
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(20),
        gpu=GPU,
    params:
        code=hash_code("latents"),
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
            kept_files(LATENTS, TRAIN),
        output:
            "results/latents/scale.json",
        log:
            "results/logs/fit_scale.log",
        benchmark:
            "results/benchmarks/fit_scale.tsv"
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(20),
        params:
            code=hash_code("latents"),
            sheet=SHEET,
        shell:
            "python -m hemexp fit-scale --samples {params.sheet:q} > {log} 2>&1"

else:

    rule adopt_scale:
        input:
            released_files("diffusion", "scale"),
        output:
            "results/latents/scale.json",
        log:
            "results/logs/adopt_scale.log",
        benchmark:
            "results/benchmarks/adopt_scale.tsv"
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("released"),
            model=SETTINGS.released()["diffusion"],
        shell:
            "python -m hemexp adopt-scale --model {params.model:q} > {log} 2>&1"


SCALE = (rules.adopt_scale if SETTINGS.diffusion.model else rules.fit_scale).output


rule latents:
    input:
        SCALE,
        kept_files(LATENTS, [*SAMPLES.index]),
