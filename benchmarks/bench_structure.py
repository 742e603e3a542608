"""Retrievals that integrate what need not be sampled: maps and objects of many kinds,
beside the same with everything sampled and UltraNest; evidence against brute force."""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import helpers
import numpy as np
from bench_chemistry import models
from bench_many_objects import fit, scene
from bench_retrieval import train
from joblib.externals.loky import get_reusable_executor
from scipy.special import logsumexp
from scipy.stats import qmc

from skastro.datasets import load_ngc1068


def dissimilar(model, prior, n):
    """Objects drawn from the prior, with errors of 20 %."""
    rng = np.random.default_rng(7)
    theta = prior.transform(rng.random((n, len(prior))))
    y = model.predict(theta[:, columns(model, prior)])
    sigma = np.maximum(0.2 * y, 1.0)
    return (y + sigma * rng.standard_normal(y.shape)).T, sigma.T


def columns(model, prior):
    return [prior.names.index(name) for name in model.parameter_names]


def brute_force(model, prior, y, sigma, n):
    """ln Z by means over the prior, and its error."""
    sobol = qmc.Sobol(len(prior), rng=np.random.default_rng(3))
    total = np.full(y.shape[1], -np.inf)
    square = total.copy()
    constant = -np.log(sigma * np.sqrt(2 * np.pi)).sum(axis=0)
    for _ in range(n // 2**16):
        u = np.clip(sobol.random(2**16), 1e-9, 1 - 1e-9)
        lines = model.predict(prior.transform(u)[:, columns(model, prior)])
        for i in range(y.shape[1]):
            chi = (((lines - y[:, i]) / sigma[:, i]) ** 2).sum(axis=1)
            value = constant[i] - 0.5 * chi
            total[i] = np.logaddexp(total[i], logsumexp(value))
            square[i] = np.logaddexp(square[i], logsumexp(2 * value))
    return total - np.log(n), np.exp(0.5 * square - total)


def work(name, model, prior, X, y, sigma, arguments):
    """One row: this, everything sampled on some objects, UltraNest on a few."""
    same = {"model_spread": False, "random_state": 0}
    many = same | {"sampler": "importance"}
    fit(model, prior, X, y[:, :2], sigma[:, :2], **many)  # compile
    retrieval, seconds = fit(model, prior, X, y, sigma, **many)
    n = y.shape[1]
    some = np.linspace(0, n - 1, min(n, arguments.sampled)).astype(int)
    _, sampled = fit(
        model, prior, X, y[:, some], sigma[:, some], structure="ignore", **many
    )
    few = np.linspace(0, n - 1, arguments.serial).astype(int)
    nested = [
        fit(model, prior, X, y[:, i], sigma[:, i], structure="ignore", **same)[1]
        for i in few
    ]
    ess = retrieval.posterior_.effective_sample_size
    each, sampled = seconds / n, sampled / len(some)
    return [
        name,
        f"{n:,}",
        f"{1e3 * each:.1f}",
        f"{ess.min():.0f}, {np.median(ess):.0f}",
        f"{1e3 * sampled:.0f}",
        f"{sampled / each:.0f}",
        helpers.spread(nested),
        f"{np.mean(nested) / each:.0f}",
    ]


def one_object(model, prior, X, galaxy, seeds):
    """One object by nested sampling, with and without structure."""
    rows = []
    for structure in ("auto", "ignore"):
        found = [
            fit(
                model,
                prior,
                X,
                galaxy.intensity,
                galaxy.sigma,
                structure=structure,
                random_state=seed,
            )
            for seed in range(seeds)
        ]
        posteriors = [retrieval.posterior_ for retrieval, _ in found]
        rows.append(
            [
                structure,
                helpers.spread([seconds for _, seconds in found]),
                f"{np.mean([r.n_calls_ for r, _ in found]):,.0f}",
                ", ".join(f"{r.log_evidence_:.2f}" for r, _ in found),
                f"{np.mean([p.log_evidence_err for p in posteriors]):.2f}",
                f"{np.mean([p.effective_sample_size for p in posteriors]):.0f}",
            ]
        )
    return rows


def apart(function, *arguments):
    """Call a function in a process of its own, whose memory nothing else has used."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()


def large_map(model, prior, X, side, n_samples):
    """Every pixel of a large map on two processes, results on the disk."""
    _, y, sigma = scene(model, prior, side)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        retrieval, _ = fit(
            model,
            prior,
            X,
            y,
            sigma,
            sampler="importance",
            n_samples=n_samples,
            model_spread=False,
            n_jobs=2,
            log_dir=folder,
            random_state=0,
        )
        wall = time.perf_counter() - start
        start = time.perf_counter()
        ess = retrieval.posterior_.effective_sample_size
        medians = retrieval.posterior_.quantile(0.5)
        reading = time.perf_counter() - start
    # idle workers would be waited for, and their memory counts once they have ended
    get_reusable_executor().shutdown(wait=True)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert np.isfinite(medians).all()
    return (
        f"{side} × {side} pixels, free columns, {n_samples} samples each kept in a"
        f" folder, two processes: {wall / 60:.1f} minutes, {kib / 2**20:.2f} GiB"
        f" resident at most in the first process and {worker / 2**20:.2f} in a worker;"
        f" effective sample sizes of {ess.min():.0f} and more; medians of all read back"
        f" in {reading:.0f} s."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20_000)
    parser.add_argument("--map", type=int, default=50)
    parser.add_argument("--large", type=int, default=100)
    parser.add_argument("--sampled", type=int, default=16)
    parser.add_argument("--serial", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--brute", type=int, default=2**22)
    parser.add_argument("--only-large", action="store_true")
    arguments = parser.parse_args()
    galaxy = load_ngc1068()
    lines = galaxy.lines
    _, free = train(lines, arguments.models)
    X = free.encode_lines(lines)
    if arguments.only_large:
        large = apart(large_map, free, galaxy.prior, X, arguments.large, 128)
        sections = [f"## A large map\n\n{large}"]
        helpers.write("structure_large_map", sections, "torch", "numba")
        return
    chemical, _ = models(lines, arguments.models)
    y, sigma = dissimilar(free, galaxy.prior, 256)
    _, *free_map = scene(free, galaxy.prior, arguments.map)
    _, *chemical_map = scene(chemical, galaxy.chemical_prior, arguments.map)
    size = f"{arguments.map} × {arguments.map} pixels"
    rows = [
        work(name, model, prior, X, *data, arguments)
        for name, model, prior, data in (
            (f"{size}, free columns", free, galaxy.prior, free_map),
            (f"{size}, with chemistry", chemical, galaxy.chemical_prior, chemical_map),
            ("drawn from the prior, free columns", free, galaxy.prior, (y, sigma)),
        )
    ]
    some = y[:, :32], sigma[:, :32]
    truth, error = brute_force(free, galaxy.prior, *some, arguments.brute)
    differences = []
    for seed in range(arguments.seeds):
        retrieval, _ = fit(
            free, galaxy.prior, X, *some, sampler="importance", random_state=seed
        )
        own = np.hypot(retrieval.log_evidence_err_, error)
        differences.append([retrieval.log_evidence_ - truth, own])
    found, own = np.transpose(differences, (1, 0, 2))
    known = error < 0.1
    bias = np.average(found[:, known].mean(axis=0), weights=error[known] ** -2)
    pulls = (found / own)[:, known]
    sections = [
        "## Many objects, one core\n\nImportance sampling; what need not be sampled is"
        f" integrated. With everything sampled on {arguments.sampled} of the objects;"
        f" UltraNest, everything sampled, on {arguments.serial} of them.",
        helpers.table(
            [
                "work",
                "objects",
                "ms an object",
                "ESS, least and median",
                "all sampled, ms",
                "ratio",
                "UltraNest, CPU s",
                "ratio",
            ],
            rows,
        ),
        "## Evidence\n\nObjects drawn from the prior, free columns, against the mean"
        f" likelihood of {arguments.brute:,} models of the prior, {known.sum()} objects"
        f" of which that is known within 0.1, {arguments.seeds} seeds: mean difference"
        f" of ln Z {bias:+.3f}; differences over their errors have a mean of"
        f" {pulls.mean():+.2f} and a standard deviation of {pulls.std():.2f}.",
        "## One object, NGC 1068, nested sampling, free columns",
        helpers.table(
            ["structure", "CPU s", "calls", "ln Z", "stated error", "ESS"],
            one_object(free, galaxy.prior, X, galaxy, arguments.seeds),
        ),
    ]
    if arguments.large:
        large = apart(large_map, free, galaxy.prior, X, arguments.large, 128)
        sections.append(f"## A large map\n\n{large}")
    helpers.write("structure", sections, "ultranest", "torch", "numba")


if __name__ == "__main__":
    main()
