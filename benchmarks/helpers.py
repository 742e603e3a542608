"""What every benchmark needs: the environment, times with their spread, a table."""

import os

# one thread, so that CPU time is wall time and peers are alike
os.environ.setdefault("OMP_NUM_THREADS", "1")

import importlib
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
SHARED = Path(__file__).parents[2] / "shared" / "data"


def semireal_apogee():
    """Return the module that makes semi-real stars, None where it is absent."""
    folder = SHARED.parent / "tools"
    if not (folder / "semireal_apogee.py").exists():
        return None
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module("semireal_apogee")


def environment(*packages):
    """Describe the machine and the versions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1] for line in lines if "model name" in line).strip()
    except (OSError, StopIteration):
        cpu = platform.processor()
    versions = ", ".join(f"{name} {version(name)}" for name in ("skastro", *packages))
    threads = os.environ["OMP_NUM_THREADS"]
    return (
        f"Python {platform.python_version()}, {versions}; {cpu},"
        f" {os.cpu_count()} cores, {threads} thread(s)"
    )


def cpu_time(function, repeats=1):
    """Return the last result and the CPU seconds of each call."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return result, np.array(times)


def side_by_side(first, second, repeats):
    """Time two functions in turn; return their times and the ratio second / first."""
    times = np.array(
        [[cpu_time(f)[1][0] for f in (first, second)] for _ in range(repeats)]
    )
    return times[:, 0], times[:, 1], times[:, 1] / times[:, 0]


def spread(values, digits=3):
    """Write median and range."""
    values = np.atleast_1d(values)
    text = f"{np.median(values):.{digits}g}"
    if len(values) > 1:
        text += f" ({values.min():.{digits}g}–{values.max():.{digits}g})"
    return text


def table(header, rows):
    """Write a Markdown table."""
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    lines.insert(1, "|" + "---|" * len(header))
    return "\n".join(lines)


def write(name, sections, *packages):
    """Print sections and write them to results/name.md."""
    command = shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]])
    text = "\n\n".join(
        [f"# {name}", f"`{command}`  \n{environment(*packages)}", *sections]
    )
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(text)
