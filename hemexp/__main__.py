"""`python -m hemexp` is `hemexp`: what every job of the workflow starts."""

import sys

# Where pydicom is installed nibabel loads it, for a header extension that nothing here reads: a
# seventh of a job's start.
sys.modules.setdefault("pydicom", None)

from hemexp.cli import main  # noqa: E402

main()
