"""
Do latents hold the chemistry? Abundances read from them
========================================================

A disentangler is never told an abundance: it removes from spectra what temperature,
gravity and [Fe/H] explain, and keeps the rest. If the rest is the chemistry, a linear
regression on a few stars whose abundances are known reads off those of all others: the
test of Fig. 4.4 of *Decoding Astronomical Spectra Using Machine Learning*.

The spectra are synthetic, on the pixels of APOGEE, with a signal-to-noise ratio of 100.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from sklearn.model_selection import ShuffleSplit
from sklearn.pipeline import make_pipeline

from skastro.datasets import make_twin_spectra
from skastro.disentangling import PolyDisentangler
from skastro.labels import LatentRegressor
from skastro.metrics import label_errors
from skastro.model_selection import CalibratedRegressor
from skastro.preprocessing import append_conditions

data = make_twin_spectra(2500, snr=100, random_state=0)
X = append_conditions(data.X, data.u)[::2]
y = pd.DataFrame(data.abundances, columns=data.element_names)[::2].drop(columns="Fe")
train, test = slice(0, 2000), slice(2000, 2500)

# %%
# The disentangler and the regression are one pipeline. ``CalibratedRegressor`` leaves
# out a fifth of the stars once, to learn by how much errors are to be scaled: latents
# of the stars of the fit hold a little more than those of others. Each abundance is
# known of seven stars in ten only.

known = y[train].where(np.random.default_rng(0).random((2000, 17)) < 0.7)
poly = PolyDisentangler(slice(-3, None), random_state=0)
model = CalibratedRegressor(
    make_pipeline(poly, LatentRegressor()),
    cv=ShuffleSplit(1, test_size=0.2, random_state=0),
)
model.fit(X[train], known)

# %%
# 500 stars that nothing has seen. Columns are root mean square errors in dex, beside
# the scatter of the stars themselves, and shares of stars within their errors.

abundances, error = model.predict(X[test], return_std=True)
errors = label_errors(y[test], abundances, error)
print(errors)


# %%
# True against predicted abundances of 250 of them. The few lines of rubidium are hidden
# in the noise, and those of calcium nearly so: the regression says so, by predictions
# near the mean of all stars and errors as large as their scatter.


def draw_abundances(truth, found, std, errors):
    """Draw predicted against true abundances, with a panel for each element."""
    figure, axes = plt.subplots(3, 6, figsize=(12.5, 6.6), layout="constrained")
    for j, (ax, name) in enumerate(zip(axes.flat, errors.names, strict=False)):
        low, high = np.quantile(truth[:, j], [0.002, 0.998])
        margin = 0.15 * (high - low)
        limits = low - margin, high + margin
        ax.errorbar(
            truth[:, j],
            found[:, j],
            std[:, j],
            fmt=".",
            markersize=3,
            markeredgewidth=0,
            ecolor="C0",
            elinewidth=0.6,
            alpha=0.5,
        )
        ax.plot(limits, limits, color="0.2", linewidth=0.9, zorder=3)
        ticks = MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(*limits)
        ax.set(xticks=ticks, yticks=ticks, xlim=limits, ylim=limits, aspect="equal")
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.text(
            0.04,
            0.96,
            f"[{name}/Fe]",
            transform=ax.transAxes,
            va="top",
            weight="bold",
        )
        ax.text(
            0.96,
            0.04,
            f"RMSE {errors.rmse[j]:.3f}",
            transform=ax.transAxes,
            ha="right",
        )
    for ax in axes.flat[len(errors.names) :]:
        ax.set_axis_off()
    figure.supxlabel("true abundance [dex]")
    figure.supylabel("abundance from the latents [dex]")
    return figure


shown = slice(0, 250)
truth = y[test].to_numpy()
draw_abundances(truth[shown], abundances[shown], error[shown], errors)
plt.show()
