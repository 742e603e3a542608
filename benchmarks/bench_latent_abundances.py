"""Abundances [X/Fe] from the latents of disentanglers: RMSE by element, and coverage.

Synthetic red giants whose temperature, gravity and [Fe/H] are known to disentanglers;
abundances of the training stars are known to the regression on their latents.
"""

import argparse

import helpers
import numpy as np
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_twin_spectra
from skastro.decomposition import ProbabilisticPCA
from skastro.disentangling import (
    ConditionalFactorAnalysis,
    FactorDisentangler,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.labels import LabelRegressor, LatentRegressor
from skastro.metrics import label_errors
from skastro.model_selection import CalibratedRegressor
from skastro.preprocessing import append_conditions

N_TEST = 1000
CONDITIONS = slice(-3, None)


def stars(n, snr, seed):
    """Return stars of which no two are twins: spectra, labels and [X/Fe]."""
    data = make_twin_spectra(n, snr=snr, random_state=seed)
    return data.X[::2], data.u[::2], data.abundances[::2], data


def limit(model, u, abundances, snr):
    """Return the errors of [X/Fe] that noise and the population allow.

    All labels are known, and what the other abundances are is not: the Fisher
    information of a spectrum and that of the population together.
    """
    information = model.information(u[:, :2], abundances, snr=snr, known=["Fe"])
    prior = np.linalg.inv(np.cov(abundances[:, 1:].T))
    covariance = np.linalg.inv(information + prior)
    return np.sqrt(np.einsum("nii->ni", covariance))


def row(name, errors, fit):
    """Return a row of the table of one set of stars."""
    if errors.within is None:
        inside = pull = "–"
    else:
        low, high = errors.within.min(), errors.within.max()
        inside = f"{errors.within.mean():.3f} ({low:.2f}–{high:.2f})"
        pull = f"{np.sqrt(np.mean(errors.pull**2)):.2f}"
    return [
        name,
        f"{np.median(errors.rmse):.4f}",
        *(f"{rmse:.3f}" for rmse in errors.rmse),
        inside,
        pull,
        fit,
    ]


def others(before, train, test, y, truth, names):
    """Return the rows of other regressions on the same latents."""
    Z, Z_test = before.transform(train), before.transform(test)
    k = getattr(before, "n_components_", Z.shape[1])  # the rest are covariances
    Z, Z_test = Z[:, :k].astype(float), Z_test[:, :k].astype(float)
    found = [
        BayesianRidge().fit(Z, label).predict(Z_test, return_std=True) for label in y.T
    ]
    errors = label_errors(truth, *np.array(found).transpose(1, 2, 0), names=names)
    rows = [row("… BayesianRidge", errors, "")]
    model = LabelRegressor().fit(Z, y)
    errors = label_errors(truth, *model.predict(Z_test, return_std=True), names=names)
    return [*rows, row("… LabelRegressor", errors, "")]


def one_case(n, snr, networks):
    """Return the rows of one size of training set and one signal-to-noise ratio."""
    S, u, abundances, data = stars(n, snr, 1)
    S_test, u_test, a_test, _ = stars(N_TEST, snr, 2)
    X, X_test = append_conditions(S, u), append_conditions(S_test, u_test)
    y, truth, names = abundances[:, 1:], a_test[:, 1:], data.element_names[1:]
    held_out = ShuffleSplit(1, test_size=0.2, random_state=0)
    found = {
        "PolyDisentangler": PolyDisentangler(CONDITIONS, random_state=0),
        "ConditionalFactorAnalysis": ConditionalFactorAnalysis(
            CONDITIONS, with_covariance=True, random_state=0
        ),
        "FaderDisentangler": FaderDisentangler(CONDITIONS, random_state=0),
        "FactorDisentangler": FactorDisentangler(CONDITIONS, random_state=0),
        "ProbabilisticPCA(50) of spectra": ProbabilisticPCA(50, random_state=0),
    }
    rows = []
    for name, before in found.items():
        network = name in ("FaderDisentangler", "FactorDisentangler")
        if network and not networks:
            continue
        aware = getattr(before, "with_covariance", False)
        inputs = (S, S_test) if "spectra" in name else (X, X_test)
        model = make_pipeline(before, LatentRegressor(with_covariance=aware))
        calibrate = not network and snr is not None
        if calibrate:
            calibrated = CalibratedRegressor(model, cv=held_out)
            _, (fit,) = helpers.cpu_time(lambda m=calibrated, x=inputs[0]: m.fit(x, y))
            model = calibrated.estimator_
        else:
            _, (fit,) = helpers.cpu_time(lambda m=model, x=inputs[0]: m.fit(x, y))
        labels, std = model.predict(inputs[1], return_std=True)
        errors = label_errors(truth, labels, std, names=names)
        rows.append(row(f"**{name}**", errors, f"{fit:.1f}"))
        print(*rows[-1], flush=True)
        if calibrate:
            std = std * calibrated.error_scale_
            errors = label_errors(truth, labels, std, names=names)
            rows.append(row("… CalibratedRegressor, 20 % left out", errors, ""))
        rows += others(model[0], *inputs, y, truth, names)
        print(*rows[-3:], sep="\n", flush=True)
    direct = LabelRegressor()
    labels_of = np.column_stack([u[:, :2], abundances])
    _, (fit,) = helpers.cpu_time(lambda: direct.fit(S, labels_of))
    labels, std = direct.predict(S_test, return_std=True)
    errors = label_errors(truth, labels[:, 3:], std[:, 3:], names=names)
    rows.append(row("LabelRegressor, spectra alone", errors, f"{fit:.1f}"))
    if snr is not None:
        at_limit = limit(data.model, u_test, a_test, snr)
        drawn = at_limit * np.random.default_rng(4).normal(size=at_limit.shape)
        errors = label_errors(truth, truth + drawn, names=names)
        rows.append(row("Fisher limit, labels known", errors, ""))
    scatter = label_errors(truth, np.tile(y.mean(axis=0), (N_TEST, 1)), names=names)
    rows.append(row("no spectrum: the population", scatter, ""))
    return rows, names


def header(names):
    return ["", "median", *names, "in 68 % (elements)", "pull", "fit [CPU s]"]


def loadings(n):
    """Return the rows of factor analysis whose loadings are of several degrees."""
    S, u, abundances, data = stars(n, 100.0, 1)
    S_test, u_test, a_test, _ = stars(N_TEST, 100.0, 2)
    X, X_test = append_conditions(S, u), append_conditions(S_test, u_test)
    names, rows = data.element_names[1:], []
    for degree in (1, 2):
        before = ConditionalFactorAnalysis(
            CONDITIONS, loading_degree=degree, with_covariance=True, random_state=0
        )
        model = make_pipeline(before, LatentRegressor(with_covariance=True))
        _, (fit,) = helpers.cpu_time(lambda m=model: m.fit(X, abundances[:, 1:]))
        labels, std = model.predict(X_test, return_std=True)
        errors = label_errors(a_test[:, 1:], labels, std, names=names)
        rows.append(row(f"loading_degree={degree}", errors, f"{fit:.1f}"))
        print(*rows[-1], flush=True)
    return rows, names


def main():
    """Run all, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=("loadings",))
    parser.add_argument("--stars", type=int, nargs="+", default=[2000])
    parser.add_argument("--quick", action="store_true", help="500 stars, no networks")
    arguments = parser.parse_args()
    cases = [(500, 100.0, False)]
    if not arguments.quick:
        first, *others = arguments.stars
        cases = [(first, 100.0, True), (first, None, True)]
        cases += [(n, 100.0, False) for n in others]
    sections = [
        "RMSE [dex] of [X/Fe] of 1,000 other stars. Teff, log g and [Fe/H] are known to"
        " disentanglers, and to nothing else. In bold LatentRegressor, whose errors are"
        " calibrated by its own stars; below it, other regressions on the same latents,"
        " and its errors calibrated by stars that the disentangler has not seen either."
        " CPU seconds of disentangler and regression together, with a second fit where"
        " stars were left out. Networks are those by default, on one core."
    ]
    if arguments.part == "loadings":
        sections = []
        for n in arguments.stars:
            rows, names = loadings(n)
            title = f"## ConditionalFactorAnalysis, {n:,} training stars, SNR 100"
            sections += [title, helpers.table(header(names), rows)]
        helpers.write("latent_abundances_loadings", sections, "numpy", "scikit-learn")
        return
    for n, snr, networks in cases:
        rows, names = one_case(n, snr, networks)
        title = "no noise" if snr is None else f"SNR {snr:g}"
        sections += [
            f"## {n:,} training stars, {title}",
            helpers.table(header(names), rows),
        ]
    if arguments.quick:
        print(*sections, sep="\n\n")
    else:
        helpers.write("latent_abundances", sections, "numpy", "scikit-learn", "torch")


if __name__ == "__main__":
    main()
