"""The command line: `fogbank up`, `fogbank trace`, … in the manner of gcloud and docker.

It starts regions (through the Linux driver's `world`) and talks to running ones over their operator socket.
The surprising fact: nothing is imported until it is needed, so that `fogbank --help` answers in a blink; a
command lives in `commands/` in a module of its own, which is imported when it is the one that was typed.
"""


def main() -> None:
    """Run the command that was typed and exit with its status."""
    from fogbank.cli.entry import run

    run()
