"""
Blended gas: from maps of lines to gas components
=================================================

A telescope's beam blends gas of different temperature and density. Each kind of gas
has a profile of its own, its intensities in the lines of different molecules, and
non-negative matrix factorisation finds these profiles, and where the gas is, from the
maps alone.

The scene is synthetic: ten lines of cold, dense and hot gas in a region where stars
form. The maps are written as files of two instruments, one of which has finer pixels
and a smaller beam, as a reduction would leave them.
"""

import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter, zoom

from skastro.datasets import make_line_maps
from skastro.decomposition import LineMapNMF, LineMapNMFEnsemble
from skastro.io import read_line_maps, write_component_maps
from skastro.metrics import component_mae
from skastro.model_selection import choose_n_components
from skastro.plotting import ComponentMapsDisplay, EnsembleDisplay

scene = make_line_maps("protostellar", beam=0, snr=None)
rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())
for line, x in zip(scene.lines, scene.X.T, strict=True):
    fine = line.startswith("CO")
    # 50 pixels of 2", a beam of 10"; or 100 of 1", and 7"
    n, pixel, beam = (100, 1.0, 7.0) if fine else (50, 2.0, 10.0)
    image = x.reshape(scene.map_shape)
    if fine:
        image = zoom(image, 2, order=1, grid_mode=True, mode="nearest")
    blur = beam / pixel / np.sqrt(8 * np.log(2))
    noise = gaussian_filter(rng.normal(size=image.shape), blur)
    # as much noise as leaves each line a signal to noise of 100 in the coarse beam
    noise *= image.mean() / 100 / noise.std() * 10 / beam
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    wcs.wcs.crval = 277.5, 1.2
    wcs.wcs.crpix = (n + 1) / 2, (n + 1) / 2
    wcs.wcs.cdelt = -pixel / 3600, pixel / 3600
    header = wcs.to_header()
    header.update(BMAJ=beam / 3600, BMIN=beam / 3600, BPA=0.0, BUNIT="K")
    image = gaussian_filter(image, blur, mode="nearest") + noise
    fits.writeto(folder / f"{line}.fits", image, header)

# %%
# Onto one grid and to one beam, those of the coarser maps:

data = read_line_maps({line: folder / f"{line}.fits" for line in scene.lines})
print(f"{data.map_shape} pixels, {len(data.lines)} lines")
print(f'beam of {data.beam.major.to_value("arcsec"):.1f}", in {data.unit}')

# %%
# How many kinds of gas are there? Single entries of the matrix are held out, and
# predicted from the others.

chosen = choose_n_components(LineMapNMF(), data.X, n_jobs=2, random_state=0)
for k, error in zip(chosen.n_components, chosen.mean_errors, strict=True):
    print(f"{k} components: root mean square error {np.sqrt(error):.3f}")
print(f"chosen: {chosen.best}")

# %%
# A hundred factorisations, from random starts and with different penalties on the
# maps. All of them fit: their losses differ by less than noise accounts for. The
# consensus is of the few whose components are least alike, in their maps and profiles;
# how far all others depart from it is its uncertainty. The solution of the least loss
# is not the best.

ensemble = LineMapNMFEnsemble(chosen.best, n_jobs=2, random_state=0).fit(data.X)
print(
    f"MAE of the profiles: {component_mae(scene.components, ensemble.components_):.3f}"
)
_ = EnsembleDisplay.from_estimator(ensemble, components_true=scene.components)

# %%
# The gas components, and the true profiles they stand for:

display = ComponentMapsDisplay.from_estimator(
    ensemble,
    data.X,
    data.map_shape,
    wcs=data.wcs,
    lines=data.lines,
    unit=data.unit,
    components_true=scene.components,
    names=["20 K, extended", "10 K, dense", "100 K, hot core"],
)

# %%
# Maps of the components, for other programs:

write_component_maps(
    folder / "components.fits",
    ensemble.transform(data.X),
    wcs=data.wcs,
    map_shape=data.map_shape,
    components=ensemble.components_,
    components_std=ensemble.components_std_,
    lines=data.lines,
    unit=data.unit,
    beam=data.beam,
)
fits.info(folder / "components.fits")
