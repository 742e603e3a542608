r"""
The edge of a molecular cloud, from a table in mixed units
==========================================================

Far-infrared lines are published in W m\ :sup:`-2`, those of CO in Jy km/s, each in a
beam of its own, and one of them was not seen. Between ultraviolet light and cold gas,
carbon is C\ :sup:`+`, C and CO, and hydrogen molecules, hydrogen atoms and electrons
collide with them. One table and one model hold it all.
"""

# %%
# A table as it is published: the unit is that of each row, "<" marks a limit.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.table import Table

from skastro.io import read_line_table
from skastro.molecular import RadexModel
from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.plotting import CornerDisplay, PosteriorPredictiveDisplay
from skastro.retrieval import BayesianRetrieval

table = Table(
    rows=[
        ("[CII] 158um", "", 6.45e-16, 4.2e-17, "W / m2", 15),
        ("[CI] 1-0", "", 2.51e-17, 2.8e-18, "W / m2", 13),
        ("[CI] 2-1", "", 1.40e-16, 1.2e-17, "W / m2", 13),
        ("CO(1-0)", "", 136.0, 5.3, "Jy km / s", 22),
        ("CO(2-1)", "", 798.0, 21.0, "Jy km / s", 22),
        ("CO(3-2)", "", 519.0, 19.0, "Jy km / s", 14),
        ("CO(4-3)", "", 529.0, 24.0, "Jy km / s", 14),
        ("CO(5-4)", "", 357.0, 37.0, "Jy km / s", 14),
        ("CO(6-5)", "<", 66.6, 22.2, "Jy km / s", 9),
    ],
    names=["line", "l_flux", "flux", "e_flux", "unit", "beam [arcsec]"],
)
lines = read_line_table(table, source_size=np.inf * u.arcsec)
print(lines)

# %%
# The gas: hydrogen molecules and atoms, electrons as a fraction of them. There are no
# rates of CO with atoms and electrons here, and the model is told that this is known.

radex = RadexModel(
    lines.lines,
    partners=("H2", "H", "e"),
    electrons="fraction",
    missing_rates={"CO": ["H", "e"]},
    column_density="per line width",
)
columns = {
    f"column_density_{species}": LogUniform(
        1e15, 1e18, "cm-2 km-1 s", label=rf"$N(\mathrm{{{species}}})$"
    )
    for species in ("C+", "C", "CO")
}
prior = ParameterSpace(
    {
        "temperature": LogUniform(20 * u.K, 200 * u.K, label="$T$"),
        "density": LogUniform(1e3, 1e6, "cm-3", label=r"$n(\mathrm{H}_2)$"),
        "density_H": LogUniform(1e2, 1e5, "cm-3", label=r"$n(\mathrm{H})$"),
        "electron_fraction": LogUniform(1e-6, 1e-3, label="$x(e)$"),
        **columns,
        "line_width": Uniform(2.0, 3.0, "km / s"),
        "filling_factor": Uniform(0.3, 1.0),
    }
)
retrieval = BayesianRetrieval(radex, prior, sampler="importance", random_state=0)
retrieval.fit(**lines.fit_arguments())
print(retrieval.posterior_)

# %%
# Temperature and the columns of carbon are measured; how many electrons there are is
# not, since atoms and molecules excite C\ :sup:`+` too, and the posterior says so.

names = ["temperature", "density", "electron_fraction"]
CornerDisplay(retrieval.posterior_.select([*names, *columns])).plot()

# %%
# What the model says of each line that was seen.

seen = ~lines.upper_limit
PosteriorPredictiveDisplay.from_estimator(
    retrieval,
    np.array(lines.lines)[seen],
    lines.intensity[seen],
    sigma=lines.sigma[seen],
)
plt.show()
