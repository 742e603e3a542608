"""One object of a retrieval, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._likelihood import Likelihood
from ._posterior import Posterior
from ._posterior_files import StoredPosterior

#: Log-likelihood where the forward model has no solution: lower than any other.
IMPOSSIBLE = -1e100


@dataclass(frozen=True)
class Problem:
    """One object: which lines were observed, and the likelihood of them."""

    rows: np.ndarray
    likelihood: Likelihood

    @classmethod
    def of(cls, estimator, rows, y, sigma, limit, band):
        """Return the problem of an object, with errors as a retrieval has them.

        Parameters
        ----------
        estimator : BayesianRetrieval or RetrievalTransformer
            Whose parameters say what errors are.
        rows : ndarray of int of shape (n_lines,)
            Which lines were observed.
        y, sigma, limit, band : ndarray of shape (n_lines,)
            As of `Likelihood`.

        Returns
        -------
        problem : Problem
        """
        likelihood = Likelihood(
            y,
            sigma,
            upper_limit=limit,
            degrees_of_freedom=estimator.degrees_of_freedom,
            calibration_error=estimator.calibration_error,
            band=band,
        )
        return cls(rows, likelihood)


class Problems(Sequence):
    """The problems of many objects, each made when it is asked for.

    Parameters
    ----------
    estimator : BayesianRetrieval or RetrievalTransformer
        Whose parameters say what errors are.
    y, sigma, limit : ndarray of shape (n_objects, n_lines)
        Lines of objects, NaN where not observed.
    band : ndarray of int of shape (n_lines,)
        Of the lines.
    """

    def __init__(self, estimator, y, sigma, limit, band):
        self._estimator, self._data, self._band = estimator, (y, sigma, limit), band

    def __len__(self):
        return len(self._data[0])

    def __getitem__(self, i):
        """Return the problem of an object, or None if it has no data."""
        y, sigma, limit = (values[i] for values in self._data)
        rows = np.flatnonzero(~np.isnan(y))
        if not len(rows):
            return None
        own = (values[rows] for values in (y, sigma, limit, self._band))
        return Problem.of(self._estimator, rows, *own)

    def observed(self):
        """Return the problems of the objects that have data."""
        some = ~np.isnan(self._data[0]).all(axis=1)
        data = (values[some] for values in self._data)
        return Problems(self._estimator, *data, self._band)


@dataclass(frozen=True)
class Outcome:
    """What was found for one object, and how it went."""

    posterior: Posterior | StoredPosterior | None
    sampler: str
    n_calls: int = 0
    n_unsolved: int = 0
    n_outside: int = 0
    well_mixed: bool = True
    complete: bool = True


class Counts:
    """Of evaluations, those without a solution, and those outside an emulator's range.

    Unpacks into these three numbers.
    """

    def __init__(self):
        self.n_calls = self.n_unsolved = self.n_outside = 0

    def add(self, log_likelihoods, outside):
        """Count a batch, whose log-likelihoods are NaN where there is no solution."""
        unsolved = np.isnan(log_likelihoods)
        self.n_calls += len(unsolved)
        self.n_outside += int((unsolved & outside).sum())
        self.n_unsolved += int((unsolved & ~outside).sum())

    def __iter__(self):
        return iter((self.n_calls, self.n_unsolved, self.n_outside))
