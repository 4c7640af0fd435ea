"""`python -m hemexp` is `hemexp`."""

from hemexp.cli import main

main()
