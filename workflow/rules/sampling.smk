"""sampling: K coherent follow-ups of every patient to forecast, and of those of `val`."""


rule sample_followups:
    input:
        latents=LATENTS,
        scan=expand(GRID_CT, session="baseline", allow_missing=True),
        volumes=expand(VOLUMES, session="baseline", allow_missing=True),
        features=FEATURES,
        truth=what_happened,
        autoencoder=AUTOENCODER.weights,
        diffusion=DENOISER.weights,
        scale=SCALE,
        expansion=GROWTH.model,
    output:
        volumes="results/samples/sub-{patient}/volumes.tsv",
        ct=expand(
            "results/samples/sub-{patient}/sub-{patient}_sample-{k}_ct.nii.gz",
            k=range(SETTINGS.sampling.samples),
            allow_missing=True,
        ),
        masks=expand(
            "results/samples/sub-{patient}/sub-{patient}_sample-{k}_dseg.nii.gz",
            k=range(SETTINGS.sampling.samples),
            allow_missing=True,
        ),
        maps=expand(
            "results/samples/sub-{patient}/sub-{patient}_desc-{map}_probseg.nii.gz",
            map=["iph", "ivh", "expansion"],
            allow_missing=True,
        ),
    log:
        "results/logs/sample_followups/{patient}.log",
    benchmark:
        "results/benchmarks/sample_followups/{patient}.tsv"
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(60),
        gpu=GPU,
    params:
        code=hash_code("sampling"),
        settings=section("sampling"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        row=clinical_row,
        sheet=SHEET,
    shell:
        "python -m hemexp sample-followups --patient {wildcards.patient} --samples {params.sheet:q} "
        "--settings {params.settings:q} --seed {params.seed} --device {params.device} > {log} 2>&1"


rule sampling:
    input:
        kept_files(SAMPLED, DRAWN),
