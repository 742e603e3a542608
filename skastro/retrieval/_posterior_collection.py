"""The outcome of a retrieval of several objects."""

from collections.abc import Sequence

import numpy as np

from ._posterior import Posterior
from ._posterior_base import BasePosterior
from ._posterior_files import StoredPosterior, read_posteriors, write_posteriors


def _loaded(posterior):
    """Return a posterior that may be in a file."""
    return posterior.load() if isinstance(posterior, StoredPosterior) else posterior


class Posteriors(BasePosterior, Sequence):
    """Posteriors of several objects, in their order.

    A sequence of :class:`Posterior`, or None for an object without data, whose
    summaries are NaN.

    Parameters
    ----------
    posteriors : sequence of Posterior or None
        Of each object.
    space : ParameterSpace
        The prior that they have in common.

    Attributes
    ----------
    names, units : list of str
        Names and units of the parameters.
    log_evidence, log_evidence_err : ndarray of shape (n_objects,)
        Natural logarithm of the evidence of each, and its standard error.
    effective_sample_size : ndarray of shape (n_objects,)
        Number of independent samples; 0 without data.

    Examples
    --------
    See :class:`BayesianRetrieval`, which makes it of two-dimensional ``y``.
    """

    def __init__(self, posteriors, space):
        self._posteriors = list(posteriors)
        self.space = space

    def __len__(self):
        return len(self._posteriors)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return Posteriors(self._posteriors[index], self.space)
        return _loaded(self._posteriors[index])

    def _each(self, function, shape=(), missing=np.nan):
        """Return a number or array of each object."""
        values = np.full((len(self), *shape), missing)
        for i, posterior in enumerate(self._posteriors):
            if posterior is not None:
                values[i] = function(posterior)
        return values

    @property
    def log_evidence(self):
        """Natural logarithm of the evidence of each object."""
        return self._each(lambda p: p.log_evidence)

    @property
    def log_evidence_err(self):
        """Its standard error."""
        return self._each(lambda p: p.log_evidence_err)

    @property
    def effective_sample_size(self):
        """Number of independent samples of each object."""
        return self._each(lambda p: p.effective_sample_size, missing=0.0)

    def mean(self):
        """Average over each posterior.

        Returns
        -------
        mean : ndarray of shape (n_objects, n_parameters)
        """
        return self._each(lambda p: _loaded(p).mean(), (len(self.names),))

    def std(self):
        """Measure the spread of each posterior.

        Returns
        -------
        std : ndarray of shape (n_objects, n_parameters)
        """
        return self._each(lambda p: _loaded(p).std(), (len(self.names),))

    def quantile(self, q):
        """Return quantiles of each parameter of each object.

        Parameters
        ----------
        q : float or array-like of shape (n_quantiles,)
            Probabilities, in [0, 1].

        Returns
        -------
        quantiles : ndarray of shape (n_objects, n_parameters) or \
(n_quantiles, n_objects, n_parameters)
        """
        shape = (*np.shape(q), len(self.names))
        values = self._each(lambda p: _loaded(p).quantile(q), shape)
        return np.swapaxes(values, 0, 1) if np.ndim(q) else values

    def save(self, path):
        """Write the posteriors to one file, without pickle.

        Parameters
        ----------
        path : path-like
            The file, conventionally ``*.npz``; an existing one is replaced.

        Raises
        ------
        ValueError
            If no object has a posterior.
        TypeError
            If the prior has a distribution that is not of scipy.stats.
        """
        if all(p is None for p in self._posteriors):
            raise ValueError("No object has a posterior: there is nothing to save.")
        write_posteriors(path, list(self))

    @classmethod
    def load(cls, path):
        """Read posteriors that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        posteriors : Posteriors

        Raises
        ------
        ValueError
            If the file holds no posteriors.
        """
        stored, space, _ = read_posteriors(path)
        return cls(
            [None if p is None else Posterior(space, **p) for p in stored], space
        )

    def __repr__(self):
        known = sum(p is not None for p in self._posteriors)
        return f"<Posteriors of {known} of {len(self)} objects>"
