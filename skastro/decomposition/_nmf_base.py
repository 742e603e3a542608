"""What all factorisations of line maps share: scaling, gaps, errors, reconstruction."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from ..utils.estimator import SkastroEstimator
from ..utils.sklearn_names import Interval, validate_data
from ._nmf_runs import refit

#: Relative gain of the last pass of `transform`, whose problem is convex.
_TRANSFORM_TOL = 1e-9


class Problem:
    """Line maps as a solver takes them.

    Parameters
    ----------
    X : ndarray of shape (n_pixels, n_lines)
        Scaled intensities, without negative values, NaN where missing.
    sigma : ndarray of the same shape, or None
        Their errors, scaled alike.

    Attributes
    ----------
    lines : ndarray of float64 of shape (n_lines, n_pixels)
        0 where missing.
    weights : ndarray of the same shape, or (1, 1) for equal weights
        1 on the mean of observed entries, 0 where missing.
    square : float
        The weighted sum of squares.
    """

    def __init__(self, X, sigma):
        self.lines = np.ascontiguousarray(X.T, dtype=np.float64)
        missing = np.isnan(self.lines)
        self.weights = np.ones((1, 1))
        if sigma is not None or missing.any():
            self.weights = np.ones_like(self.lines)
            if sigma is not None:
                with np.errstate(invalid="ignore"):
                    self.weights = np.ascontiguousarray(sigma.T, dtype=float) ** -2
            self.weights[missing] = 0
            self.weights *= np.count_nonzero(~missing) / self.weights.sum()
            self.lines[missing] = 0
        self.square = float(np.sum(self.weights * self.lines**2))

    @property
    def complete(self):
        """Whether all entries are there, and of equal weights."""
        return self.weights.shape == (1, 1)


class BlendedMaps(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SkastroEstimator):
    """Base class of factorisations of line maps.

    Subclasses set `components_` and `_scaled_components`, the profiles in the units of
    the fit, and `_peaks`, the peaks of their maps there.
    """

    _shared_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "clip_negative": ["boolean"],
        "scale_lines": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "l1_ratio": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }

    # -- the data of a fit

    def _problem(self, X, sigma):
        """Validate the data of a fit; return it scaled, without blank pixels."""
        X = self._validate(X, reset=True)
        self._with_sigma = sigma is not None
        sigma = self._check_sigma(sigma, X)
        blank = np.isnan(X).all(axis=1)
        if blank.all():
            raise ValueError("All pixels of X are blank (NaN in every line).")
        unseen = np.isnan(X).all(axis=0)
        if unseen.any():
            raise ValueError(
                f"{self._line_names(unseen)} of X are NaN in every pixel; leave those"
                " lines out."
            )
        X = self._clipped(X)
        mean = np.nanmean(X[~blank], axis=0)
        if np.any(mean <= 0):
            raise ValueError(
                f"{self._line_names(mean <= 0)} of X have no positive intensity in any"
                " pixel, so that there is nothing to factorise; leave those lines out."
            )
        if self.n_components >= X.shape[1]:
            warnings.warn(
                f"`n_components`={self.n_components} for {X.shape[1]} line(s): a"
                " factorisation with a component for each line is trivial.",
                stacklevel=3,
            )
        self.line_scale_ = mean.astype(np.float64) if self.scale_lines else None
        return Problem(
            *self._scaled(X[~blank], None if sigma is None else sigma[~blank])
        )

    def _validate(self, X, reset):
        return validate_data(
            self,
            X,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            reset=reset,
        )

    def _clipped(self, X):
        if self.clip_negative:
            return np.maximum(X, 0)
        if np.any(X < 0):
            raise ValueError(
                f"X has {np.count_nonzero(X < 0)} negative value(s), and"
                " `clip_negative` is False."
            )
        return X

    def _scaled(self, X, sigma):
        if self.line_scale_ is None:
            return X, sigma
        return X / self.line_scale_, None if sigma is None else sigma / self.line_scale_

    def _check_sigma(self, sigma, X):
        if sigma is None:
            if self._with_sigma:
                raise ValueError(
                    "`sigma` was given to `fit`; give the errors of these pixels too."
                )
            return None
        if not self._with_sigma:
            raise ValueError(
                "`sigma` is given, but `fit` had none; give it to both or to neither."
            )
        sigma = check_array(
            sigma, dtype=X.dtype, ensure_all_finite=False, input_name="sigma"
        )
        if sigma.shape != X.shape:
            raise ValueError(
                f"`sigma` must have the shape of X, {X.shape}, got {sigma.shape}."
            )
        bad = ~(np.isfinite(sigma) & (sigma > 0)) & ~np.isnan(X)
        if bad.any():
            raise ValueError(
                f"`sigma` is zero, negative, NaN or infinite for {bad.sum()} observed"
                " entries of X; errors must be positive. Set entries that are not to"
                " count to NaN in X."
            )
        return sigma

    def _line_names(self, which):
        names = getattr(self, "feature_names_in_", np.arange(len(which)))
        return "Line(s) " + ", ".join(str(name) for name in np.asarray(names)[which])

    def _penalties(self, problem, alpha_maps, alpha_profiles):
        """Return l1 and l2 of maps and profiles, scaled as scikit-learn's NMF does."""
        n_lines, n_pixels = problem.lines.shape
        maps, profiles = alpha_maps * n_lines, alpha_profiles * n_pixels
        r = self.l1_ratio
        return maps * r, maps * (1 - r), profiles * r, profiles * (1 - r)

    def _publish(self, scaled, maps, penalties):
        """Set the fitted profiles, for maps of unit peak, in the units of the lines."""
        peaks = maps.max(axis=1)
        peaks = np.where(peaks > 0, peaks, 1.0)
        self._scaled_components, self._peaks = scaled, peaks
        self._map_penalties = penalties[:2]
        self.components_ = scaled * peaks[:, None]
        if self.line_scale_ is not None:
            self.components_ *= self.line_scale_

    # -- what a fitted factorisation does

    @property
    def _n_features_out(self):
        return len(self.components_)

    def fit_transform(self, X, y=None, sigma=None):
        """Fit, and return the maps of the same pixels.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities; NaN is missing.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors.

        Returns
        -------
        contributions : ndarray of shape (n_pixels, n_components)
            As of `transform`.
        """
        return self.fit(X, y, sigma=sigma).transform(X, sigma=sigma)

    def transform(self, X, sigma=None):
        """Return how much of each component is in each pixel.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities; NaN is missing.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors; needed if `fit` had them.

        Returns
        -------
        contributions : ndarray of shape (n_pixels, n_components)
            In units of the peak of the component's map in training. NaN in pixels
            without any line.

        Raises
        ------
        ValueError
            If X or `sigma` do not fit the data of `fit`.
        """
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        sigma = self._check_sigma(sigma, X)
        blank = np.isnan(X).all(axis=1)
        maps = np.full((len(X), self._n_features_out), np.nan)
        if not blank.all():
            seen = self._clipped(X[~blank])
            problem = Problem(
                *self._scaled(seen, None if sigma is None else sigma[~blank])
            )
            V, *_ = refit(
                problem,
                self._scaled_components.copy(),
                self._map_penalties,
                tol=_TRANSFORM_TOL,
            )
            maps[~blank] = (V / self._peaks[:, None]).T
        return maps.astype(X.dtype, copy=False)

    def inverse_transform(self, X):
        """Return the line intensities of maps.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_components)
            Contributions, as `transform` returns; NaN in blank pixels.

        Returns
        -------
        intensities : ndarray of shape (n_pixels, n_lines)

        Raises
        ------
        ValueError
            If the number of components is another.
        """
        check_is_fitted(self)
        X = check_array(
            X, dtype=[np.float64, np.float32], ensure_all_finite="allow-nan"
        )
        if X.shape[1] != len(self.components_):
            raise ValueError(
                f"X must have {len(self.components_)} components in each row, got shape"
                f" {X.shape}."
            )
        return X @ self.components_.astype(X.dtype, copy=False)

    def score(self, X, y=None, sigma=None):
        """Return the share of the variance of the lines that is reconstructed.

        Each line counts in units of its mean if ``scale_lines``, and each entry with
        the inverse of its variance if there is `sigma`. More components always
        reconstruct more: choose their number by
        :func:`~skastro.model_selection.choose_n_components`.

        Parameters
        ----------
        X : array-like of shape (n_pixels, n_lines)
            Line intensities.
        y : ignored
            There for scikit-learn.
        sigma : array-like of shape (n_pixels, n_lines), default=None
            1-sigma errors; needed if `fit` had them.

        Returns
        -------
        score : float
            1 for a perfect reconstruction, 0 for one as good as the mean of each line.
        """
        model = self.inverse_transform(self.transform(X, sigma=sigma))
        X = self._validate(X, reset=False)
        X, scaled_sigma = self._scaled(X, self._check_sigma(sigma, X))
        model, _ = self._scaled(model, None)
        seen = ~np.isnan(X)
        weights = seen.astype(np.float64)
        if scaled_sigma is not None:
            weights[seen] = scaled_sigma[seen] ** -2.0
        X, model = np.where(seen, X, 0), np.where(seen, model, 0)
        total = weights.sum(axis=0)
        mean = (weights * X).sum(axis=0) / np.where(total > 0, total, 1)
        scatter = np.sum(weights * (X - mean) ** 2)
        if not scatter > 0:
            warnings.warn(
                "The score is not defined for pixels that do not differ.",
                UndefinedMetricWarning,
                stacklevel=2,
            )
            return np.nan
        return float(1 - np.sum(weights * (X - model) ** 2) / scatter)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
