"""Disentanglers: twins recovered, beside the limit that noise sets, and recast errors.

Fits see 10,000 stars without a twin; another 10,000, in pairs, are ranked. Stars are
recast to the labels of their twins by fits to 3,000.
"""

import argparse

import helpers
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from skastro.datasets import make_twin_spectra
from skastro.disentangling import (
    ConditionalFactorAnalysis,
    FactorDisentangler,
    FaderDisentangler,
    PolyDisentangler,
)
from skastro.metrics import (
    n_false_twins,
    recast_errors,
    twin_recovery_limit,
    twin_recovery_scorer,
)
from skastro.preprocessing import append_conditions

SNRS = (None, 100.0, 50.0, 30.0)


def recovered(n_false):
    return np.mean(n_false == 0)


def noisy(X, snr, seed):
    if snr is None:
        return X
    rng = np.random.default_rng(seed)
    return X + rng.standard_normal(X.shape, dtype=np.float32) / np.float32(snr)


def supervised(Z_train, a_train, Z, y):
    """Twins by abundances that are read from residuals linearly, errors whitened."""
    model = LinearRegression().fit(Z_train, a_train)
    error = np.cov((a_train - model.predict(Z_train)).T)
    return n_false_twins(model.predict(Z) @ np.linalg.cholesky(np.linalg.inv(error)), y)


def one_case(train, test, snr, n_labels, with_sigma=False, diagnose=False):
    """Return shares of stars with no false twin, seconds of the fits, diagnostics."""
    S, S_test = noisy(train["X"], snr, 1), noisy(test["X"], snr, 2)
    labels = slice(-n_labels, None)
    X = append_conditions(S, train["u"][:, :n_labels])
    X_test = append_conditions(S_test, test["u"][:, :n_labels])
    y, shares, seconds, extra = test["y"], {}, {}, {}

    poly = PolyDisentangler(labels, random_state=0)
    _, (seconds["poly"],) = helpers.cpu_time(lambda: poly.fit(X))
    Z = poly.transform(X_test)
    shares["poly"] = recovered(n_false_twins(Z, y))
    unknown = slice(1, None) if n_labels == 3 else slice(None)
    shares["supervised"] = recovered(
        supervised(poly.transform(X), train["abundances"][:, unknown], Z, y)
    )
    model = ConditionalFactorAnalysis(labels, with_covariance=True, random_state=0)
    params = {}
    if with_sigma:
        params = {"sigma": 1 / snr}
    _, (seconds["cfa"],) = helpers.cpu_time(lambda: model.fit(X, **params))
    Z = model.transform(X_test, **params)
    k = model.n_components_
    if snr is not None:
        # without noise the errors are those of the model, below any precision
        shares["cfa"] = recovered(n_false_twins(Z, y, with_covariance=True))
    shares["cfa, one metric"] = recovered(
        n_false_twins(Z[:, :k] @ np.linalg.cholesky(model.latent_metric_), y)
    )
    found = {"cfa": Z[:, :k]}
    networks = {
        "fader": FaderDisentangler(labels, random_state=0),
        "factor": FactorDisentangler(labels, random_state=0),
    }
    if diagnose:
        networks["alone"] = FaderDisentangler(
            labels, disentangle_weight=0.0, random_state=0
        )
    for key, network in {} if with_sigma else networks.items():
        _, (seconds[key],) = helpers.cpu_time(lambda network=network: network.fit(X))
        shares[key] = twin_recovery_scorer(network, X_test, y)
        found[key] = network.transform(X_test)
    if diagnose:
        for key, z in found.items():
            extra[key] = told(z, test["u"][:, :n_labels], test["abundances"])
    return shares, seconds, extra


def told(z, u, abundances):
    """Return R² of labels and abundances in one half, by fits to the other."""
    half = len(z) // 2
    boost = HistGradientBoostingRegressor(random_state=0)
    return (
        [boost.fit(z[:half], v[:half]).score(z[half:], v[half:]) for v in u.T],
        [
            LinearRegression().fit(z[:half], a[:half]).score(z[half:], a[half:])
            for a in abundances.T
        ],
    )


def physical(n_stars):
    """Return training and test sets of `make_twin_spectra`, without noise."""
    train = make_twin_spectra(n_stars, snr=None, random_state=1)
    train = {key: train[key][::2] for key in ("X", "u", "abundances")}
    return train, make_twin_spectra(n_stars // 2, snr=None, random_state=2)


def semireal(n_stars):
    """Return the same of the semi-real stars, and None where these are absent."""
    tool = helpers.semireal_apogee()
    if tool is None:
        return None
    sets = []
    for seed, step in ((1, 2), (2, 1)):
        n_pairs = n_stars * step // 2
        X, u, abundances, y = tool.twins(n_pairs, snr=None, seed=seed)
        part = slice(None, None, step)
        sets.append(
            {
                "X": X[part],
                "u": u[part],
                "abundances": abundances.to_numpy()[part],
                "y": y[part],
            }
        )
    return sets


def limits(test, n_labels):
    """Return the limits of Fisher information for all ratios."""
    known = ("Fe",) if n_labels == 3 else ()
    information = test.model.information(
        test.u[:, :2], test.abundances, 1.0, known=known
    )
    points = test.abundances[:, len(known) :]
    return {
        snr: 1.0
        if snr is None
        else recovered(
            twin_recovery_limit(information * snr**2, points, test.y, random_state=0)
        )
        for snr in SNRS
    }


NAMES = {
    "poly": "PolyDisentangler",
    "supervised": "linear readout of its 50 components, trained on true abundances",
    "cfa": "ConditionalFactorAnalysis",
    "cfa, one metric": "… with `latent_metric_` for all stars",
    "fader": "FaderDisentangler",
    "alone": "… without its adversary",
    "factor": "FactorDisentangler",
}


def section(title, results, limit):
    rows = []
    for key, name in NAMES.items():
        shares = [results[snr][0].get(key) for snr in results]
        if not any(shares):
            continue
        seconds = [r[1][key] for r in results.values() if key in r[1]]
        rows.append(
            [name]
            + ["" if share is None else f"{share:.3f}" for share in shares]
            + [helpers.spread(seconds, 3) if seconds else ""]
        )
    if limit:
        rows.append(["limit"] + [f"{limit[snr]:.3f}" for snr in results] + [""])
    header = ["no false twin"]
    header += ["no noise" if snr is None else f"SNR {snr:g}" for snr in results]
    return f"## {title}\n\n" + helpers.table([*header, "fit, CPU s"], rows)


def diagnostics(results, names, labels):
    rows, u = [], []
    for _, _, extra in results.values():
        for key, (u, abundances) in extra.items():
            rows.append([NAMES[key]] + [f"{r:.2f}" for r in [*u, *abundances]])
    header = ["latents of", *labels[: len(u)], *names]
    return (
        "R² on held-out stars at SNR 100: labels by gradient boosting, abundances by"
        " linear regression.\n\n" + helpers.table(header, rows)
    )


LABELS = {"known": 3, "unknown": 2}


def synthetic(n_stars, fe_h):
    train, test = physical(n_stars)
    n_labels = LABELS[fe_h]
    results = {}
    for snr in SNRS:
        results[snr] = one_case(train, test, snr, n_labels, diagnose=snr == 100)
        print(snr, *results[snr][:2], flush=True)
    sections = [
        section(f"[Fe/H] {fe_h}", results, limits(test, n_labels)),
        diagnostics(results, test.element_names, test.condition_names),
    ]
    helpers.write(f"disentangling_fe_h_{fe_h}", sections, "scikit-learn", "torch")


def semi_real(n_stars):
    sets = semireal(n_stars)
    if sets is None:
        print("the semi-real stars are not here")
        return
    results = {}
    for snr in SNRS[:3]:
        results[snr] = one_case(*sets, snr, 3)
        print(snr, *results[snr][:2], flush=True)
    sections = [section("[Fe/H] known", results, None)]
    results = {100.0: one_case(*sets, 100.0, 3, with_sigma=True)}
    sections.append(section("The same, with errors given", results, None))
    helpers.write("disentangling_semireal", sections, "scikit-learn", "torch")


#: Thesis Tables 4.3 and 4.4: mean residual, MSE, and mean residual over 500 K.
THESIS = {
    "PolyDisentangler": (0.0018, 1.50e-5, 0.0029),
    "FaderDisentangler": (0.0021, 1.26e-5, 0.0027),
    "FactorDisentangler": (0.0030, 1.68e-5, 0.0033),
}


def recast(n_stars):
    """Compare recast stars with their twins without noise."""
    train, test = physical(n_stars)
    u, truth, sections = test["u"], test["X"], []
    for snr in (None, 100.0):
        S, S_test, rows = noisy(train["X"], snr, 1), noisy(truth, snr, 2), []
        for model in (
            PolyDisentangler(random_state=0),
            ConditionalFactorAnalysis(loading_degree=3, random_state=0),
            FaderDisentangler(random_state=0),
            FactorDisentangler(random_state=0),
        ):
            name = type(model).__name__
            model.fit(S, conditions=train["u"])
            errors = recast_errors(model, S_test, test["y"], truth=truth, conditions=u)
            apart = np.abs(u[errors.source, 0] - u[errors.target, 0]) > 500
            ours = (
                errors.absolute.mean(),
                errors.square.mean(),
                errors.absolute[apart].mean(),
            )
            shown = [f"{a:.5f}" if a > 1e-4 else f"{a:.2e}" for a in ours]
            thesis = ["", "", ""]
            if name in THESIS:
                thesis = [f"{a:.4f}" if a > 1e-4 else f"{a:.2e}" for a in THESIS[name]]
            rows.append([name, *shown, *thesis])
            print(snr, *rows[-1], flush=True)
        header = ["", "mean residual", "MSE", "mean residual over 500 K"]
        header += ["thesis: mean residual", "MSE", "over 500 K"]
        title = "no noise" if snr is None else f"SNR {snr:g}"
        sections.append(f"## Recast, {title}\n\n" + helpers.table(header, rows))
    helpers.write("disentangling_recast", sections, "scikit-learn", "torch")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "stars", nargs="?", choices=("known", "unknown", "semireal", "recast")
    )
    parser.add_argument("--n-stars", type=int, default=10_000)
    args = parser.parse_args()
    for fe_h in LABELS:
        if args.stars in (None, fe_h):
            synthetic(args.n_stars, fe_h)
    if args.stars in (None, "semireal"):
        semi_real(args.n_stars)
    if args.stars in (None, "recast"):
        recast(min(args.n_stars, 3000))


if __name__ == "__main__":
    main()
