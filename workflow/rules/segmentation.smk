"""segmentation: masks of the scans that have none, and how far they may be trusted.

Nothing of it is planned where the sheet names all masks.
"""

# The checkpoint is no output: it outlives a failed job, and the retry goes on from it.
SEGMENTER, FOLD_SEGMENTER = paths(RESULTS.segmenter()), paths(RESULTS.segmenter("{fold}"))
del SEGMENTER["checkpoint"], FOLD_SEGMENTER["checkpoint"]

TRAINING = {
    "code": hash_code("segmentation.folds", "segmentation.train"),
    "settings": section("segmentation"),
    "seed": SETTINGS.seed,
    "device": SETTINGS.device,
    "patients": rows(MASKED, "patient_id"),
    "sheet": SHEET,
}
START = SETTINGS.segmentation.start_from
START_FROM = f"--start-from {shlex.quote(str(models_layout(START).root))}" if START else ""
FOLDS = range(SETTINGS.segmentation.folds)
LEARNED = bool(UNMASKED) and SETTINGS.segmentation.method == "network"


# With a released network there is no rule that trains one.
if SETTINGS.segmentation.model is None:

    rule train_segmentation:
        input:
            [file for image in NATIVE_IMAGES.values() for file in per_scan(image, MASKED)],
            start=model_files(START, "segmentation"),
        output:
            **SEGMENTER,
        log:
            log_file("train_segmentation"),
        benchmark:
            benchmark_file("train_segmentation")
        # Scans wait for it, nothing but scores for those of the folds.
        priority: 1
        conda:
            "../../envs/hemexp.yaml"
        # A network this small gains a tenth from a second core, which trains a fold meanwhile.
        threads: PROCESSES["segmentation"]
        resources:
            mem_mb=for_training,
            runtime=growing(1440),
            gpu=GPU * PROCESSES["segmentation"],
        params:
            **TRAINING,
            fold="",
            start=START_FROM,
        shell:
            "$HEMEXP_LAUNCH_SEGMENTATION python -m hemexp train-segmentation {params.fold} {params.start} "
            "--samples {params.sheet:q} --settings {params.settings:q} --seed {params.seed} "
            "--device {params.device} > {log} 2>&1"

    # A network a fold, which never sees the fold's patients: what it finds is what the error is
    # measured by.
    use rule train_segmentation as train_segmentations with:
        output:
            **FOLD_SEGMENTER,
        log:
            log_file("train_segmentation", "fold-{fold}"),
        benchmark:
            benchmark_file("train_segmentation", "fold-{fold}")
        priority: 0
        params:
            **TRAINING,
            fold="--fold {fold}",
            start=START_FROM,

    rule crossfit_masks:
        input:
            of_fold(NATIVE["ct"]),
            of_fold(NATIVE["brain"]),
            **FOLD_SEGMENTER,
        output:
            paths(RESULTS.crossfit_fold("{fold}")),
        log:
            log_file("crossfit_masks", "fold-{fold}"),
        benchmark:
            benchmark_file("crossfit_masks", "fold-{fold}")
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(6000),
            runtime=growing(240),
            gpu=GPU,
        params:
            code=hash_code("segmentation.folds", "segmentation.segment"),
            device=SETTINGS.device,
            sheet=SHEET,
        shell:
            "python -m hemexp crossfit-masks --fold {wildcards.fold} --samples {params.sheet:q} "
            "--device {params.device} > {log} 2>&1"

    rule score_segmentation:
        input:
            expand(rules.crossfit_masks.output, fold=FOLDS),
            per_scan(NATIVE["iph"], MASKED),
            per_scan(NATIVE["ivh"], MASKED),
        output:
            crossfit=paths(RESULTS.crossfit),
            summary=paths(RESULTS.crossfit_summary),
            errors=paths(RESULTS.error_model),
        log:
            log_file("score_segmentation"),
        benchmark:
            benchmark_file("score_segmentation")
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(60),
        params:
            code=hash_code("segmentation.folds", "segmentation.score"),
            settings=section("segmentation"),
            rows=rows(MASKED, "patient_id", "center"),
            sheet=SHEET,
        shell:
            "python -m hemexp score-segmentation --samples {params.sheet:q} "
            "--settings {params.settings:q} > {log} 2>&1"

else:

    rule adopt_segmentation:
        input:
            released_files("segmentation", "segmentation"),
        output:
            **SEGMENTER,
            errors=paths(RESULTS.error_model),
        log:
            log_file("adopt_segmentation"),
        benchmark:
            benchmark_file("adopt_segmentation")
        localrule: True
        conda:
            "../../envs/hemexp.yaml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            code=hash_code("release.adopt"),
            model=SETTINGS.released()["segmentation"],
        shell:
            "python -m hemexp adopt-segmentation --model {params.model:q} > {log} 2>&1"


rule segment_scan:
    input:
        list(SEGMENTER.values()) if LEARNED else [],
        **rules.strip_unmasked.output,
    output:
        iph=NATIVE["iph"],
        ivh=NATIVE["ivh"],
        picture=NATIVE["picture"],
        volumes=NATIVE["volumes"],
        table=SEGMENTATION,
    log:
        log_file("segment_scan", "{patient}_{session}"),
    benchmark:
        benchmark_file("segment_scan", "{patient}_{session}")
    wildcard_constraints:
        session=these_scans(UNMASKED),
    conda:
        "../../envs/hemexp.yaml"
    resources:
        mem_mb=growing(6000),
        runtime=growing(30),
        gpu=GPU,
    params:
        code=hash_code("preprocess.exclude", "preprocess.unmasked", "segmentation.segment"),
        settings=section("segmentation"),
        device=SETTINGS.device,
    shell:
        "python -m hemexp segment-scan --patient {wildcards.patient} "
        "--session {wildcards.session} --settings {params.settings:q} "
        "--device {params.device} > {log} 2>&1"


# The tables of all scans too: a rule without inputs would run whenever it is asked for.
rule segmentation:
    input:
        SEGMENTED,
        rules.collect_qc.output,
