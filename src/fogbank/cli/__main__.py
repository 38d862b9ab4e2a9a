"""`python -m fogbank.cli`: the same as the program `fogbank`."""

from fogbank.cli import main

main()
