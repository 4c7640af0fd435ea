"""The rules and files of a cohort of scanner patients, without sheet, settings and package.

What Snakemake itself needs for such a workflow: `benchmarks/scale.py` compares the real one with
it. `patients` is a file of lines `patient split`; `samples` the number of samples of a patient.
"""

with open(config["patients"]) as lines:
    SPLIT = dict(line.split() for line in lines)
TRAIN, VAL, TEST, PREDICT = (
    [patient for patient, split in SPLIT.items() if split == name]
    for name in ("train", "val", "test", "predict")
)
SESSIONS = {
    patient: ("baseline",) if split == "predict" else ("baseline", "followup")
    for patient, split in SPLIT.items()
}
PAIRED = TRAIN + VAL + TEST
K = range(int(config["samples"]))
P = "results/preprocess/sub-{patient}/sub-{patient}_"
S = P + "ses-{session}_"
IMAGES = ("ct.nii.gz", "desc-iph_mask.nii.gz", "desc-ivh_mask.nii.gz", "desc-brain_mask.nii.gz")
FILES = (*IMAGES, "qc.png", "volumes.tsv")
PAIR = (
    "from-followup_to-baseline_mode-image_xfm.tfm",
    "desc-registration_qc.tsv",
    "desc-checkerboard_qc.png",
)
LATENTS = "results/latents/sub-{patient}/sub-{patient}_latents.safetensors"
FEATURES = "results/expansion/sub-{patient}/sub-{patient}_features.tsv"
RECONSTRUCTION = "results/latents/sub-{patient}/sub-{patient}_reconstruction.tsv"
SAMPLE = "results/samples/sub-{patient}/sub-{patient}_"
SAMPLED = ["results/samples/sub-{patient}/volumes.tsv", SAMPLE + f"sample-{K[-1]}_dseg.nii.gz"]

POOLED = "results/evaluation/sub-{patient}/sub-{patient}_desc-expansion_pooled-probseg.nii.gz"


wildcard_constraints:
    patient="[A-Za-z0-9]+",
    session="baseline|followup",


def scans(ending, patients):
    return [
        (S + ending).format(patient=patient, session=session)
        for patient in patients
        for session in SESSIONS[patient]
    ]


def linked(wildcards):
    if wildcards.session == "baseline":
        return []
    brain = S.format(patient=wildcards.patient, session="baseline")
    return [f"{brain}space-native_{IMAGES[3]}", P.format(patient=wildcards.patient) + PAIR[0]]


def once(name, *wildcards):
    """Log and benchmark of a rule."""
    stem = "/".join([name, "_".join(wildcards)] if wildcards else [name])
    return f"results/logs/{stem}.log", f"results/benchmarks/{stem}.tsv"


rule all:
    input:
        "results/report/index.html",


rule strip_skull:
    input:
        lambda w: [f"raw/{w.patient}_{w.session}_{i}.nii.gz" for i in ("ct", "iph", "ivh")],
    output:
        [f"{S}space-native_{ending}" for ending in FILES],
    log:
        once("strip_skull", "{patient}", "{session}")[0],
    benchmark:
        once("strip_skull", "{patient}", "{session}")[1]
    group:
        "patient"
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "true"


rule register_followup:
    input:
        expand(
            [f"{S}space-native_{e}" for e in IMAGES],
            session=["baseline", "followup"],
            allow_missing=True,
        ),
    output:
        [P + ending for ending in PAIR],
    log:
        once("register_followup", "{patient}")[0],
    benchmark:
        once("register_followup", "{patient}")[1]
    group:
        "patient"
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=3000,
        runtime=20,
    shell:
        "true"


rule resample_scan:
    input:
        linked,
        [f"{S}space-native_{ending}" for ending in IMAGES],
    output:
        [f"{S}space-grid_{ending}" for ending in FILES],
    log:
        once("resample_scan", "{patient}", "{session}")[0],
    benchmark:
        once("resample_scan", "{patient}", "{session}")[1]
    group:
        "patient"
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "true"


checkpoint collect_qc:
    input:
        scans("space-native_volumes.tsv", SPLIT),
        scans("space-grid_volumes.tsv", SPLIT),
        expand(P + PAIR[1], patient=PAIRED),
    output:
        "results/preprocess/qc.tsv",
        "results/preprocess/excluded.tsv",
        "results/cohort/outcomes.tsv",
    log:
        once("collect_qc")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule write_qc:
    input:
        rules.collect_qc.output,
        scans("space-native_qc.png", SPLIT),
        scans("space-grid_qc.png", SPLIT),
        expand(P + PAIR[2], patient=PAIRED),
    output:
        "results/preprocess/qc.html",
    log:
        once("write_qc")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule train_autoencoder:
    input:
        scans("space-grid_ct.nii.gz", TRAIN),
    output:
        multiext("results/autoencoder/", "model.safetensors", "model.json", "history.tsv"),
    log:
        once("train_autoencoder")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule fit_push:
    input:
        scans("space-grid_ct.nii.gz", TRAIN),
        scans("space-native_volumes.tsv", TRAIN),
    output:
        "results/latents/push.json",
    log:
        once("fit_push")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule encode_patients:
    input:
        "results/autoencoder/model.safetensors",
        scans("space-grid_ct.nii.gz", TRAIN + VAL),
        scans("space-native_volumes.tsv", TRAIN),
        rules.fit_push.output,
    output:
        expand([LATENTS, RECONSTRUCTION], patient=TRAIN + VAL),
    log:
        once("encode_patients")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule encode_patient:
    input:
        "results/autoencoder/model.safetensors",
        lambda w: scans("space-grid_ct.nii.gz", [w.patient]),
    output:
        LATENTS,
        RECONSTRUCTION,
    log:
        once("encode_patient", "{patient}")[0],
    benchmark:
        once("encode_patient", "{patient}")[1]
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=4000,
        runtime=20,
        gpu=1,
    shell:
        "true"


rule fit_scale:
    input:
        expand(LATENTS, patient=TRAIN),
        rules.fit_push.output,
    output:
        "results/latents/scale.json",
    log:
        once("fit_scale")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule measure_bleeds:
    input:
        expand(f"{P}ses-baseline_space-native_{IMAGES[0]}", patient=TRAIN + VAL),
        expand(f"{P}ses-baseline_space-grid_{IMAGES[0]}", patient=TRAIN + VAL),
        expand(f"{P}ses-baseline_space-native_volumes.tsv", patient=TRAIN + VAL),
    output:
        expand(FEATURES, patient=TRAIN + VAL),
    log:
        once("measure_bleeds")[0],
    benchmark:
        once("measure_bleeds")[1]
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=120,
    shell:
        "true"


rule measure_bleed:
    input:
        f"{P}ses-baseline_space-native_{IMAGES[0]}",
        f"{P}ses-baseline_space-grid_{IMAGES[0]}",
        f"{P}ses-baseline_space-native_volumes.tsv",
    output:
        FEATURES,
    log:
        once("measure_bleed", "{patient}")[0],
    benchmark:
        once("measure_bleed", "{patient}")[1]
    wildcard_constraints:
        patient="|".join(TEST + PREDICT) or "none",
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "true"


rule fit_expansion:
    input:
        scans("space-native_volumes.tsv", TRAIN),
        expand(FEATURES, patient=TRAIN),
    output:
        multiext("results/expansion/", "model.json", "training.tsv"),
    log:
        once("fit_expansion")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule predict_expansion:
    input:
        rules.fit_expansion.output,
        expand(f"{P}ses-baseline_space-native_volumes.tsv", patient=SPLIT),
        expand(FEATURES, patient=SPLIT),
    output:
        multiext("results/expansion/", "predictions.tsv", "forecasts.tsv"),
    log:
        once("predict_expansion")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule answer_what_if:
    input:
        rules.fit_expansion.output,
        expand(f"{P}ses-baseline_space-native_volumes.tsv", patient=VAL + TEST + PREDICT),
        expand(FEATURES, patient=VAL + TEST + PREDICT),
    output:
        "results/expansion/what_if.tsv",
    log:
        once("answer_what_if")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule train_diffusion:
    input:
        expand(LATENTS, patient=TRAIN),
        rules.fit_scale.output,
        scans("space-native_volumes.tsv", TRAIN),
    output:
        multiext("results/diffusion/", "model.safetensors", "model.json", "history.tsv"),
    log:
        once("train_diffusion")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule sample_followups:
    input:
        LATENTS,
        f"{P}ses-baseline_space-grid_{IMAGES[0]}",
        f"{P}ses-baseline_space-native_volumes.tsv",
        FEATURES,
        "results/autoencoder/model.safetensors",
        "results/diffusion/model.safetensors",
        rules.fit_scale.output,
        "results/expansion/model.json",
    output:
        SAMPLED[0],
        [f"{SAMPLE}sample-{k}_{ending}.nii.gz" for k in K for ending in ("ct", "dseg")],
        [f"{SAMPLE}desc-{name}_probseg.nii.gz" for name in ("iph", "ivh", "expansion")],
    log:
        once("sample_followups", "{patient}")[0],
    benchmark:
        once("sample_followups", "{patient}")[1]
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=1,
    shell:
        "true"


rule fit_climatology:
    input:
        scans("space-grid_ct.nii.gz", TRAIN),
    output:
        "results/evaluation/climatology.tsv",
    log:
        once("fit_climatology")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule fit_pool:
    input:
        expand(SAMPLED, patient=VAL),
        scans("space-grid_ct.nii.gz", VAL),
        rules.fit_climatology.output,
    output:
        "results/evaluation/pool.tsv",
    log:
        once("fit_pool")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule pool_map:
    input:
        SAMPLED,
        f"{P}ses-baseline_space-grid_{IMAGES[0]}",
        rules.fit_climatology.output,
        rules.fit_pool.output,
    output:
        POOLED,
    log:
        once("pool_map", "{patient}")[0],
    benchmark:
        once("pool_map", "{patient}")[1]
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    shell:
        "true"


rule score_patient:
    input:
        SAMPLED,
        POOLED,
        lambda w: scans("space-grid_ct.nii.gz", [w.patient]),
        rules.fit_climatology.output,
        rules.fit_scale.output,
    output:
        "results/evaluation/sub-{patient}/sub-{patient}_scores.tsv",
        "results/evaluation/sub-{patient}/sub-{patient}_maps.tsv",
        "results/evaluation/sub-{patient}/sub-{patient}_consistency.tsv",
    log:
        once("score_patient", "{patient}")[0],
    benchmark:
        once("score_patient", "{patient}")[1]
    conda:
        "../envs/hemexp.yaml"
    resources:
        mem_mb=2000,
        runtime=20,
    shell:
        "true"


rule summarise_scores:
    input:
        "results/cohort/outcomes.tsv",
        expand(SAMPLED, patient=TEST),
        expand(rules.score_patient.output, patient=TEST),
        rules.predict_expansion.output,
    output:
        "results/evaluation/metrics.json",
    log:
        once("summarise_scores")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule write_tables:
    input:
        rules.summarise_scores.output,
    output:
        "results/tables/cohort.csv",
    log:
        once("write_tables")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule draw_figures:
    input:
        rules.summarise_scores.output,
        expand([*SAMPLED, POOLED], patient=TEST + PREDICT),
    output:
        "results/figures/panels.png",
    log:
        once("draw_figures")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"


rule write_report:
    input:
        rules.write_tables.output,
        rules.draw_figures.output,
        rules.write_qc.output,
        rules.answer_what_if.output,
    output:
        "results/report/index.html",
    log:
        once("write_report")[0],
    conda:
        "../envs/hemexp.yaml"
    shell:
        "true"
