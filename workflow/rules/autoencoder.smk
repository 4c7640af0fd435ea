"""autoencoder: the multi-head VAE."""

AUTOENCODER_FILES = paths(RESULTS.network("autoencoder"))
# The checkpoint is no output: it outlives a failed job, and the retry goes on from it.
del AUTOENCODER_FILES["checkpoint"]

# With a released model there is no rule that trains one.
if SETTINGS.autoencoder.model is None:

    rule train_autoencoder:
        input:
            kept_scans(GRID_CT, TRAIN),
        output:
            **AUTOENCODER_FILES,
        log:
            log_file("train_autoencoder"),
        benchmark:
            benchmark_file("train_autoencoder")
        conda:
            "../../envs/hemexp.yaml"
        threads: 2 * PROCESSES["autoencoder"]
        resources:
            mem_mb=growing(4000 * PROCESSES["autoencoder"]),
            runtime=growing(1440),
            gpu=GPU * PROCESSES["autoencoder"],
        params:
            code=hash_code("autoencoder.train"),
            settings=section("autoencoder"),
            seed=SETTINGS.seed,
            device=SETTINGS.device,
            patients=rows(TRAIN, "patient_id"),
            sheet=SHEET,
        shell:
            "$HEMEXP_LAUNCH_AUTOENCODER python -m hemexp train-autoencoder --samples {params.sheet:q} "
            "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"

else:

    rule adopt_autoencoder:
        input:
            released_files("autoencoder", "autoencoder"),
        output:
            **AUTOENCODER_FILES,
        log:
            log_file("adopt_autoencoder"),
        benchmark:
            benchmark_file("adopt_autoencoder")
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("release.adopt"),
            model=SETTINGS.released()["autoencoder"],
        shell:
            "python -m hemexp adopt-autoencoder --model {params.model:q} > {log} 2>&1"


AUTOENCODER = (
    rules.adopt_autoencoder if SETTINGS.autoencoder.model else rules.train_autoencoder
).output


rule autoencoder:
    input:
        AUTOENCODER,
