"""
Continua, and what noise does to them
=====================================

The continuum of a star, at a signal to noise of 20 and of 200: by a running quantile,
which lies where the noise puts it, and by a likelihood that knows the noise.
"""

# %%
# Spectra of red giants, whose continuum is known, since it is made up. Each detector
# has its own.
import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import percentile_filter

from skastro.datasets import make_twin_spectra
from skastro.preprocessing import ContinuumNormalizer

stars = make_twin_spectra(10, snr=None, line_list_seed=4, random_state=0)
wavelength, rng = stars.wavelength, np.random.default_rng(1)
normalizer = ContinuumNormalizer(wavelength).fit(stars.X)
continuum = np.empty(stars.X.shape)
for start, stop in normalizer.regions_:
    x = np.linspace(-1, 1, stop - start)
    terms = rng.normal(size=(len(stars.X), 4)) * [0.05, 0.15, 0.1, 0.02]
    curve = np.polynomial.chebyshev.chebval(x, terms.T)
    continuum[:, start:stop] = 100 * np.exp(curve)


def observed(snr):
    """Return spectra and their errors."""
    sigma = continuum / snr
    return stars.X * continuum + sigma * rng.normal(size=sigma.shape), sigma


def running_quantile(flux):
    """Return the 90th percentile of 301 pixels, of each detector."""
    return np.hstack(
        [
            percentile_filter(flux[:, start:stop], 90, (1, 301), mode="nearest")
            for start, stop in normalizer.regions_
        ]
    )


# %%
# How far either is off, on average over the stars. At a signal to noise of 20 a
# spectrum by itself can hardly tell a crowd of weak lines from a lower continuum, and
# all of these stars have theirs at the same wavelengths: one detector shows it.
STAR = 3
figure, axes = plt.subplots(2, 1, figsize=(7.2, 5.6), sharex=True, layout="constrained")
for snr, style in ((20, ":"), (200, "-")):
    flux, sigma = observed(snr)
    curves = {
        "running quantile": (running_quantile(flux), "#D55E00"),
        "ContinuumNormalizer": (normalizer.continuum(flux, sigma=sigma)[0], "#0072B2"),
    }
    for name, (found, colour) in curves.items():
        off = 100 * (found / continuum - 1)
        print(f"SNR {snr}, {name}: {off.mean():+.2f} % off on average")
        for start, stop in normalizer.regions_:
            part = slice(start, stop)
            label = f"{name}, SNR {snr}" if start == 0 else None
            axes[1].plot(
                wavelength[part],
                off.mean(axis=0)[part],
                style,
                color=colour,
                label=label,
            )
            if snr == 20:
                axes[0].plot(wavelength[part], found[STAR, part], color=colour, lw=2)
    if snr == 20:
        axes[0].plot(wavelength, flux[STAR], ".", color="0.7", ms=1.5, zorder=0)
for start, stop in normalizer.regions_:
    axes[0].plot(
        wavelength[start:stop],
        continuum[STAR, start:stop],
        "k--",
        lw=1,
        label="truth" if start == 0 else None,
    )
axes[0].set(ylabel="flux", title="One star at a signal to noise of 20", ylim=(40, None))
axes[0].legend(frameon=False)
axes[1].axhline(0, color="0.6", lw=0.8, zorder=0)
axes[1].set(
    xlabel="wavelength [Å]", ylabel="continuum off by [%]", title="Mean of 20 stars"
)
axes[1].set_ylim(None, 11)
axes[1].legend(frameon=False, fontsize=8, ncols=2, loc="upper center")
plt.show()
