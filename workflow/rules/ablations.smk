"""ablations: the cohort again with one part of the method changed, a run of its own each."""

# Not with released models: an ablation trains its own.
if not SETTINGS.released():

    # It begins where the main run has ended: all that is shared stands then.
    rule run_ablation:
        input:
            rules.summarise_scores.output,
        output:
            [paths(RESULTS.ablation("{ablation}", table)) for table in KEPT],
        log:
            log_file("run_ablation", "{ablation}"),
        benchmark:
            benchmark_file("run_ablation", "{ablation}")
        wildcard_constraints:
            ablation="|".join([AS_DESIGNED, *OVERRIDES]),
        conda:
            "../../envs/hemexp.yaml"
        threads: 2 * max(PROCESSES.values())
        resources:
            mem_mb=growing(8000 * max(PROCESSES.values())),
            runtime=growing(2880),
            gpu=GPU * max(PROCESSES.values()),
        params:
            code=hash_code("desk.ablations"),
            settings=lambda wildcards: canonical_json(
                ablated(wildcards).model_dump(mode="json", exclude={"reporting"})
            ),
            shared=lambda wildcards: shared_rooms(SETTINGS, ablated(wildcards)),
            sheet=SHEET,
        shell:
            "python -m hemexp run-ablation --ablation {wildcards.ablation} "
            "--samples {params.sheet:q} --settings {params.settings:q} --shared {params.shared} "
            "--cores {threads} > {log} 2>&1"

    rule ablations:
        input:
            expand(rules.run_ablation.output, ablation=[AS_DESIGNED, *OVERRIDES]),
