"""Objects whose lines are proportional to one parameter, which is integrated."""

import numpy as np

from ..parameter_space import Uniform
from ._posterior import Posterior
from ._scale_likelihood import (
    UNSOLVED,
    draw_scale,
    integrated_log_likelihoods,
    log_likelihoods,
)


def integrable_scale(structure, prior, problems, with_std):
    """Return the column of a scale whose integral is known, or None.

    Its prior must be uniform, and errors Gaussian and known beforehand.
    """
    if structure is None or with_std or not all(p.likelihood.plain for p in problems):
        return None
    uniform = [
        i for i in structure.scales if isinstance(prior[prior.names[i]], Uniform)
    ]
    return uniform[-1] if uniform else None


class ScaleSampler:
    """What is sampled where a scale is integrated, and the way back.

    Parameters
    ----------
    forward : ForwardModel
        The forward model.
    prior : ParameterSpace
        The prior.
    column : int
        Of the scale, whose prior is uniform.
    X : ndarray of shape (n_lines, n_features)
        All lines.
    """

    def __init__(self, forward, prior, column, X):
        self.forward, self.prior, self.column, self.X = forward, prior, column, X
        self.bounds = prior[prior.names[column]].bounds

    @property
    def names(self):
        """Names of what is sampled."""
        return [n for i, n in enumerate(self.prior.names) if i != self.column]

    def transform(self, u):
        """Return all parameters, the scale at its upper bound.

        Parameters
        ----------
        u : ndarray of shape (n, n_parameters - 1)
            Points of the unit cube.

        Returns
        -------
        theta : ndarray of shape (n, n_parameters)
        """
        return self.prior.transform(np.insert(u, self.column, 1.0, axis=1))

    def predict(self, theta):
        """Predict all lines at a scale of 1.

        Parameters
        ----------
        theta : ndarray of shape (n, n_parameters)
            Parameters; whatever the scale is in them is divided out.

        Returns
        -------
        predictions : Predictions
        """
        predictions = self.forward.predict(theta, self.X)
        mean = predictions.mean / theta[:, [self.column]]
        return predictions._replace(mean=mean)

    def target(self, problem, counts, impossible):
        """Return names, transform and likelihood of an object for nested sampling.

        Parameters
        ----------
        problem : Problem
            The object.
        counts : Counts
            Of evaluations.
        impossible : float
            Log-likelihood where there is no solution.

        Returns
        -------
        names : list of str
        transform, log_likelihood : callable
        """
        likelihoods = ManyLikelihoods([problem], [counts], len(self.X), self.bounds)

        def log_likelihood(points):
            values = likelihoods(self.predict(self._whole(points)))[0]
            return np.maximum(values, impossible)

        def transform(u):
            return np.delete(self.transform(u), self.column, axis=1)

        return self.names, transform, log_likelihood

    def _whole(self, points):
        """Return all parameters of points without the scale."""
        return np.insert(points, self.column, self.bounds[1], axis=1)

    def posterior(self, problem, points, weights, log_evidence, log_evidence_err, seed):
        """Return the posterior of all parameters, given that of what was sampled.

        Parameters
        ----------
        problem : Problem
            The object.
        points : ndarray of shape (n, n_parameters - 1)
            What was sampled.
        weights : ndarray of shape (n,)
            Their weights.
        log_evidence, log_evidence_err : float
            The evidence.
        seed : int
            Seed.

        Returns
        -------
        posterior : Posterior
        """
        theta = self._whole(points)
        lines = self.predict(theta).mean
        theta, values = self.with_scale(problem, theta, lines, seed)
        return Posterior(
            self.prior,
            None,
            theta,
            weights / weights.sum(),
            values,
            log_evidence,
            log_evidence_err,
        ).thin(None, seed, samples_only=True)

    def with_scale(self, problem, theta, lines, seed):
        """Draw the scale of an object, given all else.

        Parameters
        ----------
        problem : Problem
            The object.
        theta : ndarray of shape (n, n_parameters)
            Parameters, whatever the scale is in them.
        lines : ndarray of shape (n, n_lines)
            All lines at a scale of 1.
        seed : int
            Seed.

        Returns
        -------
        theta : ndarray of shape (n, n_parameters)
            With the scale that was drawn.
        log_likelihoods : ndarray of shape (n,)
        """
        own, likelihood = lines[:, problem.rows], problem.likelihood
        scale = draw_scale(
            own,
            likelihood.y,
            1.0 / likelihood.variance,
            *self.bounds,
            np.random.default_rng(seed),
        )
        theta = theta.copy()
        theta[:, self.column] = scale
        return theta, likelihood(scale[:, None] * own)


class ManyLikelihoods:
    """Log-likelihoods of objects that share predictions of all lines.

    Parameters
    ----------
    problems : list of Problem
        The objects.
    counts : list of Counts
        Of the evaluations of each.
    n_lines : int
        Number of all lines.
    bounds : tuple of float or None
        Of a scale to integrate over; predictions are at a scale of 1 then.
    """

    def __init__(self, problems, counts, n_lines, bounds=None):
        self.problems, self.counts, self.bounds = problems, counts, bounds
        self.n_lines = n_lines
        self._plain = all(problem.likelihood.plain for problem in problems)
        if self._plain:
            self._y = np.zeros((len(problems), n_lines))
            self._weight = np.zeros_like(self._y)
            for i, problem in enumerate(problems):
                self._y[i, problem.rows] = problem.likelihood.y
                self._weight[i, problem.rows] = 1.0 / problem.likelihood.variance

    def __len__(self):
        return len(self.problems)

    def of(self, objects):
        """Return the same of some objects."""
        some = [self.problems[i] for i in objects], [self.counts[i] for i in objects]
        return ManyLikelihoods(*some, self.n_lines, self.bounds)

    def __call__(self, predictions):
        """Return log-likelihoods, (n_objects, n_draws), and count them."""
        mean, std, outside = predictions
        values = np.empty((len(self), len(mean)))
        if self._plain and std is None:
            lines = np.ascontiguousarray(mean.T)
            common = (
                np.where(np.isfinite(lines), lines, UNSOLVED),
                self._y,
                self._weight,
            )
            if self.bounds is None:
                log_likelihoods(*common, values)
            else:
                integrated_log_likelihoods(*common, *self.bounds, values)
            values[np.isneginf(values)] = np.nan
        else:
            for i, problem in enumerate(self.problems):
                own = None if std is None else std[:, problem.rows]
                values[i] = problem.likelihood(mean[:, problem.rows], own)
        for own, count in zip(values, self.counts, strict=True):
            count.add(own, outside)
        return np.where(np.isnan(values), -np.inf, values)
