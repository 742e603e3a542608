"""LabelRegressor: errors of labels, their calibration and CPU time, beside peers.

Synthetic red giants at a signal-to-noise ratio of 100, 20 labels; and real giants of
APOGEE, five-fold, where they are.
"""

import argparse

import helpers
import numpy as np
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skastro.datasets import make_twin_spectra
from skastro.decomposition import ProbabilisticPCA
from skastro.labels import PUBLISHED_CANNON_PARAMETERS, LabelRegressor

SNR = 100.0


def stars(n, seed):
    """Return spectra and labels Teff, log g, [X/H] of 18 elements, and the model."""
    data = make_twin_spectra(n, snr=SNR, random_state=seed)
    X, u = data.X[::2], data.u[::2]
    abundances = data.abundances[::2].copy()
    abundances[:, 1:] += abundances[:, :1]
    return X, np.column_stack([u[:, :2], abundances]), data.model


def limit(model, y):
    """Return errors of labels that noise and the population allow: the Fisher limit."""
    relative = y[:, 2:].copy()
    relative[:, 1:] -= relative[:, :1]
    prior = np.linalg.inv(np.cov(y.T))
    flux = model.flux
    variances = []
    for part in np.array_split(np.arange(len(y)), max(1, len(y) // 100)):
        u, a = y[part, :2], relative[part]
        _, D = model.derivatives(u, a)
        D[:, 0] -= D[:, 1:].sum(axis=1)  # at constant [X/H] of the others
        steps = []
        for step in ([10.0, 0.0], [0.0, 0.02]):
            away = flux(u + step, a).astype(float) - flux(u - np.array(step), a)
            steps.append(away / (2 * sum(step)))
        J = np.concatenate([np.stack(steps, axis=1), D], axis=1)
        information = J @ J.transpose(0, 2, 1) * SNR**2 + prior
        variances.append(np.einsum("nii->ni", np.linalg.inv(information)))
    return np.sqrt(np.concatenate(variances))


def figures(labels, y, error=None):
    """Return the columns of the table."""
    away = np.abs(labels - y)
    rms = np.sqrt((away**2).mean(axis=0))
    typical = 1.4826 * np.median(away, axis=0)
    row = [
        f"{np.median(rms[2:]):.4f}",
        f"{np.median(typical[2:]):.4f}",
        f"{rms[0]:.1f}",
        f"{rms[1]:.3f}",
        f"{rms[2]:.4f}",
    ]
    if error is None:
        return [*row, "–"]
    inside = (away < error).mean(axis=0)
    return [*row, f"{inside.mean():.3f} ({inside.min():.2f}–{inside.max():.2f})"]


def peers(n_train):
    """Return the peers by name."""
    scores = ProbabilisticPCA(50, random_state=0)
    found = {
        "quadratic model of The Cannon": LabelRegressor(**PUBLISHED_CANNON_PARAMETERS),
        "PLSRegression(40)": PLSRegression(40, scale=False),
        "ProbabilisticPCA(50) + RidgeCV": make_pipeline(
            scores, RidgeCV(np.logspace(-4, 4, 17))
        ),
    }
    if n_train <= 2000:
        # fully connected layers of StarNet's size (Fabbro et al. 2018)
        found["MLPRegressor(256, 128)"] = make_pipeline(
            StandardScaler(),
            MLPRegressor(
                hidden_layer_sizes=(256, 128),
                early_stopping=True,
                random_state=0,
                max_iter=60,
            ),
        )
    return found


def scaled_fit(model, X, y):
    """Fit to labels of unit variance, which peers need."""
    mean, scale = y.mean(axis=0), y.std(axis=0)
    model.fit(X, (y - mean) / scale)
    return lambda Z: model.predict(Z) * scale + mean


def simulated(n_train, with_peers, spoiled):
    """Return the table's rows of one size of training set."""
    X, y, _ = stars(n_train, 1)
    X_test, y_test, model = stars(1000, 2)
    rows = []
    if with_peers:
        for name, peer in peers(n_train).items():
            predict, (fit,) = helpers.cpu_time(lambda p=peer: scaled_fit(p, X, y))
            labels, (seconds,) = helpers.cpu_time(lambda p=predict: p(X_test))
            rows.append([name, n_train, *figures(labels, y_test), fit, seconds])
    regressor = LabelRegressor()
    _, (fit,) = helpers.cpu_time(lambda: regressor.fit(X, y))
    (labels, error), (seconds,) = helpers.cpu_time(
        lambda: regressor.predict(X_test, return_std=True)
    )
    row = figures(labels, y_test, error)
    rows.append(["**LabelRegressor**", n_train, *row, fit, seconds])
    if spoiled:
        rng = np.random.default_rng(3)
        X, X_test, holes = X.copy(), X_test.copy(), y.copy()
        X[rng.random(X.shape) < 0.05] = np.nan
        spoiled_test = X_test
        spoiled_test[rng.random(X_test.shape) < 0.05] = np.nan
        holes[rng.random(y.shape) < 0.3] = np.nan
        regressor = LabelRegressor()
        _, (fit,) = helpers.cpu_time(lambda: regressor.fit(X, holes))
        (labels, error), (seconds,) = helpers.cpu_time(
            lambda: regressor.predict(spoiled_test, return_std=True)
        )
        name = "LabelRegressor, 5 % of pixels and 30 % of labels missing"
        row = figures(labels, y_test, error)
        rows.append([name, n_train, *row, fit, seconds])
    at_limit = limit(model, y_test)
    drawn = at_limit * np.random.default_rng(4).normal(size=at_limit.shape)
    rows.append(["Fisher limit", "", *figures(y_test + drawn, y_test), "", ""])
    return [[*r[:-2], *(f"{v:.2f}" if v != "" else "" for v in r[-2:])] for r in rows]


def real():
    """Return the rows of five-fold cross-validation on real giants."""
    path = helpers.SHARED / "stellar" / "apogee_real_671x100.npz"
    if not path.exists():
        return None
    data = np.load(path)
    X, sigma = data["flux"], data["flux_err"]
    y = np.asarray(data["labels"], dtype=float)
    models = {
        "quadratic model of The Cannon": LabelRegressor(**PUBLISHED_CANNON_PARAMETERS),
        "LabelRegressor": LabelRegressor(),
    }
    rows = []
    for name, model in models.items():
        labels, error = np.empty_like(y), np.empty_like(y)
        chi2 = np.empty(len(y))
        for train, test in KFold(5, shuffle=True, random_state=0).split(X):
            fitted = clone(model).fit(X[train], y[train], sigma=sigma[train])
            inferred = fitted.infer(X[test], sigma[test])
            labels[test] = inferred.labels
            error[test] = np.sqrt(np.einsum("nii->ni", inferred.covariance))
            chi2[test] = inferred.chi2 / inferred.n_observed
        away = np.abs(labels - y)
        robust, rms = 1.4826 * np.median(away, axis=0), np.sqrt((away**2).mean(axis=0))
        inside = (away < error).mean(axis=0)
        rows.append(
            [
                name,
                *(f"{a:.3g} / {b:.3g}" for a, b in zip(robust, rms, strict=True)),
                f"{np.median(chi2):.2f}",
                ", ".join(f"{share:.2f}" for share in inside),
            ]
        )
    return rows


def main():
    """Run all, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 stars, no peers")
    parser.add_argument("--stars", type=int, nargs="+", default=[2000, 10_000])
    arguments = parser.parse_args()
    if arguments.quick:
        rows = simulated(500, with_peers=False, spoiled=False)
    else:
        rows = [
            row
            for n in arguments.stars
            for row in simulated(n, with_peers=True, spoiled=n <= 2000)
        ]
    header = [
        "model",
        "training stars",
        "[X/H], rms [dex]",
        "[X/H], 1.48 MAD",
        "Teff [K]",
        "log g",
        "[Fe/H]",
        "in 68 % intervals (labels)",
        "fit [CPU s]",
        "predict [ms a star]",
    ]
    sections = [
        "Synthetic giants, 7,514 pixels, 20 labels, 1,000 test stars; of the 18"
        " elements, the median.",
        helpers.table(header, rows),
    ]
    table = real()
    if table is not None:
        header = ["model", "Teff [K]", "log g", "[M/H]", "chi2 a pixel", "in 68 %"]
        sections += [
            "671 real giants of APOGEE, 100 pixels, five-fold; scatter as 1.48 MAD /"
            " rms.",
            helpers.table(header, table),
        ]
    if arguments.quick:
        print(*sections, sep="\n\n")
    else:
        helpers.write("labels", sections, "numpy", "scikit-learn")


if __name__ == "__main__":
    main()
