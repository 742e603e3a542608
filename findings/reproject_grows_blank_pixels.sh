#!/usr/bin/env bash
# Regridding an image onto its own grid makes one blank pixel many: reproject_interp computes the
# coordinates of each pixel through the sky and back, which leaves them off by about 1e-10 pixels,
# and an interpolation weight of 1e-10 times NaN is NaN. An image without blanks comes back as it
# was, so nothing tells of it. The other methods do not do so on the same grid.
# Seen with reproject 0.21.0 and astropy 8.0.2: 9 blank pixels for 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q reproject==0.21.0 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from astropy.wcs import WCS
from reproject import reproject_interp

wcs = WCS(naxis=2)
wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
wcs.wcs.crval = 40, -0.01
wcs.wcs.crpix = 21, 21
wcs.wcs.cdelt = -1 / 3600, 1 / 3600
image = np.arange(41.0 * 41).reshape(41, 41)


def regridded(image, order):
    return reproject_interp(
        (image, wcs), wcs, shape_out=image.shape, order=order, return_footprint=False
    )


same = regridded(image, "bilinear")[1:-1, 1:-1]
assert np.allclose(same, image[1:-1, 1:-1], atol=1e-5), "changed: not the same image"
image[20, 20] = np.nan
inside = slice(1, -1), slice(1, -1)
n_blank = np.count_nonzero(np.isnan(regridded(image, "bilinear")[inside]))
n_nearest = np.count_nonzero(np.isnan(regridded(image, "nearest-neighbor")[inside]))
print("1 blank pixel becomes", n_blank, "by bilinear interpolation;", n_nearest, "nearest")
assert n_blank == 9 and n_nearest == 1, "changed"
PYTHON
