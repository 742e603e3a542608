"""Emulators of gas with electrons and of hyperfine structure: errors, line by line."""

import argparse

import helpers
import numpy as np

from skastro.datasets import gas_prior
from skastro.emulation import EmulatorRegressor
from skastro.molecular import RadexEmulator, RadexModel, line_catalogue
from skastro.parameter_space import ParameterSpace, Uniform


def brightest(species, n):
    """Return the n lines of lowest upper energy that radio telescopes see."""
    lines = sorted(line_catalogue(species), key=lambda line: line.upper_energy)
    return [line.name for line in lines if line.einstein_a > 0][:n]


CASES = {
    "C+, H2 and H and e": (["[CII] 158um"], ("H2", "H", "e"), (20, 500)),
    "CN, H2 and e": (brightest("CN", 9), ("H2", "e"), (10, 300)),
    "OH hyperfine, H2": (brightest("OH", 12), ("H2",), (15, 200)),
}


def case(name, n_models, seed):
    """Train and test one emulator; return its rows of the table."""
    lines, partners, temperatures = CASES[name]
    settings = {"partners": partners, "column_density": "per line width"}
    if "e" in partners:
        settings["electrons"] = "fraction"
    settings["overlap"] = "ignore"  # of lines up to 100 km/s wide, some of which do
    radex = RadexModel(lines, **settings)
    parameters = gas_prior(model=radex).parameters
    parameters["temperature"] = Uniform(*temperatures, "K")
    parameters["filling_factor"] = Uniform(1e-3, 1)
    space = ParameterSpace(parameters)
    theta = space.sample_latin_hypercube(n_models, random_state=seed)
    unseen = space.sample(2000, random_state=seed + 1)
    unseen[:, -1] = 1.0
    emulator = RadexEmulator(
        lines, EmulatorRegressor(random_state=seed), extrapolation="ignore", **settings
    )
    target, truth = radex.predict(theta), radex.predict(unseen)
    _, seconds = helpers.cpu_time(lambda: emulator.fit(theta, target))
    found = emulator.predict(unseen)
    # in units of K, as a line is measured: its error above a noise of 1 mK x width
    width = unseen[:, radex.parameter_names.index("line_width")]
    floor = 1e-3 * width[:, None]
    seen = np.abs(truth) > 10 * floor
    rows = []
    for i, line in enumerate(radex.output_names):
        error = np.abs(found[:, i] / truth[:, i] - 1)[seen[:, i]]
        rows.append(
            (
                name if i == 0 else "",
                line,
                int(seen[:, i].sum()),
                *(f"{100 * np.quantile(error, q):.2f} %" for q in (0.5, 0.95, 0.99)),
                f"{seconds[0]:.0f} s" if i == 0 else "",
            )
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rows = [row for name in CASES for row in case(name, args.models, args.seed)]
    text = (
        f"`RadexEmulator` of {args.models:,} models each, with the network of default"
        " size, on 2,000 unseen models of `gas_prior`: relative error of lines brighter"
        " than 0.01 K."
    )
    header = ("gas", "line", "bright", "median", "95 %", "99 %", "training")
    sections = [text, helpers.table(header, rows)]
    helpers.write("emulator_partners", sections, "numpy", "torch", "skorch")


if __name__ == "__main__":
    main()
