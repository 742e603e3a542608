"""One object of a retrieval, and what became of it."""

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
