"""The outcome of a retrieval: weighted samples, evidence, summaries."""

import inspect

import numpy as np

from ._posterior_base import BasePosterior
from ._posterior_files import read_posteriors, write_posteriors


def pick(weights, n, rng):
    """Return positions of ``n`` samples by their weights: systematic resampling.

    They are in no order.
    """
    cumulative = np.cumsum(weights)
    u = (np.arange(n) + rng.uniform()) / n * cumulative[-1]
    picked = np.searchsorted(cumulative, u).clip(max=len(cumulative) - 1)
    return rng.permutation(picked)


class Posterior(BasePosterior):
    """Posterior distribution of the parameters of a forward model.

    Parameters
    ----------
    space : ParameterSpace
        The prior: names, units and labels of the parameters.
    samples : ndarray of shape (n_samples, n_parameters)
        Samples of equal weight.
    weighted_samples : ndarray of shape (n_weighted, n_parameters)
        All points of the nested sampling run.
    weights : ndarray of shape (n_weighted,)
        Their weights, which sum to 1.
    log_likelihoods : ndarray of shape (n_weighted,)
        Their log-likelihoods.
    log_evidence, log_evidence_err : float
        Natural logarithm of the evidence Z and its standard error.
    effective_sample_size : float, default=None
        Number of independent samples that these were drawn from; by default Kish's,
        of the weights.

    Attributes
    ----------
    names : list of str
        Names of the parameters.
    units : list of str
        Their units.
    best : ndarray of shape (n_parameters,)
        The point of highest likelihood.

    Examples
    --------
    See :class:`BayesianRetrieval`, which makes it.
    """

    def __init__(
        self,
        space,
        samples,
        weighted_samples,
        weights,
        log_likelihoods,
        log_evidence,
        log_evidence_err,
        effective_sample_size=None,
    ):
        self.space = space
        self.samples = samples
        self.weighted_samples = weighted_samples
        self.weights = weights
        self.log_likelihoods = log_likelihoods
        self.log_evidence = log_evidence
        self.log_evidence_err = log_evidence_err
        if effective_sample_size is None:
            effective_sample_size = float(1.0 / np.sum(weights**2))
        self.effective_sample_size = effective_sample_size

    @property
    def best(self):
        """Point of highest likelihood."""
        return self.weighted_samples[np.argmax(self.log_likelihoods)]

    def __len__(self):
        return len(self.samples)

    def mean(self):
        """Average over the posterior.

        Returns
        -------
        mean : ndarray of shape (n_parameters,)
            In the parameters' units.
        """
        return self.weights @ self.weighted_samples

    def std(self):
        """Measure the spread of the posterior.

        Returns
        -------
        std : ndarray of shape (n_parameters,)
            Standard deviation, in the parameters' units.
        """
        return np.sqrt(self.weights @ (self.weighted_samples - self.mean()) ** 2)

    def quantile(self, q):
        """Return quantiles of each parameter.

        Parameters
        ----------
        q : float or array-like of shape (n_quantiles,)
            Probabilities, in [0, 1].

        Returns
        -------
        quantiles : ndarray of shape (n_parameters,) or (n_quantiles, n_parameters)
            In the parameters' units, from the weighted samples.
        """
        q = np.asarray(q, dtype=float)
        if not ((q >= 0) & (q <= 1)).all():
            raise ValueError(f"`q` must lie in [0, 1], got {q}.")
        columns = []
        for values in self.weighted_samples.T:
            order = np.argsort(values)
            # the middle of each sample's weight: symmetric in both tails
            cumulative = np.cumsum(self.weights[order]) - 0.5 * self.weights[order]
            columns.append(np.interp(q, cumulative, values[order]))
        return np.stack(columns, axis=-1)

    def summary(self, probability=0.6827):
        """Summarise the parameters and the evidence in a table.

        Parameters
        ----------
        probability : float, default=0.6827
            Probability of the credible interval.

        Returns
        -------
        table : str
            One line a parameter: median, lower and upper end of the interval, unit.
        """
        lower, median, upper = self._ends(probability)
        header = ("parameter", "median", f"{100 * probability:.0f} % interval", "unit")
        rows = [header]
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            interval = f"{lower[i]:.4g} to {upper[i]:.4g}"
            rows.append((name, f"{median[i]:.4g}", interval, unit))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
            for row in rows
        ]
        lines.append(
            f"ln Z = {self.log_evidence:.2f} ± {self.log_evidence_err:.2f}, effective"
            f" sample size {self.effective_sample_size:.0f}"
        )
        return "\n".join(line.rstrip() for line in lines)

    def select(self, names):
        """Return the posterior of some parameters, whatever the others are.

        Parameters
        ----------
        names : sequence of str
            Which, in the order to be.

        Returns
        -------
        posterior : Posterior

        Raises
        ------
        KeyError
            If there is no such parameter; the message names the closest.
        """
        space = self.space.select(names)
        columns = [self.names.index(name) for name in space.names]
        return Posterior(
            space,
            self.samples[:, columns],
            self.weighted_samples[:, columns],
            self.weights,
            self.log_likelihoods,
            self.log_evidence,
            self.log_evidence_err,
            self.effective_sample_size,
        )

    def thin(self, n_samples=None, random_state=0, *, samples_only=False):
        """Return the same posterior with fewer samples, all of equal weight.

        Parameters
        ----------
        n_samples : int, default=None
            How many at most; by default, and at most, as many as are independent.
        random_state : int, default=0
            Seed of the systematic resampling.
        samples_only : bool, default=False
            Whether the weighted samples stay as they are.

        Returns
        -------
        posterior : Posterior
        """
        n = int(np.ceil(self.effective_sample_size))
        n = n if n_samples is None else min(n, n_samples)
        picked = pick(self.weights, n, np.random.default_rng(random_state))
        samples = self.weighted_samples[picked]
        if samples_only:
            weighted = self.weighted_samples, self.weights, self.log_likelihoods
        else:
            weighted = samples, np.full(n, 1.0 / n), self.log_likelihoods[picked]
        return Posterior(
            self.space,
            samples,
            *weighted,
            self.log_evidence,
            self.log_evidence_err,
            self.effective_sample_size,
        )

    def to_arviz(self):
        """Return the samples for ArviZ.

        Returns
        -------
        data : arviz.InferenceData or xarray.DataTree
            What ``arviz.from_dict`` makes: a tree since ArviZ 1.0. One chain of the
            samples of equal weight in the group ``posterior``, a variable for each
            parameter.

        Raises
        ------
        ImportError
            If arviz is not installed.
        """
        import arviz

        samples = {
            name: x[None] for name, x in zip(self.names, self.samples.T, strict=True)
        }
        # ArviZ 1.0 takes all groups in one dictionary
        if "posterior" in inspect.signature(arviz.from_dict).parameters:
            return arviz.from_dict(posterior=samples)
        return arviz.from_dict({"posterior": samples})

    def save(self, path):
        """Write the posterior to a file, without pickle.

        Parameters
        ----------
        path : path-like
            The file, conventionally ``*.npz``; an existing one is replaced.

        Raises
        ------
        TypeError
            If the prior has a distribution that is not of scipy.stats.
        """
        write_posteriors(path, [self])

    @classmethod
    def load(cls, path):
        """Read a posterior that :meth:`save` wrote.

        Parameters
        ----------
        path : path-like
            The file.

        Returns
        -------
        posterior : Posterior

        Raises
        ------
        ValueError
            If the file holds no posterior, or those of several objects.
        """
        stored, space, _ = read_posteriors(path)
        if len(stored) != 1:
            raise ValueError(
                f"{str(path)!r} holds posteriors of {len(stored)} objects; read them"
                " with Posteriors.load."
            )
        return cls(space, **stored[0])

    def __repr__(self):
        return (
            f"<Posterior of {len(self.names)} parameters, {len(self.samples)} samples,"
            f" ln Z = {self.log_evidence:.2f} ± {self.log_evidence_err:.2f}>"
        )
