"""autoencoder: the multi-head VAE."""


rule train_autoencoder:
    input:
        kept_scans(GRID_CT, TRAIN),
    output:
        weights="results/autoencoder/model.safetensors",
        model="results/autoencoder/model.json",
        history="results/autoencoder/history.tsv",
    log:
        "results/logs/train_autoencoder.log",
    benchmark:
        "results/benchmarks/train_autoencoder.tsv"
    conda:
        "../../envs/hemexp.yaml"
    threads: 2
    resources:
        mem_mb=growing(6000),
        runtime=growing(1440),
        gpu=GPU,
    params:
        code=hash_code("autoencoder"),
        settings=section("autoencoder"),
        seed=SETTINGS.seed,
        device=SETTINGS.device,
        patients=rows(TRAIN, "patient_id"),
        sheet=SHEET,
    shell:
        "python -m hemexp train-autoencoder --samples {params.sheet:q} --settings {params.settings:q} "
        "--seed {params.seed} --device {params.device} > {log} 2>&1"


rule autoencoder:
    input:
        rules.train_autoencoder.output,
