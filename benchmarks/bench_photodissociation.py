"""Retrieval of photodissociation regions from tables of lines in mixed units: how often
68 % intervals hold the truth."""

import argparse
import time

import helpers
import numpy as np
from astropy import constants
from astropy import units as u
from astropy.table import Table
from scipy import stats

from skastro.io import read_line_table
from skastro.molecular import RadexModel, find_lines
from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

#: Lines; unit in which they are published; beam [arcsec]; noise [K km/s].
LINES = [
    ("[CII] 158um", "W / m2", 15.0, 1.0),
    ("[CI] 1-0", "W / m2", 13.0, 0.5),
    ("[CI] 2-1", "W / m2", 13.0, 0.5),
    ("CO(1-0)", "Jy km / s", 22.0, 1.0),
    ("CO(2-1)", "Jy km / s", 22.0, 1.0),
    ("CO(3-2)", "Jy km / s", 14.0, 1.0),
    ("CO(4-3)", "Jy km / s", 14.0, 0.7),
    ("CO(5-4)", "Jy km / s", 14.0, 0.7),
    ("CO(6-5)", "Jy km / s", 9.0, 0.7),
]
#: The one that is not detected, at 3 sigma.
LIMIT = 8
PRIOR = {
    "temperature": LogUniform(20 * u.K, 200 * u.K),
    "density": LogUniform(1e3, 1e6, "cm-3"),
    "density_H": LogUniform(1e2, 1e5, "cm-3"),
    "electron_fraction": LogUniform(1e-6, 1e-3),
    "column_density_C+": LogUniform(1e16, 1e18, "cm-2 km-1 s"),
    "column_density_C": LogUniform(1e16, 1e18, "cm-2 km-1 s"),
    "column_density_CO": LogUniform(1e16, 1e18, "cm-2 km-1 s"),
    "line_width": Uniform(2.0, 3.0, "km / s"),
    "filling_factor": Uniform(0.3, 1.0),
}


def model():
    return RadexModel(
        [name for name, *_ in LINES],
        partners=("H2", "H", "e"),
        electrons="fraction",
        missing_rates={"CO": ["H", "e"]},
        column_density="per line width",
    )


def synthetic(radex, prior, n, rng):
    """Return truths, and what is observed, of regions in which one line is not seen."""
    noise = np.array([sigma for *_, sigma in LINES])
    kept, observed = [], []
    while sum(map(len, kept)) < n:
        theta = prior.sample(4 * n, random_state=rng)
        y = radex.predict(theta)
        y += noise * rng.standard_normal(y.shape)
        dark = y[:, LIMIT] < 3 * noise[LIMIT]
        kept.append(theta[dark])
        observed.append(y[dark])
    return np.concatenate(kept)[:n], np.concatenate(observed)[:n], noise


def published(y, noise):
    """Return a table of lines in the units in which they are published.

    By the definitions, not by skastro's conversions: a brightness temperature of the
    Rayleigh-Jeans law over a Gaussian beam, and a flux of so much velocity as so much
    frequency.
    """
    rows = []
    for i, (name, unit, beam, _) in enumerate(LINES):
        nu = find_lines([name])[0].frequency * u.GHz
        solid_angle = np.pi * (beam * u.arcsec) ** 2 / (4 * np.log(2))
        per_kelvin = (2 * constants.k_B * nu**2 / constants.c**2 * solid_angle).to(
            "Jy / K", u.dimensionless_angles()
        )
        factor = per_kelvin * u.K * u.km / u.s
        if unit == "W / m2":
            factor = factor * nu / constants.c
        factor = factor.to_value(unit)
        flag = "<" if i == LIMIT else ""
        value = 3 * noise[i] if i == LIMIT else y[i]
        rows.append((name, flag, value * factor, noise[i] * factor, unit, beam))
    names = ["line", "l_flux", "flux", "e_flux", "unit", "beam [arcsec]"]
    return Table(rows=rows, names=names)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.RandomState(args.seed)
    prior, radex = ParameterSpace(PRIOR), model()
    truth, y, noise = synthetic(radex, prior, args.objects, rng)
    tables = [
        read_line_table(published(row, noise), source_size=np.inf * u.arcsec)
        for row in y
    ]
    arguments = [table.fit_arguments() for table in tables]
    columns = {
        name: np.column_stack([given[name] for given in arguments])
        for name in ("y", "sigma", "upper_limit")
    }
    retrieval = BayesianRetrieval(
        radex, prior, sampler="importance", min_ess=100, random_state=args.seed
    )
    start = time.process_time()
    retrieval.fit(arguments[0]["X"], **columns)
    cpu = time.process_time() - start
    posteriors = retrieval.posterior_
    rows = []
    for i, name in enumerate(prior.names):
        place = np.array(
            [
                p.weights @ (p.weighted_samples[:, i] < t)
                for p, t in zip(posteriors, truth[:, i], strict=True)
            ]
        )
        n_68 = np.count_nonzero(np.abs(place - 0.5) < 0.3413)
        n_95 = np.count_nonzero(np.abs(place - 0.5) < 0.475)
        rows.append(
            (
                name,
                n_68,
                f"{stats.binomtest(n_68, len(place), 0.6827).pvalue:.2f}",
                n_95,
                f"{stats.kstest(place, 'uniform').pvalue:.2f}",
            )
        )
    n = len(truth)
    header = ("parameter", "in 68 %", "p", "in 95 %", "p, ranks uniform")
    text = (
        f"{n} regions drawn from the prior, in which CO(6-5) is below its limit: [CII]"
        " and [CI] in W m^-2, CO in Jy km/s, of beams of 9 to 22 arcsec, read from"
        " tables. Number of regions whose 68 and 95 % intervals hold the truth, and how"
        " probable a number so far from what is expected is."
    )
    cost = (
        f"CPU time {cpu / n:.2f} s a region; effective sample size"
        f" {helpers.spread([p.effective_sample_size for p in posteriors])};"
        f" {int(np.sum(retrieval.n_calls_))} models in all."
    )
    sections = [text, helpers.table(header, rows), cost]
    helpers.write("photodissociation", sections, "numpy", "astropy", "ultranest")


if __name__ == "__main__":
    main()
