"""LabelRegressor: errors of labels, their calibration and CPU time, beside peers.

Synthetic red giants at a signal-to-noise ratio of 100, 20 labels; spectra that follow
the published quadratic model of The Cannon exactly; and real giants of APOGEE,
five-fold. The latter two where their files are.

With ``--peers FOLDER``, The Cannon of PyPI takes part, from a folder of its own:
``pip install --target FOLDER --no-deps thecannon==0.7.3`` (and matplotlib, astropy).
"""

import argparse
import contextlib
import importlib
import io
import sys
from importlib.metadata import version

import helpers
import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Bunch

from skastro.datasets import make_twin_spectra
from skastro.decomposition import ProbabilisticPCA
from skastro.labels import PUBLISHED_CANNON_PARAMETERS, LabelRegressor

SNR = 100.0
STELLAR = helpers.SHARED / "stellar"
QUADRATIC = "quadratic model of The Cannon"
FIGURES = [
    "[X/H], rms [dex]",
    "[X/H], 1.48 MAD",
    "Teff [K]",
    "log g",
    "[Fe/H]",
    "in 68 % intervals (labels)",
]


class TheCannon(BaseEstimator):
    """The Cannon of PyPI. Pixels are trained in runs: it copies all terms for each."""

    def fit(self, X, y, sigma):
        model, parts = self._module("model").CannonModel(2, useErrors=False), []
        X, ivar = self._double(X, sigma)
        for start in range(0, X.shape[1], 200):
            run = slice(start, start + 200)
            with contextlib.redirect_stdout(io.StringIO()):
                model.train(self._dataset(X[:, run], ivar[:, run], y))
            parts.append((model.coeffs, model.scatters))
        model.coeffs, model.scatters = map(np.concatenate, zip(*parts, strict=True))
        self.model_ = model
        return self

    def infer(self, X, sigma):
        X, ivar = self._double(X, sigma)
        data = self._dataset(X, ivar, np.ones((len(X), len(self.model_.pivots))))
        with contextlib.redirect_stdout(io.StringIO()):
            error, chi2 = self.model_.infer_labels(data)
        error = error * self.model_.scales  # which its labels have, and not its errors
        return Bunch(
            labels=data.test_label_vals,
            covariance=error[:, :, None] ** 2 * np.eye(error.shape[1]),
            chi2=chi2,
            n_observed=np.full(len(X), X.shape[1]),
        )

    @staticmethod
    def _double(X, sigma):
        # copies, since it writes into what it is given
        return X.astype(float), np.broadcast_to(1.0 / sigma**2, X.shape).astype(float)

    @staticmethod
    def _module(name):
        return importlib.import_module(f"TheCannon.{name}")

    def _dataset(self, X, ivar, y):
        numbers = np.arange(len(X))
        with contextlib.redirect_stdout(io.StringIO()):
            data = self._module("dataset").Dataset(
                np.arange(X.shape[1]), numbers, X, ivar, y, numbers, X, ivar
            )
        data.set_label_names([f"label {k}" for k in range(y.shape[1])])
        return data


def stars(n, seed):
    """Return spectra and labels Teff, log g, [X/H] of 18 elements, and the model."""
    data = make_twin_spectra(n, snr=SNR, random_state=seed)
    X, u = data.X[::2], data.u[::2]
    abundances = data.abundances[::2].copy()
    abundances[:, 1:] += abundances[:, :1]
    return X, np.column_stack([u[:, :2], abundances]), data.model


def limit(model, y, pixels=slice(None)):
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
        J = np.concatenate([np.stack(steps, axis=1), D], axis=1)[:, :, pixels]
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
        QUADRATIC: LabelRegressor(**PUBLISHED_CANNON_PARAMETERS),
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


def of_pypi(n_train, n_test, step, cannon):
    """Return the rows of The Cannon of PyPI, and of others on the same pixels."""
    pixels = slice(None, None, step)
    X, y, _ = stars(n_train, 1)
    X_test, y_test, model = stars(n_test, 2)
    X, X_test, sigma = X[:, pixels], X_test[:, pixels], np.array(1 / SNR)
    far, rows = 10 * np.ptp(y, axis=0), []
    for name, regressor in (cannon | models()).items():
        _, (fit,) = helpers.cpu_time(lambda r=regressor: r.fit(X, y, sigma=sigma))
        inferred, (seconds,) = helpers.cpu_time(
            lambda r=regressor: r.infer(X_test, sigma)
        )
        labels = inferred.labels
        error = np.sqrt(np.einsum("nii->ni", inferred.covariance))
        found = (np.abs(labels - y_test) < far).all(axis=1)
        row = figures(labels[found], y_test[found], error[found])
        times = [f"{fit:.1f}", f"{1000 * seconds / n_test:.2f}"]
        rows.append([name, X.shape[1], n_test - found.sum(), *row, *times])
    at_limit = limit(model, y_test, pixels)
    drawn = at_limit * np.random.default_rng(4).normal(size=at_limit.shape)
    row = figures(y_test + drawn, y_test)
    return [*rows, ["Fisher limit", X.shape[1], "", *row, "", ""]]


def models():
    """Return what labels of real giants, and of the published model, come from."""
    return {
        QUADRATIC: LabelRegressor(**PUBLISHED_CANNON_PARAMETERS),
        "**LabelRegressor**": LabelRegressor(),
    }


def held_out(model, X, y, sigma, n_folds):
    """Return labels, errors and chi2 a pixel of stars that a fit has not seen."""
    labels, error = np.empty_like(y), np.empty_like(y)
    chi2 = np.empty(len(y))
    for train, test in KFold(n_folds, shuffle=True, random_state=0).split(X):
        fitted = clone(model).fit(X[train], y[train], sigma=sigma[train])
        inferred = fitted.infer(X[test], sigma[test])
        labels[test] = inferred.labels
        error[test] = np.sqrt(np.einsum("nii->ni", inferred.covariance))
        chi2[test] = inferred.chi2 / inferred.n_observed
    return labels, error, chi2


def scatter_row(name, y, labels, error, chi2):
    """Return the columns of the tables of held-out stars."""
    away = np.abs(labels - y)
    robust, rms = 1.4826 * np.median(away, axis=0), np.sqrt((away**2).mean(axis=0))
    inside = (away < error).mean(axis=0)
    return [
        name,
        *(f"{a:.3g} / {b:.3g}" for a, b in zip(robust, rms, strict=True)),
        f"{np.median(chi2):.2f}",
        ", ".join(f"{share:.2f}" for share in inside),
    ]


def real(cannon):
    """Return the rows of five-fold cross-validation on real giants."""
    data = np.load(STELLAR / "apogee_real_671x100.npz")
    X, sigma = data["flux"], data["flux_err"]
    y = np.asarray(data["labels"], dtype=float)
    return [
        scatter_row(name, y, *held_out(model, X, y, sigma, 5))
        for name, model in (cannon | models()).items()
    ]


def published_spectra(n):
    """Return spectra of stars by the published model of The Cannon, and its truth.

    Labels are those of its training stars, the signal-to-noise ratio log-uniform from
    50 to 200, and each pixel has its published scatter besides.
    """
    data = np.load(STELLAR / "cannon_apokasc_gc_model.npz")
    path = STELLAR / "cannon_apokasc_gc_training_labels.csv"
    y = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=(2, 3, 4, 5))
    rng = np.random.default_rng(5)
    y = y[rng.permutation(len(y))[:n]]
    coef, scatter = data["coeffs"].astype(float), data["scatter"].astype(float)
    snr = np.exp(rng.uniform(np.log(50), np.log(200), (len(y), 1)))
    sigma = np.broadcast_to(1 / snr, (len(y), len(scatter))).astype(np.float32)
    flux, _ = quadratic(y - data["baseline_labels"], coef)
    noise = np.sqrt(sigma**2 + scatter**2)
    X = (flux + noise * rng.normal(size=flux.shape)).astype(np.float32)
    return X, y, sigma, (coef, data["baseline_labels"], noise)


def quadratic(x, coef):
    """Return spectra of a quadratic model, and their slopes."""
    i, j = np.triu_indices(x.shape[1])
    unit = np.eye(x.shape[1])
    flux = np.column_stack([np.ones(len(x)), x, x[:, i] * x[:, j]]) @ coef
    slopes = [
        coef[1 + k]
        + (unit[k, i] * x[:, j] + x[:, i] * unit[k, j]) @ coef[1 + len(unit) :]
        for k in range(len(unit))
    ]
    return flux, np.stack(slopes, axis=1)


def best(X, y, truth):
    """Return labels of highest likelihood with the true model, errors, and chi2."""
    coef, baseline, noise = truth
    labels, error, chi2 = y - baseline, np.empty_like(y), np.empty(len(y))
    for part in np.array_split(np.arange(len(y)), max(1, len(y) // 100)):
        for _ in range(5):
            flux, slopes = quadratic(labels[part], coef)
            away = (X[part] - flux) / noise[part]
            slopes /= noise[part][:, None]
            covariance = np.linalg.inv(slopes @ slopes.transpose(0, 2, 1))
            gradient = slopes @ away[:, :, None]
            labels[part] += (covariance @ gradient)[:, :, 0]
        error[part] = np.sqrt(np.einsum("nii->ni", covariance))
        chi2[part] = (away**2).mean(axis=1)
    return labels + baseline, error, chi2


def published(n, cannon):
    """Return the rows of stars that follow the published model of The Cannon."""
    X, y, sigma, truth = published_spectra(n)
    rows = [
        scatter_row(name, y, *held_out(model, X, y, sigma, 3))
        for name, model in (cannon | models()).items()
    ]
    return [
        *rows,
        scatter_row("the true coefficients and noise", y, *best(X, y, truth)),
    ]


def main():
    """Run all, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="500 stars, no peers")
    parser.add_argument("--stars", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--published-stars", type=int, default=1801)
    parser.add_argument("--peers", help="folder where thecannon is")
    parser.add_argument(
        "--cannon-step", type=int, default=10, help="it takes each of so many pixels"
    )
    parser.add_argument("--cannon-stars", type=int, nargs=2, default=[2000, 1000])
    arguments = parser.parse_args()
    if arguments.quick:
        rows = simulated(500, with_peers=False, spoiled=False)
    else:
        rows = [
            row
            for n in arguments.stars
            for row in simulated(n, with_peers=True, spoiled=n <= 2000)
        ]
    cannon = {}
    if arguments.peers:
        sys.path.append(arguments.peers)
        cannon = {f"The Cannon of PyPI, {version('thecannon')}": TheCannon()}
    times = ["fit [CPU s]", "predict [ms a star]"]
    sections = [
        "Synthetic giants, 7,514 pixels, 20 labels, 1,000 test stars; of the 18"
        " elements, the median.",
        helpers.table(["model", "training stars", *FIGURES, *times], rows),
    ]
    if cannon:
        n_train, n_test = arguments.cannon_stars
        step = arguments.cannon_step
        rows = of_pypi(n_train, n_test, step, cannon)
        sections += [
            f"The same giants, {n_train:,} to train and {n_test:,} to test, one pixel"
            f" in {step}, with their errors. Lost are stars with a label wrong by ten"
            " times the range of training, and left out. Errors of The Cannon of PyPI"
            " are multiplied by the scales of its labels, which it forgets.",
            helpers.table(["model", "pixels", "lost", *FIGURES, *times], rows),
        ]
    chi2 = ["chi2 a pixel", "in 68 % intervals"]
    if (STELLAR / "cannon_apokasc_gc_model.npz").exists():
        n = arguments.published_stars
        header = ["model", "Teff [K]", "log g", "[Fe/H]", "[alpha/Fe]", *chi2]
        sections += [
            f"Spectra of the published model of The Cannon at the labels of {n:,} of"
            " its training stars, 7,214 pixels, signal-to-noise ratios of 50 to 200"
            " and the published scatter; three-fold; errors as 1.48 MAD / rms.",
            helpers.table(header, published(n, cannon)),
        ]
    if (STELLAR / "apogee_real_671x100.npz").exists():
        header = ["model", "Teff [K]", "log g", "[M/H]", *chi2]
        sections += [
            "671 real giants of APOGEE, 100 pixels, five-fold; scatter as 1.48 MAD /"
            " rms.",
            helpers.table(header, real(cannon)),
        ]
    if arguments.quick:
        print(*sections, sep="\n\n")
    else:
        helpers.write("labels", sections, "numpy", "scikit-learn")


if __name__ == "__main__":
    main()
