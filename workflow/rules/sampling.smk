"""sampling: K coherent follow-ups of every patient to forecast, and of those of `val`."""


rule sample_followups:
    input:
        latents=LATENTS,
        scan=expand(GRID_CT, session="baseline", allow_missing=True),
        volumes=expand(VOLUMES, session="baseline", allow_missing=True),
        mask=error_of_mask,
        features=FEATURES,
        truth=what_happened,
        autoencoder=AUTOENCODER.weights,
        diffusion=DENOISER.weights,
        scale=SCALE,
        expansion=GROWTH.model,
    output:
        volumes=paths(RESULTS.sample_volumes("{patient}")),
        ct=expand(
            paths(RESULTS.sample("{patient}", "{k}").ct),
            k=range(SETTINGS.sampling.kept),
            allow_missing=True,
        ),
        masks=expand(
            paths(RESULTS.sample("{patient}", "{k}").labels),
            k=range(SETTINGS.sampling.kept),
            allow_missing=True,
        ),
        maps=expand(
            paths(RESULTS.sample_map("{patient}", "{map}")),
            map=MAPS,
            allow_missing=True,
        ),
    log:
        log_file("sample_followups", "{patient}"),
    benchmark:
        benchmark_file("sample_followups", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=GPU,
    params:
        code=hash_code("sampling.run"),
        settings=section("sampling"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        row=clinical_row,
        sheet=SHEET,
    shell:
        "python -m hemexp sample-followups --patient {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"


rule redraw_what_if:
    input:
        volumes_drawn=SAMPLED[0],
        map_drawn=paths(RESULTS.sample_map("{patient}", "expansion")),
        latents=LATENTS,
        scan=expand(GRID_CT, session="baseline", allow_missing=True),
        volumes=expand(VOLUMES, session="baseline", allow_missing=True),
        mask=error_of_mask,
        features=FEATURES,
        autoencoder=AUTOENCODER.weights,
        diffusion=DENOISER.weights,
        scale=SCALE,
        expansion=GROWTH.model,
    output:
        DRAWN_WHAT_IF,
    log:
        log_file("redraw_what_if", "{patient}"),
    benchmark:
        benchmark_file("redraw_what_if", "{patient}")
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
        gpu=GPU,
    params:
        code=hash_code("sampling.what_if"),
        settings=section("sampling"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        row=clinical_row,
        sheet=SHEET,
    shell:
        "python -m hemexp redraw-what-if --patient {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"


rule sampling:
    input:
        kept_files(SAMPLED, DRAWN),
        kept_files(DRAWN_WHAT_IF, WHAT_IF),
