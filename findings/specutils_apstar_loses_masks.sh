#!/usr/bin/env bash
# The loader of specutils for APOGEE's apStar files (releases to 17) drops the mask of pixels, HDU 3:
# a spectrum whose pixels all are bad comes out without one. And it fails for a star of one visit,
# whose arrays have one dimension and not two.
# Seen with specutils 2.4.0; its loader for SDSS-V has masks.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q specutils==2.4.0 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/apStar-r12-star.fits" <<'PYTHON'
import sys

import numpy as np
from astropy.io import fits
from specutils import Spectrum


def write(n_visits):
    shape = (8575,) if n_visits == 1 else (n_visits + 2, 8575)
    primary = fits.PrimaryHDU()
    primary.header.update({"NVISITS": n_visits, "SFILE1": "apVisit-r12-1.fits"})
    primary.header["HISTORY"] = "APOGEE Reduction Pipeline"
    arrays = (np.ones(shape, "f4"), np.full(shape, 0.1, "f4"), np.ones(shape, "i4"))
    hdus = [primary, *(fits.ImageHDU(array) for array in arrays)]
    for hdu in hdus[1:]:
        hdu.header.update({"CRVAL1": 4.179, "CDELT1": 6e-6, "CRPIX1": 1})
        hdu.header["CTYPE1"] = "LOG-LINEAR"
    fits.HDUList(hdus).writeto(sys.argv[1], overwrite=True)


write(2)
spectrum = Spectrum.read(sys.argv[1], format="APOGEE apStar")
print(f"two visits, all pixels flagged BADPIX: the mask is {spectrum.mask}")
assert spectrum.mask is None, "changed: the mask is read"
write(1)
try:
    Spectrum.read(sys.argv[1], format="APOGEE apStar")
except IndexError as error:
    print(f"one visit: IndexError: {error}")
else:
    raise AssertionError("changed: stars of one visit are read")
PYTHON
