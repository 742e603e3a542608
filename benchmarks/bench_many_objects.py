"""Retrievals with chemistry: the thesis' cases, calibration, and maps of many pixels by
importance sampling beside UltraNest and dynesty."""

import argparse
import resource
import time

import helpers
import numpy as np
from bench_chemistry import models
from bench_retrieval import train
from scipy import stats

from skastro.datasets import (
    chemical_prior,
    gas_prior,
    load_ngc1068,
    load_synthetic_galaxy,
)
from skastro.metrics import simulation_based_calibration
from skastro.molecular import MultiPhaseModel
from skastro.retrieval import BayesianRetrieval


def cpu():
    """CPU seconds of this process and the workers that have ended."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(w).ru_utime for w in who)


def fit(model, prior, X, y, sigma, **parameters):
    retrieval = BayesianRetrieval(model, prior, **parameters)
    start = cpu()
    retrieval.fit(X, y, sigma=sigma)
    return retrieval, cpu() - start


# -- the thesis' cases


def interval(posterior, name):
    i = posterior.names.index(name)
    low, middle, high = posterior.quantile([0.1587, 0.5, 0.8413])[:, i]
    return low, middle, high


def write_interval(posterior, name):
    low, middle, high = interval(posterior, name)
    return f"{middle:.3g} ({low:.3g}–{high:.3g})"


def one_phase(chemical, free):
    """Tables 2.3 and 2.4: what chemistry adds."""
    galaxy = load_synthetic_galaxy(1)
    truth = galaxy.phases[0]
    rows, posteriors = [], []
    cases = (("with chemistry", chemical, chemical_prior()), ("without", free, None))
    for name, model, prior in cases:
        X = model.encode_lines(galaxy.lines)
        prior = gas_prior() if prior is None else prior
        retrieval, seconds = fit(
            model, prior, X, galaxy.intensity, galaxy.sigma, random_state=0
        )
        posterior = retrieval.posterior_
        posteriors.append(posterior)
        rows.append(
            [
                name,
                *(write_interval(posterior, n) for n in ("temperature", "density")),
                f"{retrieval.log_evidence_:.2f} ± {retrieval.log_evidence_err_:.2f}",
                f"{seconds:.0f}",
            ]
        )
    widths = [
        [np.ptp(np.log(interval(p, n))) for n in ("temperature", "density")]
        for p in posteriors
    ]
    lower, upper = posteriors[0].credible_interval(0.95)
    names = posteriors[0].names
    inside = [
        n for n, a, b in zip(names, lower, upper, strict=True) if a < truth[n] < b
    ]
    text = (
        "Widths of the 68 % intervals with chemistry over those without, in the"
        f" logarithm: temperature {widths[0][0] / widths[1][0]:.2f}, density"
        f" {widths[0][1] / widths[1][1]:.2f}. Truth (150 K, 5e5 cm^-3) in the 95 %"
        f" intervals of {len(inside)} of {len(names)} parameters with chemistry."
    )
    return rows, text


def two_phases(chemical):
    """Tables 2.5 and 2.6, and one phase against two."""
    galaxy = load_synthetic_galaxy(2)
    X = chemical.encode_lines(galaxy.lines)
    two = MultiPhaseModel(chemical, 2)
    prior = two.prior(chemical_prior(), order_by="temperature")
    rows = []
    for sampler in ("auto", "importance"):
        retrieval, seconds = fit(
            two, prior, X, galaxy.intensity, galaxy.sigma,
            sampler=sampler, random_state=0,
        )  # fmt: skip
        posterior = retrieval.posterior_
        names = ("temperature_1", "density_1", "temperature_2", "density_2")
        rows.append(
            [
                f"two phases, {sampler}",
                *(write_interval(posterior, name) for name in names),
                f"{retrieval.log_evidence_:.2f} ± {retrieval.log_evidence_err_:.2f}",
                f"{seconds:.0f}",
            ]
        )
    one, seconds = fit(
        chemical, chemical_prior(), X, galaxy.intensity, galaxy.sigma, random_state=0
    )
    evidence = f"{one.log_evidence_:.2f} ± {one.log_evidence_err_:.2f}"
    own = [write_interval(one.posterior_, n) for n in ("temperature", "density")]
    rows.append(["one phase", *own, "", "", evidence, f"{seconds:.0f}"])
    return rows


def ngc1068(chemical):
    """Table 2.7, and the check that flags HCO+."""
    galaxy = load_ngc1068()
    X = chemical.encode_lines(galaxy.lines)
    kept = [i for i, line in enumerate(galaxy.lines) if line != "HCO+(4-3)"]
    rows = []
    for name, lines in (("without HCO+", kept), ("all lines", range(5))):
        lines = list(lines)
        retrieval, _ = fit(
            chemical, galaxy.chemical_prior, X[lines], galaxy.intensity[lines],
            galaxy.sigma[lines], random_state=0,
        )  # fmt: skip
        mean, std = retrieval.predict(X, return_std=True)
        pull = (galaxy.intensity - mean) / np.hypot(galaxy.sigma, std)
        rows.append(
            [
                name,
                *(
                    write_interval(retrieval.posterior_, n)
                    for n in ("temperature", "density", "metallicity")
                ),
                ", ".join(f"{value:+.1f}" for value in pull),
                f"{retrieval.log_evidence_:.1f}",
            ]
        )
    return rows, galaxy.lines


# -- calibration


def calibration(model, prior, lines, n):
    retrieval = BayesianRetrieval(
        model, prior, sampler="importance", n_jobs=2, random_state=0
    )
    start = time.perf_counter()
    found = simulation_based_calibration(
        retrieval,
        model.encode_lines(lines),
        lambda y: np.maximum(0.2 * y, 0.1),
        n_simulations=n,
        random_state=0,
    )
    seconds = time.perf_counter() - start
    levels = [0.6827, 0.95]
    marginal = found.names, *found.coverage(levels), found.p_values
    jointly = found.joint_names, *found.joint_coverage(levels), found.joint_p_values
    rows = [
        [name, f"{a:.3f}", f"{b:.3f}", f"{p:.3f}"]
        for columns in (marginal, jointly)
        for name, a, b, p in zip(*columns, strict=True)
    ]
    return rows, found.passes(), seconds


# -- speed


def dynesty_run(model, prior, X, y, sigma):
    import warnings

    import dynesty

    order = [prior.names.index(name) for name in model.parameter_names]
    columns = X[:, 0].astype(int)
    constant = -np.log(sigma * np.sqrt(2 * np.pi)).sum()

    def log_likelihood(theta):
        residual = (model.predict(theta[None, order])[0, columns] - y) / sigma
        return constant - 0.5 * residual @ residual

    sampler = dynesty.NestedSampler(
        log_likelihood, prior.transform, len(prior), nlive=400, sample="rwalk",
        rstate=np.random.default_rng(0),
    )  # fmt: skip
    start = cpu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sampler.run_nested(dlogz=0.01, print_progress=False)
    result = sampler.results
    samples, weights = result.samples, result.importance_weights()
    return samples, weights, result.logz[-1], result.logzerr[-1], cpu() - start


def ks(first, second):
    """Largest distance of two weighted samples' distributions, in any parameter."""
    distances = []
    for i in range(first[0].shape[1]):
        grid = np.quantile(np.concatenate([first[0][:, i], second[0][:, i]]),
                           np.linspace(0, 1, 400))  # fmt: skip
        cdfs = []
        for samples, weights in (first, second):
            order = np.argsort(samples[:, i])
            total = np.concatenate([[0], np.cumsum(weights[order])])
            cdfs.append(total[np.searchsorted(samples[order, i], grid, "right")])
        distances.append(np.abs(cdfs[0] - cdfs[1]).max())
    return max(distances)


def one_object(model, prior, X, y, sigma, seeds):
    """Importance sampling beside nested sampling, of one object."""
    rows, reference = [], None
    for sampler in ("auto", "importance"):
        for seed in range(seeds):
            retrieval, seconds = fit(
                model, prior, X, y, sigma, sampler=sampler, random_state=seed
            )
            p = retrieval.posterior_
            own = p.weighted_samples, p.weights
            reference = own if reference is None else reference
            rows.append(
                [
                    f"{'UltraNest' if sampler == 'auto' else sampler}, seed {seed}",
                    f"{seconds:.2f}",
                    f"{retrieval.n_calls_:,}",
                    f"{p.log_evidence:.2f} ± {p.log_evidence_err:.2f}",
                    f"{p.effective_sample_size:.0f}",
                    f"{ks(reference, own):.3f}",
                ]
            )
    samples, weights, log_z, error, seconds = dynesty_run(model, prior, X, y, sigma)
    rows.append(
        [
            "dynesty, scalar likelihood",
            f"{seconds:.2f}",
            "",
            f"{log_z:.2f} ± {error:.2f}",
            f"{1 / np.sum(weights**2):.0f}",
            f"{ks(reference, (samples, weights)):.3f}",
        ]
    )
    return rows


def scene(model, prior, n):
    """A smooth map: parameters that vary by a good part of the prior."""
    rows, columns = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    core = np.exp(-(rows**2 + columns**2) / 0.5)
    clump = np.exp(-((columns - 0.4) ** 2 + (rows + 0.3) ** 2) / 0.3)
    fields = [core, clump, 1 - core, columns / 2 + 0.5]
    u = np.stack([fields[i % 4] for i in range(len(prior))], axis=-1)
    u = 0.3 + 0.5 * u.reshape(-1, len(prior))
    theta = prior.transform(u)
    order = [prior.names.index(name) for name in model.parameter_names]
    y = model.predict(theta[:, order])
    sigma = np.maximum(0.2 * y, 0.1)
    noise = np.random.default_rng(0).standard_normal(y.shape)
    return theta, (y + sigma * noise).T, sigma.T


def a_map(name, model, prior, lines, n, n_serial):
    """All pixels by importance sampling; a few by UltraNest, one after the other."""
    theta, y, sigma = scene(model, prior, n)
    X = model.encode_lines(lines)
    # errors of 20 % are a hundred times the emulators' own
    same = {"model_spread": False, "random_state": 0}
    retrieval, seconds = fit(model, prior, X, y, sigma, sampler="importance", **same)
    p = retrieval.posterior_
    picked = np.linspace(0, n * n - 1, n_serial).astype(int)
    times, shifts, pulls = [], [], []
    for i in picked:
        nested, cost = fit(model, prior, X, y[:, i], sigma[:, i], **same)
        times.append(cost)
        std = nested.posterior_.std()
        shifts.append(np.abs(nested.posterior_.mean() - p[i].mean()) / std)
        pulls.append(nested.log_evidence_ - p[i].log_evidence)
    ess = p.effective_sample_size
    serial = np.mean(times) * n * n
    return [
        name,
        f"{n} × {n}",
        f"{seconds:.0f}",
        f"{1e3 * seconds / n**2:.0f}",
        helpers.spread(times),
        f"{serial / seconds:.0f}",
        f"{np.quantile(ess, 0.01):.0f}, {np.median(ess):.0f}",
        f"{np.mean(ess < 200):.4f}",
        f"{np.median(np.abs(pulls)):.2f}",
        f"{np.median(shifts):.3f}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=20_000)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--map", type=int, default=50)
    parser.add_argument("--serial", type=int, default=5)
    arguments = parser.parse_args()
    galaxy = load_ngc1068()
    lines = galaxy.lines
    chemical, _ = models(lines, arguments.models)
    _, free = train(lines, arguments.models)
    X = chemical.encode_lines(lines)
    cases, text = one_phase(chemical, free)
    knot, names = ngc1068(chemical)
    header = ["run", "CPU s", "calls", "ln Z", "ESS", "KS to UltraNest"]
    sections = [
        "## The synthetic galaxy of one phase (Tables 2.3, 2.4)",
        helpers.table(["run", "T [K]", "n [cm^-3]", "ln Z", "CPU s"], cases),
        text,
        "## The synthetic galaxy of two phases (Tables 2.5, 2.6)\n\nTrue: 50 K,"
        " 2e4 cm^-3 and 150 K, 5e5 cm^-3.",
        helpers.table(
            ["run", "T 1", "n 1", "T 2", "n 2", "ln Z", "CPU s"], two_phases(chemical)
        ),
        "## NGC 1068, East Knot, with chemistry (Table 2.7)",
        helpers.table(
            ["fit to", "T [K]", "n [cm^-3]", "m_Z", ", ".join(names) + " [σ]", "ln Z"],
            knot,
        ),
        "Observed less predicted, in their common errors; all lines are predicted,"
        " whichever were fitted.",
    ]
    problems = {
        "with chemistry": (chemical, galaxy.chemical_prior),
        "free columns": (free, galaxy.prior),
    }
    for name, (model, prior) in problems.items():
        rows, passes, seconds = calibration(model, prior, lines, arguments.simulations)
        noise = np.sqrt(stats.binom(arguments.simulations, 0.6827).var())
        sections += [
            f"## Calibration, {name}: {arguments.simulations} simulated objects\n\n"
            f"{'Passes' if passes else 'Fails'} at the 1 % level; {seconds:.0f} s on"
            f" two cores; sampling error of the 68 % column"
            f" {noise / arguments.simulations:.3f}.",
            helpers.table(["parameter", "in 68 %", "in 95 %", "p (uniform)"], rows),
        ]
    for name, (model, prior) in problems.items():
        y = galaxy.intensity if name == "free columns" else model.predict(
            [[150, 5e5, 0.9, 40, 10, 100, 50, 1.0]]
        )[0]  # fmt: skip
        rows = one_object(model, prior, X, y, 0.2 * y, arguments.seeds)
        sections += [f"## One object, {name}, d = 8", helpers.table(header, rows)]
    maps = [
        a_map(name, *problem, lines, arguments.map, arguments.serial)
        for name, problem in problems.items()
    ]
    sections += [
        "## Maps, one core\n\nAll pixels by importance sampling, beside UltraNest on"
        f" {arguments.serial} of them, one after the other. ESS is the first percentile"
        " and the median. The last columns are medians over these pixels: differences"
        " of ln Z, and of posterior means in standard deviations.",
        helpers.table(
            [
                "model", "pixels", "CPU s", "ms a pixel", "UltraNest, CPU s a pixel",
                "ratio", "ESS", "below 200", "|Δ ln Z|", "|Δ mean| / σ",
            ],
            maps,
        ),
    ]  # fmt: skip
    helpers.write("many_objects", sections, "ultranest", "dynesty", "torch")


if __name__ == "__main__":
    main()
