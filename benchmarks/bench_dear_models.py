"""Retrieval by few calls of a dear model: calls, time and evidence beside its peers."""

import argparse
import warnings

import helpers
import numpy as np
from joblib import Parallel, delayed
from scipy import special

from skastro.datasets import load_ngc1068
from skastro.molecular import RadexModel
from skastro.retrieval import BayesianRetrieval
from skastro.retrieval._sampling_importance import Mixture, _log_prior

HEADER = ["run", "seed", "calls", "CPU s", "ESS", "ln Z", "ln Z − reference"]


class Problem:
    """The five lines of NGC 1068, by RADEX itself, whose calls are counted."""

    def __init__(self):
        self.galaxy = load_ngc1068()
        self.prior = self.galaxy.prior
        # lines that overlap are none of these
        self.model = RadexModel(
            self.galaxy.lines, column_density="per line width", overlap="ignore"
        )
        self.constant = -np.log(self.galaxy.sigma * np.sqrt(2 * np.pi)).sum()
        self.n_calls = 0

    def log_likelihood(self, theta):
        theta = np.atleast_2d(theta)
        self.n_calls += len(theta)
        residual = self.model.predict(theta) - self.galaxy.intensity
        return self.constant - 0.5 * ((residual / self.galaxy.sigma) ** 2).sum(axis=1)


def ours(problem, seed, **parameters):
    galaxy = problem.galaxy
    retrieval = BayesianRetrieval(
        problem.model, problem.prior, random_state=seed, **parameters
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _, seconds = helpers.cpu_time(
            lambda: retrieval.fit(galaxy.lines, galaxy.intensity, sigma=galaxy.sigma)
        )
    p = retrieval.posterior_
    return (
        retrieval.n_calls_,
        seconds[0],
        p.effective_sample_size,
        p.log_evidence,
        p.log_evidence_err,
        p,
    )


def nautilus(problem, seed, n_eff):
    """The package's defaults, until it has its effective number of samples."""
    import nautilus

    problem.n_calls = 0
    sampler = nautilus.Sampler(
        problem.prior.transform,
        problem.log_likelihood,
        n_dim=len(problem.prior),
        vectorized=True,
        pass_dict=False,
        seed=seed,
    )
    _, seconds = helpers.cpu_time(
        lambda: sampler.run(n_eff=n_eff, discard_exploration=False)
    )
    ess = sampler.n_eff
    return problem.n_calls, seconds[0], ess, sampler.log_z, ess**-0.5


def reference(problem, posterior, n_draws, seed):
    """Importance sampling from one mixture, fixed beforehand: nothing adapts.

    The mixture is of Student's t distributions fitted to a posterior, with a share of
    the prior; its draws have no part in any other run.
    """
    rng = np.random.default_rng(seed)
    u = problem.prior.inverse_transform(posterior.samples)
    mixture = Mixture.fit(special.ndtri(np.clip(u, 1e-9, 1 - 1e-9)), rng, 24)
    parts = []
    for _ in range(0, n_draws, 4000):
        z = mixture.sample(4000, rng)
        theta = problem.prior.transform(np.clip(special.ndtr(z), 1e-15, 1 - 1e-15))
        log_ratio = _log_prior(z) - mixture.log_density(z)
        parts.append(problem.log_likelihood(theta) + log_ratio)
    log_weight = np.concatenate(parts)
    weights = np.exp(log_weight - log_weight.max())
    ess = weights.sum() ** 2 / np.sum(weights**2)
    return np.log(weights.mean()) + log_weight.max(), ess


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--peer-seeds", type=int, default=1)
    parser.add_argument("--live", type=int, default=400)
    parser.add_argument("--min-ess", type=float, default=1000)
    parser.add_argument("--reference", type=int, default=100_000)
    parser.add_argument("--n-jobs", type=int, default=1)
    arguments = parser.parse_args()
    problem = Problem()
    dear = {
        "sampler": "importance",
        "max_calls": 15_000,
        "min_ess": arguments.min_ess,
    }
    peers = range(arguments.peer_seeds)
    tasks = [
        ("importance sampling placed by a surrogate", seed, ours, dear)
        for seed in range(arguments.seeds)
    ]
    tasks += [
        ("nautilus", seed, nautilus, {"n_eff": arguments.min_ess}) for seed in peers
    ]
    bank = {"sampler": "importance", "min_ess": 200}
    tasks += [
        ("importance sampling from a bank of the prior", seed, ours, bank)
        for seed in peers
    ]
    if arguments.live:
        name = f"UltraNest, {arguments.live} live points"
        tasks.append((name, 0, ours, {"n_live_points": arguments.live}))

    def run(name, seed, function, parameters):
        *figures, log_z, error = function(problem, seed, **parameters)[:5]
        print(name, seed, *figures, log_z, error, flush=True)
        return name, seed, *figures, log_z, error

    def refer():
        # of more calls than the runs, so that the mixture is a good one
        posterior = ours(problem, 77, **dear | {"min_ess": 5 * arguments.min_ess})[-1]
        log_z, ess = reference(problem, posterior, arguments.reference, 5)
        print("reference", log_z, ess, flush=True)
        return log_z, ess

    # the longest ones first
    jobs = [delayed(refer)(), *[delayed(run)(*task) for task in tasks[::-1]]]
    (log_z, ess), *runs = Parallel(n_jobs=arguments.n_jobs)(jobs)
    rows = [
        [
            name,
            seed,
            f"{calls:,}",
            f"{seconds:.0f}",
            f"{size:.0f}",
            f"{found:.3f} ± {error:.3f}",
            f"{found - log_z:+.3f}",
        ]
        for name, seed, calls, seconds, size, found, error in runs[::-1]
    ]
    sections = [
        "## NGC 1068, five lines by RADEX itself, eight parameters\n\nEvery call of the"
        " model is counted, those of a design of the prior too. Reference: ln Z ="
        f" {log_z:.3f} ± {ess**-0.5:.3f}, by importance sampling of"
        f" {arguments.reference:,} more calls from one mixture that was fixed"
        " beforehand. The error of nautilus' ln Z is that of its effective sample size."
        f" {arguments.n_jobs} run(s) at a time.",
        helpers.table(HEADER, rows),
    ]
    helpers.write("dear_models", sections, "nautilus-sampler", "ultranest", "torch")


if __name__ == "__main__":
    main()
