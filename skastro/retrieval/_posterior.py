"""The outcome of a retrieval: weighted samples, evidence, summaries."""

import numpy as np


class Posterior:
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

    Attributes
    ----------
    names : list of str
        Names of the parameters.
    units : list of str
        Their units.
    effective_sample_size : float
        Kish's, of the weighted samples.
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
    ):
        self.space = space
        self.samples = samples
        self.weighted_samples = weighted_samples
        self.weights = weights
        self.log_likelihoods = log_likelihoods
        self.log_evidence = log_evidence
        self.log_evidence_err = log_evidence_err

    @property
    def names(self):
        """Names of the parameters."""
        return self.space.names

    @property
    def units(self):
        """Units of the parameters."""
        return self.space.units

    @property
    def effective_sample_size(self):
        """Number of independent samples that the weighted ones are worth."""
        return float(1.0 / np.sum(self.weights**2))

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

    def credible_interval(self, probability=0.6827):
        """Return the central credible interval of each parameter.

        Parameters
        ----------
        probability : float, default=0.6827
            Probability inside; that of one standard deviation by default.

        Returns
        -------
        lower, upper : ndarray of shape (n_parameters,)
        """
        tail = (1 - probability) / 2
        lower, upper = self.quantile([tail, 1 - tail])
        return lower, upper

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
        median = self.quantile(0.5)
        lower, upper = self.credible_interval(probability)
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

    def shown(self, theta):
        """Return parameters as plots show them: decimal logarithms where asked.

        Parameters
        ----------
        theta : array-like of shape (..., n_parameters)
            Parameters, in their units.

        Returns
        -------
        values : ndarray of shape (..., n_parameters)
        """
        theta = np.array(theta, dtype=float)
        log = self.space.log
        theta[..., log] = np.log10(theta[..., log])
        return theta

    def __repr__(self):
        return (
            f"<Posterior of {len(self.names)} parameters, {len(self.samples)} samples,"
            f" ln Z = {self.log_evidence:.2f} ± {self.log_evidence_err:.2f}>"
        )
