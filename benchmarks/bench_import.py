"""Time of `import skastro` beside `import sklearn`, in fresh interpreters."""

import argparse
import subprocess
import sys
import time

import helpers
import numpy as np


def seconds(code):
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    codes = {
        "nothing": "pass",
        "import skastro": "import skastro",
        "import sklearn": "import sklearn",
        "skastro.EmulatorRegressor": "import skastro; skastro.EmulatorRegressor",
        "sklearn.linear_model.Ridge": "from sklearn.linear_model import Ridge",
    }
    times = np.array(
        [[seconds(code) for code in codes.values()] for _ in range(arguments.repeats)]
    )
    times[:, 1:] -= np.median(times[:, 0])
    rows = [
        [f"`{name}`", helpers.spread(1e3 * column)]
        for name, column in zip(codes, times.T, strict=True)
    ]
    rows[0][0] = "the interpreter (subtracted below)"
    helpers.write(
        "import",
        ["Wall time [ms], median (range).", helpers.table(["", "ms"], rows)],
        "scikit-learn",
    )


if __name__ == "__main__":
    main()
