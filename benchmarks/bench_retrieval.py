"""BayesianRetrieval: time, calls, evidence and posterior beside its peers."""

import argparse
import logging
import warnings

import helpers
import numpy as np
from scipy import stats

from skastro.datasets import gas_prior, load_ngc1068
from skastro.emulation import EmulatorRegressor
from skastro.molecular import RadexEmulator, RadexModel
from skastro.parameter_space import Parameter, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval, Posterior

PER_WIDTH = {"column_density": "per line width"}


def train(lines, n_models):
    prior = gas_prior()
    space = ParameterSpace(prior.parameters | {"filling_factor": Uniform(1e-3, 1)})
    theta = space.sample_latin_hypercube(n_models, random_state=0)
    radex = RadexModel(lines, **PER_WIDTH)
    emulator = RadexEmulator(lines, EmulatorRegressor(random_state=0), **PER_WIDTH)
    return radex, emulator.fit(theta, radex.predict(theta))


def log_likelihood_of(model, y, sigma):
    constant = -np.log(sigma * np.sqrt(2 * np.pi)).sum()

    def log_likelihood(theta):
        residual = (model.predict(np.atleast_2d(theta)) - y) / sigma
        return constant - 0.5 * (residual**2).sum(axis=1)

    return log_likelihood


def describe(name, seconds, calls, log_evidence, error, samples, weights, shown):
    """One row: cost, evidence, and three medians with their spread."""
    samples = shown(samples)
    mean = weights @ samples
    std = np.sqrt(weights @ (samples - mean) ** 2)
    return [
        name,
        f"{seconds:.0f}",
        f"{calls:,}",
        f"{log_evidence:.2f} ± {error:.2f}",
        f"{1 / np.sum(weights**2):.0f}",
        *[f"{mean[i]:.2f} ± {std[i]:.2f}" for i in (0, 1, 3)],
    ]


def ours(name, model, prior, X, y, sigma, seed, **parameters):
    retrieval = BayesianRetrieval(model, prior, random_state=seed, **parameters)
    _, seconds = helpers.cpu_time(lambda: retrieval.fit(X, y, sigma=sigma))
    p = retrieval.posterior_
    row = describe(
        name,
        seconds[0],
        retrieval.n_calls_,
        p.log_evidence,
        p.log_evidence_err,
        p.weighted_samples,
        p.weights,
        p.shown,
    )
    return row, p


def scalar_ultranest(model, prior, y, sigma, shown, n_live_points):
    """The same problem with a likelihood of one point at a time."""
    import ultranest
    from ultranest import stepsampler

    logging.getLogger("ultranest").addHandler(logging.NullHandler())
    logging.getLogger("ultranest").propagate = False
    many = log_likelihood_of(model, y, sigma)
    np.random.seed(0)  # noqa: NPY002
    sampler = ultranest.ReactiveNestedSampler(
        prior.names, lambda theta: float(many(theta)[0]), prior.transform
    )
    sampler.stepsampler = stepsampler.SliceSampler(
        nsteps=4 * len(prior),
        generate_direction=stepsampler.generate_mixture_random_direction,
    )
    result, seconds = helpers.cpu_time(
        lambda: sampler.run(
            min_num_live_points=n_live_points,
            frac_remain=0.01,
            dlogz=np.inf,
            dKL=np.inf,
            max_num_improvement_loops=0,
            show_status=False,
            viz_callback=False,
        )
    )
    weighted = result["weighted_samples"]
    weights = weighted["weights"] / np.sum(weighted["weights"])
    return describe(
        "UltraNest, scalar likelihood, slice sampler",
        seconds[0],
        result["ncall"],
        result["logz"],
        result["logzerr"],
        weighted["points"],
        weights,
        shown,
    )


def scalar_dynesty(model, prior, y, sigma, shown, n_live_points):
    import dynesty

    many = log_likelihood_of(model, y, sigma)
    sampler = dynesty.NestedSampler(
        lambda theta: float(many(theta)[0]),
        prior.transform,
        len(prior),
        nlive=n_live_points,
        sample="rwalk",
        rstate=np.random.default_rng(0),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, seconds = helpers.cpu_time(
            lambda: sampler.run_nested(dlogz=0.01, print_progress=False)
        )
    result = sampler.results
    return describe(
        "dynesty, scalar likelihood, rwalk",
        seconds[0],
        int(np.sum(result.ncall)),
        result.logz[-1],
        result.logzerr[-1],
        result.samples,
        result.importance_weights(),
        shown,
    )


def analytic(n_parameters, seeds):
    """Linear Gaussian model: errors in units of the stated standard errors."""
    rng = np.random.default_rng(n_parameters)
    X = rng.standard_normal((2 * n_parameters, n_parameters))
    sigma = rng.uniform(0.2, 0.5, len(X))
    y = X @ rng.standard_normal(n_parameters) + sigma * rng.standard_normal(len(X))
    prior = ParameterSpace(
        {f"p{i}": Parameter(stats.norm(0, 2)) for i in range(n_parameters)}
    )
    precision = X.T @ (X / sigma[:, None] ** 2) + np.eye(n_parameters) / 4
    covariance = np.linalg.inv(precision)
    mean = covariance @ X.T @ (y / sigma**2)
    log_z = stats.multivariate_normal(cov=4 * X @ X.T + np.diag(sigma**2)).logpdf(y)
    std = np.sqrt(np.diag(covariance))
    pulls, shifts, ratios, seconds = [], [], [], []
    for seed in range(seeds):
        retrieval = BayesianRetrieval(lambda t, X: t @ X.T, prior, random_state=seed)
        _, cost = helpers.cpu_time(lambda r=retrieval: r.fit(X, y, sigma=sigma))
        p = retrieval.posterior_
        seconds.append(cost[0])
        pulls.append((p.log_evidence - log_z) / p.log_evidence_err)
        shifts.append(np.abs((p.mean() - mean) / std).max())
        ratios.append(np.abs(p.std() / std - 1).max())
    return [
        n_parameters,
        f"{log_z:.2f}",
        ", ".join(f"{pull:+.1f}" for pull in pulls),
        helpers.spread(shifts, 2),
        helpers.spread(ratios, 2),
        helpers.spread(seconds, 2),
    ]


HEADER = [
    "run",
    "CPU s",
    "calls",
    "ln Z",
    "ESS",
    "T [K]",
    "log n",
    "log N(HCN)/dv",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--live", type=int, default=400)
    parser.add_argument("--radex-live", type=int, default=400)
    arguments = parser.parse_args()
    galaxy = load_ngc1068()
    prior = galaxy.prior
    radex, emulator = train(galaxy.lines, arguments.models)
    X, y, sigma = emulator.encode_lines(galaxy.lines), galaxy.intensity, galaxy.sigma
    rows, posterior = [], None
    for seed in range(arguments.seeds):
        row, posterior = ours(
            f"BayesianRetrieval, seed {seed}",
            emulator, prior, X, y, sigma, seed, n_live_points=arguments.live,
        )  # fmt: skip
        rows.append(row)
    row, _ = ours(
        "BayesianRetrieval, twice the steps",
        emulator, prior, X, y, sigma, 0,
        n_live_points=arguments.live, n_steps=8 * len(prior),
    )  # fmt: skip
    rows.append(row)
    emulator.set_params(extrapolation="ignore")
    for peer in (scalar_dynesty, scalar_ultranest):
        rows.append(peer(emulator, prior, y, sigma, posterior.shown, arguments.live))

    # a synthetic galaxy: direct RADEX beside the emulator
    truth = np.array([[150.0, 5e5, 1e17, 10**13.2, 1e13, 10**11.5, 50.0, 0.8]])
    y = radex.predict(truth)[0]
    direct, exact = ours(
        "RADEX itself", radex, prior, X, y, 0.2 * y, 0,
        n_live_points=arguments.radex_live,
    )  # fmt: skip
    fast, emulated = ours(
        "its emulator", emulator, prior, X, y, 0.2 * y, 0,
        n_live_points=arguments.radex_live,
    )  # fmt: skip
    low, high = exact.shown(exact.credible_interval())
    sigma_shown = 0.5 * (high - low)

    def shift(first, second):
        medians = (p.shown(p.quantile(0.5)) for p in (first, second))
        shifts = np.abs(np.subtract(*medians)) / sigma_shown
        return ", ".join(
            f"{n} {s:.2f}" for n, s in zip(prior.names, shifts, strict=True)
        )

    # without the scatter of two samplers: the emulator's samples, weighted for RADEX
    kept = emulated.weights > 1e-7
    samples, weights = emulated.weighted_samples[kept], emulated.weights[kept]
    log_ratio = np.subtract(
        *(log_likelihood_of(m, y, 0.2 * y)(samples) for m in (radex, emulator))
    )
    ratio = np.exp(log_ratio) / (weights @ np.exp(log_ratio))
    reweighted = Posterior(prior, samples, samples, weights * ratio, log_ratio, 0, 0)
    sections = [
        "## NGC 1068, five lines, one gas phase, eight parameters\n\nOne emulator for"
        f" all runs; {arguments.live} live points; mean ± standard deviation.",
        helpers.table(HEADER, rows),
        "## A synthetic galaxy: the posterior of the emulator and of RADEX itself\n\n"
        f"{arguments.radex_live} live points.",
        helpers.table(HEADER, [direct, fast]),
        "Shift of the medians, in units of half the 68 % interval, between the two"
        f" runs: {shift(emulated, exact)}.",
        "And between the emulator's posterior and the same samples weighted by RADEX's"
        f" likelihood: {shift(emulated, reweighted)}; ln Z moves by"
        f" {np.log(weights @ np.exp(log_ratio) / weights.sum()):+.4f}.",
        "## Linear Gaussian models of known evidence and posterior\n\n"
        f"{arguments.seeds} seeds.",
        helpers.table(
            [
                "d",
                "ln Z",
                "(ln Z found − true) / its error",
                "largest shift of a mean [σ]",
                "largest relative error of a σ",
                "CPU s",
            ],
            [analytic(d, arguments.seeds) for d in (2, 5, 8)],
        ),
    ]
    helpers.write("retrieval", sections, "ultranest", "dynesty", "torch")


if __name__ == "__main__":
    main()
