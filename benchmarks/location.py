"""How well the location of a bleed is told on phantom patients whose sites are known.

python benchmarks/location.py [RESULTS]

RESULTS is the folder of a finished run on phantom patients, `results` by default. Of every patient
the rule of `hemexp.anatomy.location` is held against the site that the phantom drew.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from hemexp.anatomy.location import bleed_location
from hemexp.grid_scan import read_grid_scan
from hemexp.layout import RESULTS, Layout
from hemexp.tables import read_table


def main(root: Path) -> None:
    """Prints how many bleeds of each site are told to lie where."""
    layout, rows = Layout(root), []
    for name in read_table(layout.outcomes)["patient_id"]:
        scan = read_grid_scan(layout, name, "baseline")
        told = bleed_location(scan.iph, scan.brain, scan.ct.spacing_mm)
        rows.append({"site": json.loads(layout.truth(name).read_text())["site"], "told": told})
    print(pd.DataFrame(rows).value_counts(["site", "told"]).sort_index().to_string())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else RESULTS))
