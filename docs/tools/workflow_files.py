"""What rules write and hand on when the embedded default runs, printed as JSON.

Called in a folder that holds `config/samples.tsv`, with the Snakefile. In a process of its own,
for Snakemake leaves paths, variables and a prefix of the shell behind.
"""

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.jobs import Job
from snakemake.settings.types import DAGSettings, OutputSettings, Quietness, ResourceSettings

ANY = {
    r"sub-[A-Za-z0-9]+": "sub-ID",
    r"ses-(baseline|followup)": "ses-S",
    r"sample-\d+": "sample-K",
    r"fold-\d+": "fold-F",
}
"""Files of one kind are written alike, whatever patient, session, sample or part they are of."""


def kind(path: str) -> str:
    """A path for all files of its kind."""
    for pattern, word in ANY.items():
        path = re.sub(pattern, word, path)
    return path


def planned(snakefile: Path) -> list[Job]:
    """The jobs of a run of the embedded default."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        loaded = api.workflow(ResourceSettings(), snakefile=snakefile)
        with contextlib.redirect_stdout(io.StringIO()):
            loaded.dag(DAGSettings()).printrulegraph()
        # The interface has no public way to the jobs that it has planned.
        return list(loaded._workflow.dag.jobs)


def files_of_rules(jobs: list[Job]) -> dict[str, Any]:
    """What each rule writes; which kinds go from rule to rule, of all patients and of one.

    The one is the first patient whose follow-ups are drawn again with another onset.
    """
    writers = {file: job.rule.name for job in jobs for file in job.output}
    one = min(_patient(job) for job in jobs if job.rule.name == "redraw_what_if")
    writes = {job.rule.name: set() for job in jobs}
    handed, of_one = set(), set()
    for job in jobs:
        writes[job.rule.name] |= set(map(kind, job.output))
        new = {(writers[file], job.rule.name, kind(file)) for file in job.input if file in writers}
        handed |= new
        of_one |= new if _patient(job) == one else set()
    return {"writes": writes, "handed_on": handed, "of_one_patient": of_one}


def _patient(job: Job) -> str | None:
    return job.wildcards.get("patient")


if __name__ == "__main__":
    jobs = planned(Path(sys.argv[1]))
    print(json.dumps(files_of_rules(jobs), default=sorted, sort_keys=True))
