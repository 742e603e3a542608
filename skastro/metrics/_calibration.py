"""Whether posteriors mean what they say."""

from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.base import clone
from sklearn.utils import check_random_state

from ..utils.arrays import plain
from ..utils.warn import warn


@dataclass(frozen=True)
class SimulationBasedCalibration:
    """Ranks of true parameters in their posteriors.

    Attributes
    ----------
    names : list of str
        Names of the parameters.
    ranks : ndarray of shape (n_simulations, n_parameters)
        Share of the posterior below the true value, in [0, 1]: uniform if posteriors
        are right.
    theta : ndarray of shape (n_simulations, n_parameters)
        The true parameters.
    p_values : ndarray of shape (n_parameters,)
        Of Kolmogorov and Smirnov's test of each parameter's ranks against uniformity.
    effective_sample_size : ndarray of shape (n_simulations,)
        Of the posteriors.
    """

    names: list
    ranks: np.ndarray
    theta: np.ndarray
    p_values: np.ndarray
    effective_sample_size: np.ndarray

    def coverage(self, probability=0.6827):
        """Return how often central credible intervals hold the truth.

        Parameters
        ----------
        probability : float or array-like of shape (n_levels,), default=0.6827
            Probability of the intervals.

        Returns
        -------
        coverage : ndarray of shape (n_parameters,) or (n_levels, n_parameters)
            Equal to ``probability``, within its sampling error, if posteriors are
            right.
        """
        probability = np.asarray(probability, dtype=float)
        distance = np.abs(2.0 * self.ranks - 1.0)
        return np.mean(distance <= probability[..., None, None], axis=-2)

    def passes(self, level=0.01):
        """Whether all parameters' ranks are uniform.

        Parameters
        ----------
        level : float, default=0.01
            Probability of failing although all is well, for all parameters together
            (Bonferroni).

        Returns
        -------
        passes : bool
        """
        return bool((self.p_values >= level / len(self.p_values)).all())

    def summary(self):
        """Write coverage and tests as a table.

        Returns
        -------
        table : str
        """
        rows = [("parameter", "in 68 %", "in 95 %", "p (uniform)")]
        inside = self.coverage([0.6827, 0.95])
        for i, name in enumerate(self.names):
            numbers = (inside[0, i], inside[1, i], self.p_values[i])
            rows.append((name, *(f"{number:.3f}" for number in numbers)))
        width = max(len(row[0]) for row in rows)
        lines = [
            "  ".join([r[0].ljust(width), *(c.rjust(11) for c in r[1:])]) for r in rows
        ]
        return "\n".join([*lines, f"{len(self.ranks)} simulated objects"])


def simulation_based_calibration(
    retrieval, X, sigma, *, n_simulations=200, random_state=None
):
    """Check a retrieval on objects simulated from its own prior and forward model.

    Parameters are drawn from the prior, lines from the forward model with noise, and
    retrieved. If posteriors are right, a true value is equally likely to have any rank
    among its posterior's samples.

    Parameters
    ----------
    retrieval : BayesianRetrieval
        Whose prior, forward model and sampler are checked; a clone is fitted to all
        objects at once, for which ``sampler="importance"`` is fast.
    X : array-like of shape (n_lines, n_features), or names of lines
        The lines, as for its ``fit``.
    sigma : float, array-like of shape (n_lines,), or callable
        1-sigma errors, or a function that makes them of noiseless intensities of shape
        (n_lines, n_objects), such as ``lambda y: 0.2 * y``. It must give positive
        errors where the intensity is zero too.
    n_simulations : int, default=200
        Simulated objects.
    random_state : int, RandomState instance or None, default=None
        Seed of the simulations.

    Returns
    -------
    calibration : SimulationBasedCalibration
        Ranks, tests of uniformity, coverage.

    Raises
    ------
    ValueError
        If errors are not positive.

    Notes
    -----
    Noise is Gaussian; a retrieval with limits, calibration errors or Student's t is
    checked on its Gaussian part. Simulations without a solution are drawn again.

    References
    ----------
    Cook, Gelman & Rubin (2006), JCGS 15, 675. Talts, Betancourt, Simpson, Vehtari &
    Gelman (2018), *Validating Bayesian inference algorithms with simulation-based
    calibration*.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.metrics import simulation_based_calibration
    >>> from skastro.parameter_space import ParameterSpace, Uniform
    >>> from skastro.retrieval import BayesianRetrieval
    >>> prior = ParameterSpace({"slope": Uniform(-5, 5), "offset": Uniform(-5, 5)})
    >>> retrieval = BayesianRetrieval(
    ...     lambda theta, X: theta[:, :1] * X[:, 0] + theta[:, 1:],
    ...     prior,
    ...     sampler="importance",
    ...     random_state=0,
    ... )
    >>> X = np.linspace(0, 1, 5)[:, None]
    >>> calibration = simulation_based_calibration(
    ...     retrieval, X, np.full(5, 0.5), n_simulations=100, random_state=0
    ... )
    >>> calibration.passes()
    True
    """
    rng = check_random_state(random_state)
    theta, y = _simulate(retrieval, X, n_simulations, rng)
    errors = sigma(y) if callable(sigma) else sigma
    unit = getattr(retrieval.forward_model, "output_unit", None)
    errors = np.asarray(plain(errors, "sigma", unit=unit), dtype=float)
    if errors.shape not in ((), y.shape[:1], y.shape):
        raise ValueError(
            f"`sigma` must be one error for each of {len(y)} lines, or make an array of"
            f" shape {y.shape} of such an array, got shape {errors.shape}."
        )
    errors = errors[:, None] if errors.ndim == 1 else errors
    errors = np.broadcast_to(errors, y.shape)
    if not (np.isfinite(errors) & (errors > 0)).all():
        raise ValueError(
            "`sigma` must be positive and finite for every line of every simulated"
            f" object, got {errors[~(errors > 0)][:1]}."
        )
    noisy = y + errors * rng.standard_normal(y.shape)
    fitted = clone(retrieval).set_params(log_dir=None, objects="columns")
    fitted.fit(X, noisy, sigma=errors)
    ranks = np.array(
        [
            _ranks(posterior, truth, rng)
            for posterior, truth in zip(fitted.posterior_, theta, strict=True)
        ]
    )
    return SimulationBasedCalibration(
        list(retrieval.prior.names),
        ranks,
        theta,
        np.array([stats.kstest(column, "uniform").pvalue for column in ranks.T]),
        np.asarray(fitted.posterior_.effective_sample_size),
    )


def _ranks(posterior, truth, rng):
    """Return the share of posterior samples below the truth, between two samples."""
    below = np.sum(posterior.samples < truth, axis=0)
    return (below + rng.uniform(size=len(truth))) / (len(posterior.samples) + 1)


def _simulate(retrieval, X, n, rng):
    """Draw parameters that have a solution, and their lines without noise."""
    thetas, lines, n_drawn = [], [], 0
    while sum(map(len, thetas)) < n:
        theta, y = retrieval.prior_predictive(X, n, random_state=rng)
        solved = np.isfinite(y).all(axis=1)
        n_drawn += n
        if n_drawn >= 100 * n and not any(map(len, thetas)):
            raise ValueError("`forward_model` has no solution anywhere in the prior.")
        thetas.append(theta[solved])
        lines.append(y[solved])
    if not all(map(len, thetas)) or n_drawn > n:
        warn(
            f"Some of {n_drawn} simulations had no solution and were drawn again.",
        )
    return np.concatenate(thetas)[:n], np.concatenate(lines)[:n].T
