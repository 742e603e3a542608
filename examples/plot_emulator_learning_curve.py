"""
How many simulations an emulator needs
======================================

The error of an emulator falls with the size of its training set. Here for two lines of
HCN, with the default recipe and with the published one of the thesis.
"""

# %%
# RADEX over a Latin hypercube of gas properties. Both recipes learn the radiation
# temperature. The published one takes temperature, density and target as they are, and
# the logarithm of the column density; the other takes logarithms of all three, and
# learns ``arcsinh(T / 10 mK)``.

import matplotlib.pyplot as plt
import numpy as np

from skastro.datasets import gas_prior
from skastro.emulation import PUBLISHED_PARAMETERS, EmulatorRegressor
from skastro.metrics import error_factor
from skastro.molecular import RadexModel

space = gas_prior(["HCN"]).select(["temperature", "density", "column_density_HCN"])
radex = RadexModel(["HCN(1-0)"])


def simulate(n, seed):
    gas = space.sample_latin_hypercube(n, random_state=seed)
    return gas, radex.solve("HCN", *gas.T).radiation_temperature[:, [0, 3]]


X, y = simulate(4000, seed=0)
X_test, y_test = simulate(2000, seed=1)
sizes = [250, 1000, 4000]

# %%
# The published recipe takes 20 passes over the data, hence few steps where there are
# few data; it is given the learning rate of the thesis all the same.


def mixed(gas):
    return np.column_stack([gas[:, :2], np.log10(gas[:, 2])])


curves = {"default": [], "published": []}
for n in sizes:
    emulator = EmulatorRegressor(random_state=0, extrapolation="ignore")
    emulator.fit(np.log10(X[:n]), np.arcsinh(y[:n] / 0.01))
    prediction = 0.01 * np.sinh(emulator.predict(np.log10(X_test)))
    curves["default"].append(error_factor(y_test, prediction, minimum=0.1))
    emulator = EmulatorRegressor(
        **(PUBLISHED_PARAMETERS | {"loss": "absolute_error"}),
        random_state=0,
        extrapolation="ignore",
    )
    prediction = emulator.fit(mixed(X[:n]), y[:n]).predict(mixed(X_test))
    curves["published"].append(error_factor(y_test, prediction, minimum=0.1))

# %%
# 95 % of the models that were not trained on are within this error. A point is missing
# where more than 5 % of the predictions are not even positive.

figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
for (recipe, factors), color in zip(curves.items(), ["C0", "0.5"], strict=True):
    for column, (line, style) in enumerate([("HCN(1-0)", "o-"), ("HCN(4-3)", "s--")]):
        error = 100 * (np.array(factors)[:, column] - 1)
        ax.loglog(sizes, error, style, color=color, label=f"{line}, {recipe}")
ax.set(xlabel="RADEX models", ylabel="95 % of the errors below [%]")
ax.set_xticks(sizes, [str(n) for n in sizes], minor=False)
ax.set_xticks([], minor=True)
ax.legend(frameon=False)
plt.show()
