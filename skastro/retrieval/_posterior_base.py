"""What posteriors of one object and of several have in common."""

import numpy as np


class BasePosterior:
    """Summaries that follow from quantiles.

    A subclass has ``space``, the prior; ``quantile(q)``, whose last axis is that of
    the parameters; and ``log_evidence``, ``log_evidence_err`` and
    ``effective_sample_size``, one of each or one for each object.
    """

    @property
    def names(self):
        """Names of the parameters."""
        return self.space.names

    @property
    def units(self):
        """Units of the parameters."""
        return self.space.units

    def credible_interval(self, probability=0.6827):
        """Return the central credible interval of each parameter.

        Parameters
        ----------
        probability : float, default=0.6827
            Probability inside; that of one standard deviation by default.

        Returns
        -------
        lower, upper : ndarray of shape (n_parameters,)
            Its ends, in the parameters' units; of shape (n_objects, n_parameters) if
            there are several objects.
        """
        lower, _, upper = self._ends(probability)
        return lower, upper

    def to_table(self, probability=0.6827):
        """Return the summaries as a table with units, a row for each object.

        Parameters
        ----------
        probability : float, default=0.6827
            Probability of the credible interval; kept in the table's ``meta``.

        Returns
        -------
        table : astropy.table.QTable
            For each parameter its median, and under its name with ``_lower`` and
            ``_upper`` the ends of the interval; ``log_evidence``,
            ``log_evidence_err`` and ``effective_sample_size``.
        """
        from astropy import units as u
        from astropy.table import QTable

        lower, median, upper = map(np.atleast_2d, self._ends(probability))
        table = QTable()
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            unit = u.Unit(unit)
            table[name] = median[:, i] * unit
            table[f"{name}_lower"] = lower[:, i] * unit
            table[f"{name}_upper"] = upper[:, i] * unit
        for name in ("log_evidence", "log_evidence_err", "effective_sample_size"):
            table[name] = np.atleast_1d(getattr(self, name))
        table.meta["probability"] = probability
        return table

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

    def _ends(self, probability):
        """Return lower end, median and upper end of the credible interval."""
        tail = (1 - probability) / 2
        return self.quantile([tail, 0.5, 1 - tail])
