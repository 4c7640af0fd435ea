"""diffusion: the conditional denoiser of the latent difference."""


rule train_diffusion:
    input:
        latents=kept_files(LATENTS, TRAIN),
        scale=rules.fit_scale.output,
        volumes=kept_scans(VOLUMES, TRAIN),
    output:
        weights="results/diffusion/model.safetensors",
        model="results/diffusion/model.json",
        history="results/diffusion/history.tsv",
    log:
        "results/logs/train_diffusion.log",
    benchmark:
        "results/benchmarks/train_diffusion.tsv"
    conda:
        "../../envs/hemexp.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=growing(2880),
        gpu=GPU,
    params:
        code=hash_code("diffusion"),
        settings=section("diffusion"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        rows=rows(TRAIN, "patient_id", *NUMBERS),
        sheet=SHEET,
    shell:
        "python -m hemexp train-diffusion --samples {params.sheet:q} --settings {params.settings:q} "
        "--seed {params.seed} --device {params.device} > {log} 2>&1"


rule diffusion:
    input:
        rules.train_diffusion.output,
