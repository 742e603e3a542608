"""LabelRegressor on surveys: labels after the front end, and spectra in a mapped file.

Synthetic giants as a spectrograph sees them, with a continuum and in motion, go through
a pipeline of the front end; labels are compared with those from the same spectra,
normalised and at rest. And as many spectra as a survey has, in a file:
seconds a star, and memory.
"""

import argparse
import tempfile
import threading
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import helpers
import numpy as np
import sklearn
from bench_front_end import CHIPS
from bench_labels import FIGURES, figures
from scipy.interpolate import CubicSpline
from sklearn.pipeline import make_pipeline

from skastro.datasets import LineFormation, make_twin_spectra
from skastro.labels import LabelRegressor
from skastro.preprocessing import (
    ContinuumNormalizer,
    SigmaUnpacker,
    SpectrumResampler,
    VelocityShifter,
)

LIGHT = 299_792.458
MiB = 2**20


# -- the front end


class FineLines(LineFormation):
    """The same lines on four times as many pixels, in the gaps too."""

    @cached_property
    def wavelength(self):
        usual = LineFormation().wavelength
        steps = np.log(usual[-1] / usual[0]) / np.log(usual[1] / usual[0])
        return np.geomspace(usual[0], usual[-1], 4 * round(steps) + 1)


class Observed:
    """Stars as they are, and as a spectrograph sees them.

    Attributes
    ----------
    y : ndarray of shape (n, 20)
        Labels: Teff, log g, [X/H].
    at_rest, moving : ndarray of shape (n, 7514)
        Normalised spectra with noise; a pixel that is beyond the line list is NaN.
    velocity : ndarray of shape (n,)
        Of the moving ones [km/s].
    continuum : ndarray of shape (n, 7514)
    """

    def __init__(self, n, seed, snr):
        data = make_twin_spectra(n, snr=None, random_state=seed)
        u, abundances = data.u[::2, :2], data.abundances[::2]
        of_hydrogen = abundances.copy()
        of_hydrogen[:, 1:] += abundances[:, :1]
        self.y = np.column_stack([u, of_hydrogen])
        rng = np.random.default_rng([seed, 1])
        noise = rng.normal(scale=1 / snr, size=(n, len(data.wavelength)))
        self.at_rest = (data.X[::2] + noise).astype(np.float32)
        self.velocity = rng.uniform(-100, 100, n)
        self.moving = noise.astype(np.float32)
        fine, log = FineLines(), np.log(data.wavelength)
        for part in np.array_split(np.arange(n), max(1, n // 100)):
            flux = fine.flux(u[part], abundances[part]).astype(float)
            spline = CubicSpline(np.log(fine.wavelength), flux, axis=1)
            for row, own in enumerate(part):
                emitted = log - np.arctanh(self.velocity[own] / LIGHT)
                one = CubicSpline.construct_fast(spline.c[:, :, row], spline.x, False)
                self.moving[own] += one(emitted)
        self.continuum = np.empty_like(noise)
        for chip in CHIPS:
            x = np.linspace(-1, 1, len(log[chip]))
            terms = rng.normal(size=(n, 5)) * [0.1, 0.15, 0.05, 0.02, 0.01]
            values = np.polynomial.chebyshev.chebval(x, terms.T)
            self.continuum[:, chip] = np.exp(values)
        self.sigma = np.full_like(noise, 1 / snr)


def steps(wavelength, template):
    """Return the front ends by name, and what goes into each."""
    half = np.log(wavelength[1] / wavelength[0]) / 2
    given = VelocityShifter(wavelength, velocity="column", with_sigma=True)
    measured = VelocityShifter(
        wavelength, velocity="measured", template=template, with_sigma=True
    )
    continuum = ContinuumNormalizer(wavelength, with_sigma=True)
    learned = ContinuumNormalizer(wavelength, pixels="learned", with_sigma=True)
    grid = wavelength[:-1] * np.exp(half)
    grid = grid[np.diff(np.log(wavelength)) < 3 * half]
    resampler = SpectrumResampler(wavelength, grid, with_sigma=True)

    def at_rest(o):
        return [o.at_rest, o.sigma]

    def observed(o):
        return [o.moving * o.continuum, o.sigma * o.continuum]

    return {
        "normalised, at rest": ([], at_rest),
        "moving, velocities known": (
            [given],
            lambda o: [o.moving, o.sigma, o.velocity[:, None]],
        ),
        "moving, velocities measured": ([measured], lambda o: [o.moving, o.sigma]),
        "unnormalised, at rest": (
            [continuum],
            lambda o: [o.at_rest * o.continuum, o.sigma * o.continuum],
        ),
        "**unnormalised, moving**": ([continuum, measured], observed),
        "the same, continuum pixels learned": ([learned, measured], observed),
        "unnormalised, moving, on another grid": (
            [continuum, measured, resampler],
            observed,
        ),
    }


def front_end(n_train, n_test, snr):
    """Return the rows of labels after the front end."""
    train, test = Observed(n_train, 1, snr), Observed(n_test, 2, snr)
    # a template as a library of synthetic spectra has it: of other stars
    others = make_twin_spectra(30, snr=None, random_state=3)
    template = others.X.mean(axis=0)
    rows, usual = [], None
    for name, (transformers, take) in steps(others.wavelength, template).items():
        regressor = LabelRegressor().set_predict_request(return_std=True)
        pipeline = make_pipeline(*transformers, SigmaUnpacker(regressor))
        X = np.hstack(take(train)).astype(np.float32)
        X_test = np.hstack(take(test)).astype(np.float32)
        _, (fit,) = helpers.cpu_time(lambda p=pipeline, X=X: p.fit(X, train.y))
        (labels, error), (seconds,) = helpers.cpu_time(
            lambda p=pipeline, X=X_test: p.predict(X, return_std=True)
        )
        rms = np.sqrt(np.mean((labels - test.y) ** 2, axis=0))
        usual = rms if usual is None else usual
        ratio = helpers.spread(rms / usual)
        row = figures(labels, test.y, error)
        rows.append([name, *row, ratio, f"{fit:.1f}", f"{1000 * seconds / n_test:.2f}"])
    return rows


# -- mapped files


def anonymous():
    """Return the memory of this process [MiB] that is not the page cache's.

    What is read from a mapped file is the kernel's, and not counted.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(s for s in lines if "RssAnon" in s).split()[1]) * 1024 / MiB


@contextmanager
def memory():
    """Watch the memory in use; yield a list, of its peak."""
    peak, done = [anonymous()], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], anonymous())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


def write_spectra(path, n):
    """Write spectra into a file, a thousand at a time; return labels."""
    y = np.empty((n, 20))
    X = None
    for start in range(0, n, 1000):
        data = make_twin_spectra(500, random_state=100 + start)
        if X is None:
            shape = (n, data.X.shape[1])
            X = np.lib.format.open_memmap(path, "w+", np.float32, shape)
        rows = slice(start, min(start + 1000, n))
        own = rows.stop - rows.start
        X[rows] = data.X[:own]
        abundances = data.abundances[:own].copy()
        abundances[:, 1:] += abundances[:, :1]
        y[rows] = np.column_stack([data.u[:own, :2], abundances])
    X.flush()
    return y


def mapped(n, fits, folder):
    """Return the rows of fits and predictions from a mapped file."""
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        path = Path(place) / "spectra.npy"
        y = write_spectra(path, n)
        X, at_first = np.load(path, mmap_mode="r"), anonymous()
        sizes = [size for size in (1000, 3000, 10_000, 30_000, 100_000) if size < n]
        for size in fits:
            model = LabelRegressor()
            with memory() as peak:
                _, (seconds,) = helpers.cpu_time(
                    lambda m=model, k=size: m.fit(X[:k], y[:k])
                )
            terms = len(model.powers_)
            name = f"fit ({terms} terms, {model.n_iter_} passes)"
            rows.append([name, size, seconds, seconds / size, peak[0]])
        for size in [*sizes, n]:
            with memory() as peak:
                labels, (seconds,) = helpers.cpu_time(
                    lambda k=size: model.predict(X[:k])
                )
            rows.append(["predict", size, seconds, seconds / size, peak[0]])
    away = np.median(np.sqrt(np.mean((labels - y) ** 2, axis=0))[2:])
    rows = [
        [name, f"{size:,}", f"{s:.1f}", f"{1000 * each:.2f}", f"{MB:.0f}"]
        for name, size, s, each, MB in rows
    ]
    return rows, away, at_first


def main():
    """Run what is asked for, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stars", type=int, nargs=2, default=[2000, 4000])
    parser.add_argument("--snr", type=float, nargs="*", default=[100.0])
    parser.add_argument("--mapped", type=int, help="spectra in a mapped file")
    parser.add_argument("--fits", type=int, nargs="+", default=[2000, 10_000])
    parser.add_argument("--folder", help="where the mapped file is to be")
    parser.add_argument("--quick", action="store_true", help="write no results")
    arguments = parser.parse_args()
    sklearn.set_config(enable_metadata_routing=True)
    sections, times = [], ["fit [CPU s]", "predict [ms a star]"]
    n_train, n_test = arguments.stars
    for snr in arguments.snr:
        header = ["spectra", *FIGURES, "errors, ratio to the first", *times]
        sections += [
            f"## After the front end, signal to noise {snr:g}",
            f"{n_train:,} synthetic giants to train and {n_test:,} to test, 20 labels."
            " Continua vary by a sixth, smoothly on each detector, velocities from -100"
            " to 100 km/s. Noise is the same in all rows, but falls on other pixels at"
            f" rest if it moves: then {100 / np.sqrt(n_test):.1f} % of a label's error"
            " are of chance. Ratios: the median of the labels, and their range. Seconds"
            " include the front end.",
            helpers.table(header, front_end(n_train, n_test, snr)),
        ]
    if arguments.mapped:
        n = arguments.mapped
        rows, away, at_first = mapped(n, arguments.fits, arguments.folder)
        header = ["", "stars", "CPU s", "ms a star", "memory [MiB]"]
        sections += [
            "## From a mapped file",
            f"{n:,} spectra of 7,514 pixels, float32, {n * 7514 * 4 / 1e9:.1f} GB."
            " Memory is the most in use of the process, without the page cache; it"
            f" begins with {at_first:.0f} MiB."
            f" Labels of all, from the last fit: [X/H] to {away:.4f} dex, the median.",
            helpers.table(header, rows),
        ]
    if arguments.quick:
        print(*sections, sep="\n\n")
    else:
        helpers.write("labels_surveys", sections, "numpy", "scikit-learn")


if __name__ == "__main__":
    main()
