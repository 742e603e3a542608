"""EmulatorRegressor on RADEX: the defaults beside the thesis' published recipe."""

import argparse
import time

import helpers
import numpy as np

from skastro.datasets import gas_prior
from skastro.emulation import (
    PUBLISHED_PARAMETERS,
    EmulatorRegressor,
    run_simulations,
)
from skastro.metrics import error_factor
from skastro.molecular import RadexModel

#: the thesis' five lines, by molecule: J of the upper level
LINES = {"CO": [3, 6], "HCN": [4], "HCO+": [4], "CS": [7]}
FAINT = 0.01  # K


class Simulator:
    """Radiation temperatures of the ten lowest lines, for blocks of gas."""

    def __init__(self, molecule):
        self.molecule = molecule

    def __call__(self, theta):
        model = RadexModel([f"{self.molecule}(1-0)"])
        solution = model.solve(self.molecule, *theta.T)
        return solution.radiation_temperature[:, :10]


def simulate(molecule, n, seed):
    names = ["temperature", "density", f"column_density_{molecule}"]
    space = gas_prior([molecule]).select(names)
    design = space.sample_latin_hypercube(n, random_state=seed)
    start = time.perf_counter()
    grid = run_simulations(Simulator(molecule), design, vectorized=True, n_jobs=-1)
    return *grid.training_data(), time.perf_counter() - start


def defaults(X, y, X_test, n_train):
    """Logarithmic inputs, one network for ten lines, arcsinh targets."""
    emulator = EmulatorRegressor(random_state=0, extrapolation="ignore")
    Z = np.log10(X[:n_train]).astype(np.float32)
    target = np.arcsinh(y[:n_train] / FAINT)
    _, seconds = helpers.cpu_time(lambda: emulator.fit(Z, target))
    prediction = FAINT * np.sinh(emulator.predict(np.log10(X_test)))
    return prediction, seconds[0], emulator


def published(X, y, X_test, columns):
    """One network a line, L1 loss; T and n(H2) as they are, the column's logarithm."""
    X, X_test = (np.column_stack([x[:, :2], np.log10(x[:, 2])]) for x in (X, X_test))
    parameters = PUBLISHED_PARAMETERS | {"loss": "absolute_error"}
    emulator = EmulatorRegressor(**parameters, random_state=0, extrapolation="ignore")
    _, seconds = helpers.cpu_time(lambda: emulator.fit(X, y[:, columns]))
    return emulator.predict(X_test), seconds[0] / len(columns)


def prediction_times(emulator):
    rows = []
    for dtype in (np.float32, np.float64):
        row = [dtype.__name__]
        for n in (1, 40, 1000, 100_000):
            lower, upper = emulator.domain_
            rng = np.random.default_rng(0)
            X = rng.uniform(lower, upper, (n, 3)).astype(dtype)
            calls = max(3, 20_000 // n)
            emulator.predict(X)
            times = []
            for _ in range(5):
                start = time.perf_counter()
                for _ in range(calls):
                    emulator.predict(X)
                times.append((time.perf_counter() - start) / calls / n * 1e6)
            row.append(helpers.spread(times))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--few", type=int, default=10_000)
    arguments = parser.parse_args()
    rows, totals = [], {}
    for molecule, levels in LINES.items():
        X, y, seconds = simulate(molecule, arguments.models, seed=0)
        X_test, y_test, _ = simulate(molecule, arguments.test, seed=1)
        columns = [level - 1 for level in levels]
        true = y_test[:, columns]
        totals.setdefault("simulations (wall)", []).append(seconds)
        results = {}
        for n in (arguments.models, arguments.few):
            prediction, cost, emulator = defaults(X, y, X_test, n)
            results[f"defaults, {n:,} models"] = prediction[:, columns], cost
        results[f"published, {arguments.models:,} models"] = published(
            X, y, X_test, columns
        )
        for recipe, (prediction, cost) in results.items():
            totals.setdefault(recipe, []).append(cost)
            factors = error_factor(true, prediction, q=[0.5, 0.95, 1.0], minimum=0.1)
            for level, (median, most, worst) in zip(levels, factors.T, strict=True):
                line = f"{molecule}({level}-{level - 1})"
                numbers = [f"{value:.4f}" for value in (median, most)]
                rows.append([line, recipe, *numbers, f"{worst:.3g}", f"{cost:.0f}"])
    rows.sort(key=lambda row: (row[0], row[1]))
    sections = [
        f"Factor within which {arguments.test:,} unseen RADEX models of T_R > 0.1 K are"
        " predicted. Defaults: one network for the ten lowest lines of a molecule,"
        " logarithmic inputs, arcsinh(T_R / 10 mK). Published: one network a line, L1"
        " loss, T and n(H2) linear, log column. Infinite: predictions not positive.",
        helpers.table(
            ["line", "recipe", "median", "95 %", "worst", "CPU s a network"],
            rows,
        ),
        "RADEX for the training set, wall seconds a molecule on all cores: "
        + helpers.spread(totals["simulations (wall)"]),
        "Wall time of `predict` per model [µs]; one thread, ten outputs.",
        helpers.table(
            ["X", "batch 1", "batch 40", "batch 1,000", "batch 100,000"],
            prediction_times(emulator),
        ),
    ]
    helpers.write("emulator", sections, "torch", "skorch", "pytorch-optimizer")


if __name__ == "__main__":
    main()
