"""Continua of spectra whose continuum is known: error, bias with noise, speed."""

import argparse

import helpers
import numpy as np
from scipy.ndimage import percentile_filter

from skastro.datasets import make_twin_spectra
from skastro.preprocessing import (
    ContinuumNormalizer,
    ResolutionMatcher,
    SpectrumResampler,
    VelocityShifter,
)

CHIPS = (slice(0, 3028), slice(3028, 5523), slice(5523, 7514))
SNRS = (20, 50, 100, 200)
FIT = "skastro, each spectrum by itself"


def simulated(n, seed):
    """Return wavelengths, spectra without noise, and their continua chip by chip."""
    stars = make_twin_spectra(
        (n + 1) // 2, snr=None, line_list_seed=11, random_state=seed
    )
    X, rng = stars.X[:n].astype(float), np.random.default_rng(seed)
    continuum = np.empty_like(X)
    for chip in CHIPS:
        x = np.linspace(-1, 1, X[:, chip].shape[1])
        terms = rng.normal(size=(n, 5)) * [0.1, 0.15, 0.05, 0.02, 0.01]
        continuum[:, chip] = np.exp(np.polynomial.chebyshev.chebval(x, terms.T))
    return stars.wavelength, X, continuum


def running_quantile(flux, sigma, wavelength):
    """The plain way: the 90th percentile of 301 pixels."""
    found = np.empty_like(flux)
    for chip in CHIPS:
        for row, values in enumerate(flux[:, chip]):
            found[row, chip] = percentile_filter(values, 90, 301, mode="nearest")
    return found


def specutils_fit(flux, sigma, wavelength):
    """Chebyshev polynomials of degree 4, fitted after a median filter, chip by chip."""
    import warnings

    from astropy import units as u
    from astropy.modeling.polynomial import Chebyshev1D
    from specutils import Spectrum
    from specutils.fitting import fit_generic_continuum

    found = np.empty_like(flux)
    for chip in CHIPS:
        grid = wavelength[chip] * u.AA
        for row, values in enumerate(flux[:, chip]):
            spectrum = Spectrum(flux=values * u.one, spectral_axis=grid)
            model = Chebyshev1D(4, domain=[grid[0].value, grid[-1].value])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = fit_generic_continuum(spectrum, model=model)
            found[row, chip] = fit(grid).value
    return found


def ours(**parameters):
    def fitted(training, training_sigma, wavelength):
        model = ContinuumNormalizer(wavelength, **parameters)
        model.fit(training, sigma=training_sigma)
        return lambda flux, sigma, _: model.continuum(flux, sigma=sigma)

    return fitted


def continua(n, n_training):
    """Compare continua of the same spectra at several signal-to-noise ratios."""
    wavelength, clean, continuum = simulated(n, seed=1)
    _, training, training_continuum = simulated(n_training, seed=2)
    methods = {
        FIT: ours(),
        f"the same, pixels learned from {n_training} spectra": ours(pixels="learned"),
        "splines, each by itself": ours(method="spline"),
        "corrected running quantile, each by itself": ours(method="quantile"),
        "plain running quantile (0.9 of 301 pixels)": lambda *_: running_quantile,
    }
    try:
        import specutils  # noqa: F401

        methods["specutils, fit_generic_continuum"] = lambda *_: specutils_fit
        left_out = "specutils has its defaults, and the first 10 spectra."
    except ImportError:
        left_out = "specutils is not installed, and left out."
    rows = {name: [name] for name in methods}
    seconds = {name: [] for name in methods}
    for snr in SNRS:
        rng = np.random.default_rng(snr)
        sigma = continuum / snr
        flux = clean * continuum + sigma * rng.normal(size=clean.shape)
        noise = training_continuum / snr
        taught = training * training_continuum + noise * rng.normal(size=training.shape)
        for name, make in methods.items():
            few = slice(0, 10 if name.startswith("specutils") else None)
            method = make(taught, noise, wavelength)
            method(flux[:1], sigma[:1], wavelength)  # compiles
            found, time = helpers.cpu_time(
                lambda m=method, f=flux[few], s=sigma[few]: m(f, s, wavelength)
            )
            seconds[name].append(time[0] / len(flux[few]))
            found = found[0] if isinstance(found, tuple) else found
            off = found / continuum[few] - 1
            error = np.sqrt(np.mean(off**2))
            rows[name].append(f"{100 * error:.2f}, {100 * off.mean():+.3f}")
    for name, times in seconds.items():
        rows[name].append(helpers.spread(60 / np.array(times)))
    header = ["error, bias [%] at SNR", *SNRS, "spectra a minute and core"]
    table = helpers.table(header, rows.values())
    words = (
        f"{n} spectra of {len(wavelength):,} pixels, of another line list than the one"
        " that the priors were chosen with. Errors are root mean squares over all"
        " pixels, biases their means. Rates: the median over signal-to-noise ratios,"
        f" and their range. {left_out}"
    )
    return [words, table]


def speed(n):
    """Time the steps of the front end, with errors."""
    wavelength, clean, continuum = simulated(n, seed=3)
    sigma = continuum / 50
    rng = np.random.default_rng(0)
    flux = clean * continuum + sigma * rng.normal(size=clean.shape)
    normalised, error = flux / continuum, sigma / continuum
    template = clean.mean(axis=0)
    shifter = VelocityShifter(wavelength, with_sigma=True)
    measuring = VelocityShifter(
        wavelength, velocity="measured", template=template, with_sigma=True
    )
    resampler = SpectrumResampler(wavelength, wavelength[10:-10:2], with_sigma=True)
    matcher = ResolutionMatcher(
        wavelength, 11_500, resolving_power=22_500, with_sigma=True
    )
    velocity = rng.uniform(-100, 100, n)
    moving = shifter.fit(normalised, sigma=error).inverse_transform(
        np.nan_to_num(normalised, nan=1.0), velocity=velocity
    )
    found, stated = measuring.fit(normalised, sigma=error).measure(moving, sigma=error)
    steps = {
        "ContinuumNormalizer": (ContinuumNormalizer(wavelength, with_sigma=True), flux),
        "VelocityShifter, given": (shifter, normalised),
        "VelocityShifter, measured": (measuring, moving),
        "SpectrumResampler": (resampler, normalised),
        "ResolutionMatcher": (matcher, normalised),
    }
    rows = []
    for name, (model, X) in steps.items():
        errors = sigma if X is flux else error
        extra = {"velocity": velocity} if name.endswith("given") else {}
        model.fit(X, sigma=errors)

        def call(model=model, X=X, errors=errors, extra=extra):
            return model.transform(X, sigma=errors, **extra)

        call()
        _, times = helpers.cpu_time(call, 3)
        rows.append([name, helpers.spread(60 * n / times)])
    off = found - velocity
    pull = np.sqrt(np.mean((off / stated) ** 2))
    words = (
        f"{n} spectra of {len(wavelength):,} pixels, with errors. Velocities of these"
        f" at a signal to noise of 50: error {np.sqrt(np.mean(off**2)):.3f} km/s,"
        f" stated {np.median(stated):.3f} km/s, {pull:.2f} stated ones in the root mean"
        " square, with the mean of the stars for a template."
    )
    return [words, helpers.table(["step", "spectra a minute and core"], rows)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--spectra", type=int, default=300)
    parser.add_argument("--training", type=int, default=300)
    args = parser.parse_args()
    sections = [
        "## Continua",
        *continua(args.spectra, args.training),
        "## Speed of the steps",
        *speed(min(200, args.spectra)),
    ]
    helpers.write("front_end", sections, "scikit-learn", "numpy", "numba")


if __name__ == "__main__":
    main()
