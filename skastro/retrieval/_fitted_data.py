"""The data of a fit, remembered: their likelihood, and whether others are the same."""

from collections import Counter

import numpy as np
from sklearn.utils.validation import check_is_fitted


class FittedDataMixin:
    """A retrieval that remembers its data, in ``_observations``.

    The data themselves and not a digest of them: they are small beside the posterior;
    unlike a digest they do not differ by the rounding of a unit or of single precision,
    and they can say where they differ.
    """

    def log_likelihood(self, theta):
        """Return the logarithm of the likelihood of the data of the fit.

        With all that the fit took into account: limits, outliers, calibration errors
        and the forward model's own error. A flat prior in the unit cube makes it the
        logarithm of the posterior density there, but for the evidence.

        Parameters
        ----------
        theta : array-like of shape (n_draws, n_parameters), or \
(n_objects, n_draws, n_parameters)
            Parameters, in the prior's order and units: the same for all objects, or
            those of each.

        Returns
        -------
        log_likelihood : ndarray of shape (n_draws,) or (n_objects, n_draws)
            Natural logarithm of the probability density of the data, in the unit of
            ``y``; the second shape after a fit to several objects. Minus infinity where
            the forward model has no solution or an exact limit excludes it, NaN for an
            object without data.

        Raises
        ------
        ValueError
            If ``theta`` has another shape, or a parameter is not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from skastro.parameter_space import ParameterSpace, Uniform
        >>> from skastro.retrieval import BayesianRetrieval
        >>> retrieval = BayesianRetrieval(
        ...     lambda theta, X: theta * X[:, 0],
        ...     ParameterSpace({"slope": Uniform(0, 2)}),
        ...     sampler="importance",
        ...     random_state=0,
        ... ).fit([[1.0], [2.0]], [1.0, 2.0], sigma=1.0)
        >>> retrieval.log_likelihood([[1.0], [2.0]]).round(2)
        array([-1.84, -4.34])
        """
        check_is_fitted(self)
        objects = self._observations.problems(self)
        n_objects, n_parameters = len(objects), len(self.prior)
        theta = np.asarray(theta, dtype=float)
        one = theta.ndim == 2 and theta.shape[1] == n_parameters
        each = theta.ndim == 3 and theta.shape[::2] == (n_objects, n_parameters)
        if not one and not each:
            raise ValueError(
                f"`theta` must be of shape (n_draws, {n_parameters}), or ({n_objects},"
                f" n_draws, {n_parameters}) for each object its own; got {theta.shape}."
            )
        if not np.isfinite(theta).all():
            wrong = np.unique(np.nonzero(~np.isfinite(theta))[-1])
            names = [self.prior.names[i] for i in wrong]
            raise ValueError(
                f"`theta` must be finite; got NaN or infinity for {names}."
            )
        with_std = self.model_spread and self._forward.has_spread
        X = self._observations.X

        draws = theta.reshape(-1, n_parameters)
        mean, std, _ = self._forward.predict(draws, X, with_std)
        n_draws = theta.shape[-2]
        values = np.full((n_objects, n_draws), np.nan)
        for i, found in enumerate(objects):
            if found is None:
                continue
            rows = found.rows
            own = slice(None) if one else slice(i * n_draws, (i + 1) * n_draws)
            own_std = None if std is None else std[own][:, rows]
            value = found.likelihood(mean[own][:, rows], own_std)
            values[i] = np.where(np.isnan(value), -np.inf, value)
        return values[0] if self._observations.single else values

    def _data_difference(self, other):
        """Tell in what the data of another fit to as many objects are not the same.

        Lines may be in another order, and numbers differ by rounding. Receiver bands
        belong to the model of the errors, and are not compared.

        Parameters
        ----------
        other : BayesianRetrieval
            Fitted.

        Returns
        -------
        difference : tuple of (str, object, object) or None
            What it is, and the values here and there; None where the data are the same.
        """
        units = self._forward.unit, other._forward.unit
        if None not in units and units[0] != units[1]:
            return "the unit of `y`", *units
        ours, theirs = self._observations, other._observations
        named = self._line_names() is not None and other._line_names() is not None
        lines, others = self._lines(named), other._lines(named)
        order = other_order = range(len(lines))
        if named or self._may_compare_rows(other):
            own, foreign = Counter(lines), Counter(others)
            if own != foreign:
                return "lines of its own", list(own - foreign), list(foreign - own)
            order = sorted(order, key=lines.__getitem__)
            other_order = sorted(other_order, key=others.__getitem__)
        if len(lines) != len(others):
            return "the number of lines", len(lines), len(others)
        for name in ("y", "sigma", "limit"):
            here, there = getattr(ours, name)[:, order], getattr(theirs, name)
            there = there[:, other_order]
            same = np.isclose(here, there, rtol=1e-5, atol=0, equal_nan=True)
            if not same.all():
                i, k = np.argwhere(~same)[0]
                line = lines[order[k]] if named else order[k]
                where = f"line {line}" + (f" of object {i}" if len(here) > 1 else "")
                what = "upper_limit" if name == "limit" else name
                return f"`{what}` of {where}", here[i, k], there[i, k]
        return None

    def _may_compare_rows(self, other):
        """Whether rows of X mean the same: not if they are positions among outputs."""
        return (
            not any(hasattr(r.forward_model, "predict") for r in (self, other))
            and self._observations.X.shape[1] == other._observations.X.shape[1]
        )

    def _lines(self, named):
        """Return what tells the lines apart: their names, or rows of X."""
        X = self._observations.X
        return self._line_names() if named else [tuple(row) for row in X.tolist()]

    def _line_names(self):
        """Return the names of the lines that were fitted, or None."""
        if getattr(self.forward_model, "output_names", None) is None:
            return None
        return self._forward.row_names(self._observations.X)
