"""
The CO ladder of warm and cold gas
==================================

How bright each rotational line of CO is says how warm and dense the gas is. Radiative
transfer of the ten lowest lines, for a range of temperatures and densities.
"""

# %%
# A model of ten lines, in one call for all the gas.

import matplotlib.pyplot as plt
import numpy as np

from skastro.molecular import RadexModel

levels = np.arange(1, 11)
radex = RadexModel([f"CO({j}-{j - 1})" for j in levels])
temperatures, densities = [15.0, 50.0, 150.0], [1e3, 1e4, 1e5, 1e6]
gas = np.array([[T, n, 1e18, 20.0, 1.0] for T in temperatures for n in densities])
intensity = radex.predict(gas).reshape(len(temperatures), len(densities), -1)

# %%
# In cold gas the ladder ends early whatever the density; in warm gas its upper rungs
# measure the density, until collisions outpace emission and it no longer matters.

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, temperature, ladders in zip(axes, temperatures, intensity, strict=True):
    for density, ladder in zip(densities, ladders, strict=True):
        color = plt.cm.viridis(np.log10(density) / 6 - 0.15)
        label = rf"$10^{{{np.log10(density):.0f}}}$ cm$^{{-3}}$"
        ax.semilogy(levels, ladder, "o-", color=color, markersize=4, label=label)
    ax.set(title=f"{temperature:.0f} K", xlabel=r"$J_\mathrm{up}$", ylim=(1e-2, 1e4))
    ax.set_xticks(levels[::3])
axes[0].set_ylabel("intensity [K km / s]")
axes[0].legend(title="density", frameon=False, fontsize="small")
plt.show()
