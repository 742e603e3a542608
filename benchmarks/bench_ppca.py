"""ProbabilisticPCA: time and truth beside pyppca, scikit-learn, wpca; memory."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import helpers
import numpy as np
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, validation
from sklearn.utils._testing import ignore_warnings

from skastro.decomposition import ProbabilisticPCA
from skastro.decomposition import _ppca_missing as missing_em
from skastro.decomposition import _ppca_weighted as weighted_em
from skastro.decomposition._ppca_rows import row_blocks

K = 30
N_PIXELS = 7514


class Giants:
    """Spectra of red giants: saturating lines of 18 elements, two labels, noise."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        n_lines, self.n_elements = 500, 18
        self.element = rng.integers(0, self.n_elements, n_lines)
        self.strength = rng.normal(-1.3, 0.5, n_lines)
        self.slopes = rng.normal(0, [[0.6], [0.15]], (2, n_lines))
        offset = np.arange(N_PIXELS) - rng.uniform(0, N_PIXELS, (n_lines, 1))
        self.profile = np.exp(-0.5 * (offset / 2.2) ** 2).astype("f4")

    def spectra(self, n, rng, snr=100):
        """Return complete spectra in float32, noisy unless snr is None."""
        labels = rng.uniform(-1, 1, (n, 2))
        abundance = rng.normal(0, 0.1, (n, self.n_elements))
        abundance += rng.normal(-0.1, 0.25, (n, 1))
        log = self.strength + abundance[:, self.element] + labels @ self.slopes
        depth = np.arctan(10**log).astype("f4")
        flux = np.exp(-(depth @ self.profile))
        if snr is not None:
            flux += rng.standard_normal(flux.shape, dtype="f4") / snr
        return flux

    @staticmethod
    def holes(n, rng, share=0.02):
        """Return which pixels are missing: single ones and chunks."""
        missing = rng.random((n, N_PIXELS), dtype="f4") < 0.4 * share
        for row in range(n):
            for _ in range(rng.poisson(0.6 * share * N_PIXELS / 60)):
                a = rng.integers(0, N_PIXELS)
                missing[row, a : a + rng.integers(20, 100)] = True
        return missing


def sine(V, W):
    return float(np.sin(subspace_angles(V, W).max()))


def beside_peers(n, repeats):
    """Fit spectra with 2 % of the pixels missing."""
    rng = np.random.default_rng(1)
    complete = Giants().spectra(n, rng, snr=None)
    missing = Giants.holes(n, rng)
    truth = complete[missing]  # without noise
    complete += rng.standard_normal(complete.shape, dtype="f4") / 100
    X = np.where(missing, np.float32(np.nan), complete)
    reference = PCA(K, svd_solver="randomized", iterated_power=7, random_state=0)
    reference = reference.fit(complete).components_.T
    del complete
    found = {}

    def ours(**options):
        def fit():
            return ProbabilisticPCA(K, random_state=0, **options).fit(X)

        return fit

    def filled():
        mean = np.nanmean(X, axis=0)
        return np.where(missing, mean, X)

    def scikit_learn():
        return PCA(K, svd_solver="randomized", random_state=0).fit(filled())

    def pyppca():
        from pyppca import ppca

        np.random.seed(0)  # noqa: NPY002
        return ppca(X, K, False)

    methods = {
        "skastro": ours(),
        "skastro, tol=1e-3": ours(tol=1e-3),
        "skastro, one pass": ignore_warnings(category=ConvergenceWarning)(
            ours(max_iter=1)
        ),
        "scikit-learn PCA (randomized), mean-filled": scikit_learn,
        "pyppca": pyppca,
    }
    times = {name: [] for name in methods}
    for _ in range(repeats):
        for name, method in methods.items():
            found[name], seconds = helpers.cpu_time(method)
            times[name].append(seconds[0])
    rows = []
    for name, model in found.items():
        if name == "pyppca":
            C, imputed = model[0], model[4][missing]
        else:
            C = model.components_.T
            if name.startswith("skastro"):
                imputed = model.impute(X)[missing]
            else:
                imputed = model.inverse_transform(model.transform(filled()))[missing]
        ratio = np.array(times[name]) / np.array(times["skastro"])
        rows.append(
            [
                name,
                getattr(model, "n_iter_", ""),
                helpers.spread(times[name]),
                helpers.spread(ratio),
                f"{np.sqrt(np.mean((imputed - truth) ** 2)):.5f}",
                f"{sine(C, reference):.3f}",
            ]
        )
    header = [
        "",
        "passes",
        "CPU s",
        "ratio to skastro",
        "RMSE at masked pixels, noise-free",
    ]
    return helpers.table([*header, "sine of the largest angle to complete data"], rows)


def iterations(n, repeats):
    """One iteration of EM beside wpca.EMPCA, which is patched to run at all."""
    import wpca.empca
    import wpca.utils

    def patched(X, force_all_finite=True, **options):
        return check_array(X, ensure_all_finite=force_all_finite, **options)

    wpca.utils.check_array = wpca.empca.check_array = patched
    validation.check_array = check_array
    rng = np.random.default_rng(2)
    X = Giants().spectra(n, rng)
    missing = Giants.holes(n, rng)
    sigma = (0.01 * rng.lognormal(0, 0.3, X.shape)).astype("f4")
    holes = np.where(missing, np.float32(np.nan), X)
    n_observed = (~missing).sum(axis=0)
    blocks = list(row_blocks(holes, None, 512))
    start = missing_em.start(blocks, K, K + 10, np.nanmean(holes, axis=0), rng_of(0))
    with_errors = list(row_blocks(holes, sigma, 512))
    loadings = start.basis[:, :K].astype(float) * np.sqrt(start.variance[:K])
    weighted = weighted_em.WeightedModel(start.mean, loadings, 1e-5)

    def empca(weights, n_iter):
        model = wpca.EMPCA(K, max_iter=n_iter, random_state=0)
        return helpers.cpu_time(lambda: model.fit(np.array(X), weights=weights))[1][0]

    rows = []
    for name, ours, weights in [
        (
            "missing pixels",
            lambda: missing_em.em_pass(blocks, n_observed, start),
            (~missing).astype(float),
        ),
        (
            "and an error for each",
            lambda: weighted_em.em_pass(with_errors, weighted),
            np.where(missing, 0, 1 / sigma),
        ),
    ]:
        mine = np.array([helpers.cpu_time(ours)[1][0] for _ in range(repeats)])
        # two iterations less one: without the E-step that ends a fit
        theirs = np.array(
            [empca(weights, 2) - empca(weights, 1) for _ in range(min(2, repeats))]
        )
        ratio = theirs.mean() / mine
        rows.append(
            [name, *(helpers.spread(values) for values in (mine, theirs, ratio))]
        )
    return helpers.table(["", "skastro, CPU s", "wpca.EMPCA, CPU s", "ratio"], rows)


def rng_of(seed):
    return np.random.RandomState(seed)


def write_survey(path, n):
    """Write spectra of n stars, two per cent missing."""
    out = np.lib.format.open_memmap(path, "w+", np.float32, (n, N_PIXELS))
    giants, rng = Giants(), np.random.default_rng(3)
    for a in range(0, n, 4096):
        size = min(4096, n - a)
        out[a : a + size] = np.where(
            giants.holes(size, rng), np.nan, giants.spectra(size, rng)
        )
    out.flush()


def fit_survey(path):
    """Fit and transform a file, and print seconds and memory."""
    X = np.load(path, mmap_mode="r")
    before = peak_memory()
    wall, cpu = time.perf_counter(), time.process_time()
    ppca = ProbabilisticPCA(K, random_state=0).fit(X)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    t = time.perf_counter()
    ppca.transform(X)
    t = time.perf_counter() - t
    print(ppca.n_iter_, wall, cpu, t, before, peak_memory())


def peak_memory():
    """Return the peak of this process [GiB]; getrusage's is that of its parent too."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def survey(n, threads):
    """Fit a mapped file of n stars in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.npy"
        write_survey(path, n)
        size = path.stat().st_size / 2**30
        done = subprocess.run(
            [sys.executable, __file__, "--fit-survey", str(path)],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
    passes, wall, cpu, transform, before, peak = map(float, done.stdout.split())
    rows = [
        ["stars, pixels, file", f"{n:,} × {N_PIXELS:,}, {size:.2f} GiB"],
        ["threads", threads],
        ["passes", f"{passes:.0f}, and one for the means"],
        ["fit", f"{wall:.0f} s, {cpu:.0f} CPU s"],
        ["a pass", f"{wall / (passes + 1):.1f} s on average"],
        ["transform", f"{transform:.0f} s"],
        ["peak memory", f"{peak:.2f} GiB resident, mapped pages of the file included"],
        ["before the fit", f"{before:.2f} GiB"],
    ]
    return helpers.table(["", ""], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stars", type=int, default=10_000)
    parser.add_argument("--survey", type=int, default=151_145)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fit-survey", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.fit_survey:
        return fit_survey(args.fit_survey)
    sections = [
        f"## {args.stars:,} × {N_PIXELS:,} float32, 2 % missing, {K} components",
        beside_peers(args.stars, args.repeats),
        f"## One iteration of EM, 1,000 × {N_PIXELS:,}",
        "wpca 0.1 does not run with this scikit-learn: an argument that was renamed is"
        " patched.",
        iterations(1000, args.repeats),
        "## A survey in a mapped file",
        survey(args.survey, args.threads),
    ]
    helpers.write("ppca", sections, "scikit-learn", "numpy", "pyppca", "wpca")


if __name__ == "__main__":
    main()
