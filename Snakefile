"""hemexp: from raw head CT pairs to forecasts of haemorrhage growth. Rules live in workflow/rules."""

from snakemake.utils import min_version

min_version("9.0")


configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"


# Used with `--sdm apptainer` alone; built from envs/hemexp.def.
container: linked_image()


include: "workflow/rules/phantom.smk"
include: "workflow/rules/preprocess.smk"
include: "workflow/rules/segmentation.smk"
include: "workflow/rules/autoencoder.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/expansion.smk"
include: "workflow/rules/diffusion.smk"
include: "workflow/rules/sampling.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/reporting.smk"
include: "workflow/rules/ablations.smk"


onstart:
    # Snakemake 9 looks for jobs again a second after every look, and so once a second more for every
    # job that has ended: after hundreds it does little else (its issue 2967). Without a limit of
    # jobs a second it looks when a job ends.
    workflow.scheduler.job_rate_limiter = None
    write_json(RESULTS.settings, SETTINGS.as_json())
    if again := trained_again(workflow.dag.needrun_jobs()):
        print(
            f"NOTE: {', '.join(again)} will run again, and all that depends on it: training "
            "patients, settings or code have changed (`snakemake -n` says which). Ctrl-C stops.",
            file=sys.stderr,
            flush=True,
        )


rule all:
    default_target: True
    input:
        paths(RESULTS.report),
        paths(RESULTS.review),
        rules.write_patients.output,
        rules.write_bids.output,
        expand(rules.write_patient_page.output, patient=FORECAST),
        rules.answer_what_if.output,
