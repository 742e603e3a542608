"""Spectra divided by their continua."""

import numbers

import numpy as np

from ..utils.arrays import as_matrix, plain
from ..utils.sklearn_names import Interval, StrOptions, _fit_context
from ..utils.warn import warn
from ._continuum_fit import WEAK, fit_known, fit_lines, polynomials, splines
from ._running_quantile import expected_quantile, running_quantile
from ._spectra import SpectrumTransformer, stretches

#: No pixel is continuum to better than this, in units of the continuum.
FLOOR = 0.001
#: Times that the continuum pixels of the training set are found again.
ROUNDS = 2


class ContinuumNormalizer(SpectrumTransformer):
    r"""Divides spectra by their continua.

    The continuum is a smooth curve in each region, by default between gaps in
    wavelength, so that detectors have their own. Where it lies is told by the errors
    of the pixels: it is no upper envelope, which noise lifts and lines pull down.

    With ``pixels="clipped"`` each spectrum tells by itself. A pixel is continuum
    plus noise, or has lost a share of the light to lines, of an exponential
    distribution; the curve of the highest likelihood is fitted together with how many
    lines there are and how deep. Deep pixels hardly count, and shallow ones count as
    what they are expected to be. With known pixels it is a weighted least-squares fit,
    whose expectation no noise moves.

    Parameters
    ----------
    wavelength : array-like of shape (n_pixels,), default=None
        Wavelengths [Angstrom]; by default the pixels' numbers.
    method : {"polynomial", "spline", "quantile"}, default="polynomial"
        Chebyshev polynomials; smoothing cubic splines; or a running quantile of what
        the polynomial leaves, divided by what that quantile is expected to be with
        the lines and the noise there are.
    pixels : {"clipped", "learned"} or array-like, default="clipped"
        Which pixels are continuum. ``"clipped"``: found in each spectrum, and nothing
        is learned. ``"learned"``: those where the mean of the training spectra is
        continuum, for spectra at rest. Or a mask of shape (n_pixels,), True where they
        are, or ranges of wavelength (n_ranges, 2).
    regions : array-like of shape (n_regions, 2), default=None
        Ranges of wavelength that have a continuum each; what is in none has no
        continuum. By default they end at gaps, of more than five times the median step.
    degree : int, default=4
        Of the polynomials.
    n_knots : int, default=15
        Inner knots of the splines in each region.
    roughness : float, default=0.03
        How much the slope of a spline changes from knot to knot, in units of the
        continuum a knot: the standard deviation of second differences.
    window : int, default=301
        Pixels of the window of the running quantile.
    quantile : float, default=0.8
        The quantile.
    max_depth : float, default=0.002
        The mean spectrum's largest depth in pixels that are learned to be continuum.
    with_sigma : bool, default=False
        Whether `transform` appends the errors of the normalised flux.

    Attributes
    ----------
    continuum_pixels_ : ndarray of bool of shape (n_pixels,)
        Which pixels are used; all of the regions' with ``pixels="clipped"``.
    mean_ : ndarray of shape (n_pixels,)
        Mean normalised spectrum of the training set, with ``pixels="learned"``.
    regions_ : ndarray of int of shape (n_regions, 2)
        The first pixel of each region, and that after its last.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if it has names.

    See Also
    --------
    skastro.preprocessing.SigmaUnpacker : Hands errors in columns on to any estimator.

    Notes
    -----
    Of a pixel at u errors :math:`s` below the continuum :math:`c`, lines of mean depth
    :math:`a` errors have the density
    :math:`e^{-u^2/2} M(u - 1/a) / a`, with Mills' ratio :math:`M`; that of the
    continuum is :math:`e^{-u^2/2}`. Two kinds of lines are in the mixture, one ten
    times weaker than the other. Their share and depth have a prior of cool giants at a
    resolving power of 22,500, which matters below a signal to noise of about 30. There
    the curve may follow how dense lines are along a region.
    Parameters are found by scoring. Covariances are those of blocks of 15 pixels, since
    pixels of one line are alike.

    Without `sigma`, the noise of each region is estimated from differences of
    pixels two apart [1]_; strong lines make it too large.

    The errors of a running quantile are those of independent pixels, and somewhat too
    small, by a third at a signal to noise of 50.

    The error of the normalised flux includes that of the continuum as if both were
    independent, and so neglects that it is common to neighbouring pixels. What is
    smooth in the star itself, such as a molecular band wider than the curve's scale,
    is taken for continuum.

    References
    ----------
    .. [1] Stoehr et al. 2008, ASP Conf. Ser. 394, 505: DER_SNR.
    .. [2] Ness et al. 2015, ApJ 808, 16: continuum pixels, Chebyshev polynomials.
    .. [3] Eilers & Marx 1996, Stat. Sci. 11, 89: penalised splines.

    Examples
    --------
    >>> import numpy as np
    >>> from skastro.preprocessing import ContinuumNormalizer
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(-1, 1, 2000)
    >>> offset = (x[:, None] - rng.uniform(-1, 1, 50)) / 0.002
    >>> lines = 1 - 0.5 * np.exp(-(offset**2))
    >>> continuum = 100 + 20 * x - 10 * x**2
    >>> sigma = 0.02 * continuum
    >>> flux = lines.prod(axis=1) * continuum + sigma * rng.normal(size=2000)
    >>> normalizer = ContinuumNormalizer().fit(flux[None], sigma=sigma)
    >>> found, error = normalizer.continuum(flux[None], sigma=sigma)
    >>> bool(np.abs(found / continuum - 1).max() < 0.01)
    True
    """

    _parameter_constraints = {
        "wavelength": [None, "array-like"],
        "method": [StrOptions({"polynomial", "spline", "quantile"})],
        "pixels": [StrOptions({"clipped", "learned"}), "array-like"],
        "regions": [None, "array-like"],
        "degree": [Interval(numbers.Integral, 0, None, closed="left")],
        "n_knots": [Interval(numbers.Integral, 0, None, closed="left")],
        "roughness": [Interval(numbers.Real, 0, None, closed="neither")],
        "window": [Interval(numbers.Integral, 3, None, closed="left")],
        "quantile": [Interval(numbers.Real, 0, 1, closed="neither")],
        "max_depth": [Interval(numbers.Real, 0, None, closed="left")],
        "with_sigma": ["boolean"],
    }

    def __init__(
        self,
        wavelength=None,
        *,
        method="polynomial",
        pixels="clipped",
        regions=None,
        degree=4,
        n_knots=15,
        roughness=0.03,
        window=301,
        quantile=0.8,
        max_depth=0.002,
        with_sigma=False,
    ):
        self.wavelength = wavelength
        self.method = method
        self.pixels = pixels
        self.regions = regions
        self.degree = degree
        self.n_knots = n_knots
        self.roughness = roughness
        self.window = window
        self.quantile = quantile
        self.max_depth = max_depth
        self.with_sigma = with_sigma

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sigma=None):
        """Prepare the curves, and learn the continuum pixels if asked.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; with their errors beside them, of twice as many
            columns, as steps ``with_sigma=True`` give them.
        y : None
            Ignored.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors; or one for all, or one for each pixel.

        Returns
        -------
        self : ContinuumNormalizer
            Fitted estimator.

        Raises
        ------
        ValueError
            If numbers of columns differ, regions overlap or hold no pixels, or too few
            pixels are continuum.
        """
        flux, sigma = self._admit(X, y, sigma)
        n = len(self._wavelength)
        self.regions_ = self._find_regions()
        self._bases = [
            self._basis(self._wavelength[start:stop]) for start, stop in self.regions_
        ]
        within = np.zeros(n, dtype=bool)
        for start, stop in self.regions_:
            within[start:stop] = True
        learned = isinstance(self.pixels, str) and self.pixels == "learned"
        self._known = not (isinstance(self.pixels, str) and self.pixels == "clipped")
        self._expected, self._scatter = np.ones(n), np.zeros(n)
        if not self._known:
            self.continuum_pixels_ = within
        elif learned:
            self._learn(flux, sigma, within)
        else:
            self.continuum_pixels_ = within & self._given_pixels()
            self._check_pixels()
        return self

    def continuum(self, X, sigma=None):
        """Return the continua of spectra, and their errors.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Spectra, NaN where missing; or with their errors beside them.
        sigma : array-like of shape (n_samples, n_pixels), default=None
            1-sigma errors.

        Returns
        -------
        continuum : ndarray of shape (n_samples, n_pixels)
            In units of X, also in missing pixels; NaN where there is none.
        continuum_sigma : ndarray of shape (n_samples, n_pixels)
            1-sigma errors of it.

        Warns
        -----
        UserWarning
            If a spectrum has too few pixels in a region, or no light, to have a
            continuum there.
        """
        flux, sigma = self._spectra(X, sigma)
        curve, error = self._curves(flux, sigma)
        return curve.astype(flux.dtype), error.astype(flux.dtype)

    def restore(self, X, continuum):
        """Multiply normalised spectra by given continua.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_pixels)
            Normalised spectra; or with their errors beside them.
        continuum : array-like of shape (n_samples, n_pixels)
            Continua, as the method `continuum` returns them.

        Returns
        -------
        X_original : ndarray of the shape of X
            Spectra, and what errors they would have with these continua known.

        Raises
        ------
        ValueError
            If shapes differ.
        """
        X, continuum = as_matrix(X, "X"), as_matrix(continuum, "continuum")
        times, rest = divmod(X.shape[1], continuum.shape[1])
        if len(X) != len(continuum) or rest or times not in (1, 2):
            raise ValueError(
                f"`continuum` must have the shape of the spectra, got {continuum.shape}"
                f" for X of shape {X.shape}."
            )
        return X * np.tile(continuum, (1, times))

    def _transformed(self, flux, sigma):
        curve, curve_error = self._curves(flux, sigma)
        normalised = flux / curve
        if sigma is not None:
            own = np.hypot(sigma, normalised * curve_error) / curve
            sigma = own.astype(flux.dtype)
        return normalised.astype(flux.dtype), sigma

    # -- what is where

    def _find_regions(self):
        """Return first pixels and those after the last of the regions."""
        wavelength = self._wavelength
        if self.regions is None:
            found = stretches(wavelength)
            return np.array([(part.start, part.stop) for part in found])
        ranges = self._ranges(self.regions, "regions")
        ranges = ranges[np.argsort(ranges[:, 0])]
        start = np.searchsorted(wavelength, ranges[:, 0], side="left")
        stop = np.searchsorted(wavelength, ranges[:, 1], side="right")
        if np.any(stop <= start) or np.any(start[1:] < stop[:-1]):
            raise ValueError(
                f"`regions` must hold pixels and not overlap, got {ranges.tolist()} for"
                f" wavelengths from {wavelength[0]:g} to {wavelength[-1]:g}."
            )
        return np.column_stack([start, stop])

    def _ranges(self, values, name):
        ranges = np.asarray(plain(values, name, unit="Angstrom"), dtype=float)
        if ranges.ndim != 2 or ranges.shape[1] != 2 or np.any(np.diff(ranges) < 0):
            raise ValueError(
                f"`{name}` must be pairs of a lower and an upper wavelength, got shape"
                f" {ranges.shape}."
            )
        return ranges

    def _given_pixels(self):
        pixels = np.asarray(plain(self.pixels, "pixels", unit="Angstrom"))
        if pixels.dtype == bool:
            if pixels.shape != self._wavelength.shape:
                raise ValueError(
                    "`pixels` must be a mask with one value for each of the"
                    f" {len(self._wavelength)} pixels, got shape {pixels.shape}."
                )
            return pixels
        given = np.zeros(len(self._wavelength), dtype=bool)
        for low, high in self._ranges(self.pixels, "pixels"):
            given |= (self._wavelength >= low) & (self._wavelength <= high)
        return given

    def _check_pixels(self):
        for (start, stop), (_, penalty) in zip(self.regions_, self._bases, strict=True):
            n, least = self.continuum_pixels_[start:stop].sum(), self._least(penalty)
            if n < least:
                raise ValueError(
                    f"Only {n} pixels of the region from {self._wavelength[start]:g}"
                    f" to {self._wavelength[stop - 1]:g} are continuum, and the curve"
                    f" needs {least}; give more `pixels`, raise"
                    f" max_depth={self.max_depth}, or take a curve of fewer"
                    " parameters."
                )

    def _basis(self, wavelength):
        low, high = wavelength[0], wavelength[-1]
        x = 2 * (wavelength - low) / max(high - low, np.finfo(float).tiny) - 1
        if self.method == "spline":
            return splines(x, self.n_knots, self.roughness)
        return polynomials(x, self.degree)

    @staticmethod
    def _least(penalty):
        """Return the number of pixels that a curve needs, of which no prior tells."""
        return np.count_nonzero(np.linalg.eigvalsh(penalty) < 2 * WEAK) + 1

    # -- curves

    def _curves(self, flux, sigma):
        """Return continua and their errors, in float64."""
        curve = np.full(flux.shape, np.nan)
        error = np.full(flux.shape, np.nan)
        without = 0
        for (start, stop), basis in zip(self.regions_, self._bases, strict=True):
            # a copy: mapped read-only after a pickle, it would be compiled for again
            basis = [np.array(part) for part in basis]
            part = slice(start, stop)
            pixels, least = self.continuum_pixels_[part], self._least(basis[1])
            for row in range(len(flux)):
                f = flux[row, part].astype(np.float64)
                seen = ~np.isnan(f)
                scale = np.quantile(f[seen], 0.9) if seen.any() else 0.0
                if np.count_nonzero(seen & pixels) < least or not scale > 0:
                    without += 1
                    continue
                f = np.where(seen, f / scale, 1.0)
                if sigma is None:
                    s = np.full(len(f), noise(f, seen))
                else:
                    s = sigma[row, part].astype(np.float64) / scale
                s = np.sqrt(s**2 + FLOOR**2 + self._scatter[part] ** 2)
                f, s = f / self._expected[part], s / self._expected[part]
                found = self._curve(f, s, seen & pixels, basis)
                curve[row, part], error[row, part] = (scale * v for v in found)
                without += np.isnan(found[0]).all()
        if without:
            warn(
                f"{without} of {len(self.regions_) * len(flux)} stretches of spectra"
                " have too few pixels or no light, and so no continuum; they are NaN."
            )
        return curve, error

    def _curve(self, f, s, used, basis):
        """Return the continuum of one stretch of a spectrum, and its error."""
        fit = fit_known if self._known else fit_lines
        theta, covariance, lines = fit(f, s, used, *basis)
        values = basis[0]
        curve = values @ theta
        curve[curve <= 0] = np.nan
        used = used & ~np.isnan(curve)
        if self.method != "quantile" or not used.any():
            return curve, np.sqrt(np.sum(values @ covariance * values, axis=1))
        window = self.window | 1
        ratio = np.where(used, f / curve, 0.0)
        found, count = running_quantile(ratio, used, window, self.quantile)
        relative = float(np.median(s[used] / curve[used]))
        expected, density = expected_quantile(self.quantile, relative, lines)
        spread = np.sqrt(self.quantile * (1 - self.quantile) / np.maximum(count, 1))
        return curve * found / expected, curve * spread / density / expected

    def _learn(self, flux, sigma, within):
        """Find the pixels where the mean spectrum is continuum, and what it is there.

        The mean has hardly any noise, and is clipped as a spectrum is.
        """
        self._known, self.continuum_pixels_ = False, within
        for _ in range(ROUNDS):
            mean, error, scatter = self._mean(flux, sigma)
            self._known, self.continuum_pixels_ = False, within
            self._expected, self._scatter = np.ones_like(mean), np.zeros_like(mean)
            curve = self._curves(mean[None], error[None])[0][0]
            self.mean_ = mean / curve
            close = np.abs(self.mean_ - 1) <= self.max_depth + error
            self._known, self.continuum_pixels_ = True, within & close
            self._check_pixels()
            self._expected = np.where(close, self.mean_, 1.0)
            self._scatter = np.where(close, scatter, 0.0)

    def _mean(self, flux, sigma):
        """Return the mean normalised spectrum, its error, and the stars' scatter."""
        curve, _ = self._curves(flux, sigma)
        normalised = flux / curve
        seen = ~np.isnan(normalised)
        normalised = np.nan_to_num(normalised)
        variance = FLOOR**2 if sigma is None else (sigma / curve) ** 2 + FLOOR**2
        weight = np.where(seen, 1 / variance, 0.0)
        total = weight.sum(axis=0)
        once = np.where(total > 0, total, 1.0)
        mean = (weight * normalised).sum(axis=0) / once
        squares = (weight * (normalised - mean) ** 2).sum(axis=0) / once
        n = np.maximum(seen.sum(axis=0), 1)
        error = np.sqrt(np.maximum(1 / once, squares / n))
        expected = 0.0 if sigma is None else n / once
        scatter = np.sqrt(np.maximum(squares - expected, 0.0))
        return np.where(total > 0, mean, np.nan), error, scatter


def noise(f, seen):
    """Return the noise of a spectrum by DER_SNR, from pixels two apart."""
    f = np.where(seen, f, np.nan)
    if len(f) < 5:
        return 0.0
    second = np.abs(2 * f[2:-2] - f[:-4] - f[4:])
    second = second[~np.isnan(second)]
    return 1.482602 / np.sqrt(6) * np.median(second) if len(second) else 0.0
