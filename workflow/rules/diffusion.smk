"""diffusion: the conditional denoiser of the latent difference."""

DIFFUSION_FILES = paths(RESULTS.network("diffusion"))
# The checkpoint is no output: it outlives a failed job, and the retry goes on from it.
del DIFFUSION_FILES["checkpoint"]

if SETTINGS.diffusion.model is None:

    rule train_diffusion:
        input:
            latents=kept_files(LATENTS, TRAIN),
            scale=SCALE,
            volumes=kept_scans(VOLUMES, TRAIN),
        output:
            **DIFFUSION_FILES,
        log:
            log_file("train_diffusion"),
        benchmark:
            benchmark_file("train_diffusion")
        conda:
            "../../envs/hemexp.yaml"
        threads: 2 * PROCESSES["diffusion"]
        resources:
            mem_mb=growing(4000 * PROCESSES["diffusion"]),
            runtime=growing(2880),
            gpu=GPU * PROCESSES["diffusion"],
        params:
            code=hash_code("diffusion.train"),
            settings=section("diffusion"),
            seed=SETTINGS.seed,
            device=SETTINGS.device,
            rows=rows(TRAIN, "patient_id", *CLINICAL, *HOURS),
            sheet=SHEET,
        shell:
            "$HEMEXP_LAUNCH_DIFFUSION python -m hemexp train-diffusion --samples {params.sheet:q} "
            "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"

else:

    rule adopt_diffusion:
        input:
            released_files("diffusion", "diffusion"),
        output:
            **DIFFUSION_FILES,
        log:
            log_file("adopt_diffusion"),
        benchmark:
            benchmark_file("adopt_diffusion")
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
            "python -m hemexp adopt-diffusion --model {params.model:q} > {log} 2>&1"


DENOISER = (rules.adopt_diffusion if SETTINGS.diffusion.model else rules.train_diffusion).output


rule diffusion:
    input:
        DENOISER,
