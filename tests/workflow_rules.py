"""The rules that run something, as Snakemake itself reads them, printed as JSON.

Called as `workflow_rules.py SNAKEFILE CONFIG...`: rules of all configs. In a process of its own,
for Snakemake leaves paths, variables and a prefix of the shell behind.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

EXAMPLE = {"session": "baseline"}


def of_rule(rule):
    """What a rule says, as JSON can hold it; memory and time as the first two tries ask for."""
    source = Path(rule.snakefile)
    wildcards = {name: EXAMPLE.get(name, "A01") for name in rule.wildcard_names}
    # Where it depends on the patient: of one whose masks are all given.
    group = rule.ruleinfo.group
    tries = [rule.expand_resources(wildcards, [], attempt) for attempt in (1, 2)]
    return {
        "file": source.stem,
        "command": rule.shellcmd,
        "wildcards": sorted(rule.wildcard_names),
        # Those that depend on wildcards are functions.
        "params": {name: None if callable(one) else str(one) for name, one in rule.params.items()},
        "log": list(map(str, rule.log)),
        "benchmark": rule.benchmark and str(rule.benchmark),
        "conda": rule.conda_env and str((source.parent / str(rule.conda_env)).resolve()),
        "group": group(SimpleNamespace(**wildcards)) if callable(group) else group,
        "resources": [dict(one.items()) for one in tries],
    }


def read_rules(snakefile, config):
    """The workflow's rules by name."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        loaded = api.workflow(
            ResourceSettings(), ConfigSettings(configfiles=[config]), snakefile=snakefile
        )
        # The interface has no public way to the rules that it has read.
        return {rule.name: of_rule(rule) for rule in loaded._workflow.rules if rule.is_shell}


if __name__ == "__main__":
    found = {}
    for config in sys.argv[2:]:
        found |= read_rules(Path(sys.argv[1]), Path(config))
    print(json.dumps(found))
