"""Run the benchmark: ``python -m bench [--only ROW] [--format json]``."""

import argparse
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.api import API_AIMS, measure_api
from bench.article import ARTICLE_AIMS, measure_article
from bench.compiling import COMPILE_AIMS, measure_compiling
from bench.control_plane import CONTROL_AIMS, measure_control_plane
from bench.logs import LOG_AIMS, measure_logs
from bench.paths import PATH_AIMS, SCALE_AIMS, measure_paths, measure_scales
from bench.populated import POPULATED_AIMS, measure_populated
from bench.registry import REGISTRY_AIMS, measure_registry
from bench.services import SERVICE_AIMS, measure_services
from bench.serving import SERVING_AIMS, measure_serving
from bench.starting import START_AIMS, measure_starting
from bench.table import Aim, Row, render, render_json
from fogbank.cli import needs
from fogbank.testing import RunningRegion, end_region, short_folder, start_region

AIMS = (
    *PATH_AIMS,
    *SCALE_AIMS,
    *API_AIMS,
    *POPULATED_AIMS,
    *COMPILE_AIMS,
    *SERVING_AIMS,
    *SERVICE_AIMS,
    *START_AIMS,
    *CONTROL_AIMS,
    *LOG_AIMS,
    *REGISTRY_AIMS,
    *ARTICLE_AIMS,
)

FOOTNOTES = """\
Subject and baseline are medians of interleaved rounds, the ratio is the median of the rounds' own ratios:
subject to baseline, and for round trips baseline to subject. Connectors' rates are not held here.
direct, nat: from an endpoint of the VPC; connector, direct VPC: from a Cloud Run instance. 500 instances:
their networks only, no containers run in them. How it is measured: docs/reference/benchmarks.md."""


def main() -> int:
    """Measure what was asked for and print the table."""
    options = _options()
    wanted = [aim for aim in AIMS if not options.only or any(part in aim.row for part in options.only)]
    if not wanted:
        sys.exit("no such row; these are there:\n" + "\n".join(f"  {aim.row}" for aim in AIMS))
    if absent := needs.missing():
        sys.exit(f"this machine lacks something: {needs.install_command(absent)}")
    started = time.monotonic()
    rows = list(_measure(wanted))
    facts = machine() | {"seconds": round(time.monotonic() - started)}
    if options.format == "json":
        print(render_json(rows, facts))
        return 0
    missed = sum(not row.met for row in rows)
    print(f"{render(rows)}\n\n{FOOTNOTES}")
    print("; ".join(f"{name} {fact}" for name, fact in facts.items()))
    print(f"{missed} of {len(rows)} rows miss their aim.")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Fogbank, row by row.")
    parser.add_argument(
        "--only", action="append", metavar="ROW", help="rows whose names hold ROW; repeatable"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table")
    return parser.parse_args()


def _measure(wanted: Sequence[Aim]) -> Iterator[Row]:
    for aims, measure in (
        (PATH_AIMS, measure_paths),
        (SCALE_AIMS, measure_scales),
        (API_AIMS, partial(_in_region, measure_api)),
        (REGISTRY_AIMS, partial(_in_region, measure_registry)),
        (SERVING_AIMS, partial(_in_region, measure_serving)),
        (SERVICE_AIMS, partial(_in_region, measure_services)),
        (COMPILE_AIMS, measure_compiling),
        (POPULATED_AIMS, measure_populated),
        (START_AIMS, measure_starting),
        (CONTROL_AIMS, measure_control_plane),
        (LOG_AIMS, measure_logs),
        (ARTICLE_AIMS, measure_article),
    ):
        mine = [aim for aim in wanted if aim in aims]
        if mine and aims is ARTICLE_AIMS and shutil.which("gcloud") is None:
            _say("NOT MEASURED: article 000, because gcloud is not on PATH")
            continue
        if mine:
            _say(
                f"measuring {mine[0].row} …"
                if len(mine) == 1
                else f"measuring {len(mine)} rows from {mine[0].row} …"
            )
            yield from measure(mine)


def _in_region(
    measure: Callable[[Sequence[Aim], RunningRegion], Iterator[Row]], wanted: Sequence[Aim]
) -> Iterator[Row]:
    region = start_region(short_folder(), "--ephemeral")
    try:
        yield from measure(wanted, region)
    finally:
        end_region(region)


def machine() -> dict[str, Any]:
    """Return what was measured on, without saying whose it is."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0] if models else platform.machine(),
        "kernel": platform.release(),
        "load": round(os.getloadavg()[0], 1),
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
