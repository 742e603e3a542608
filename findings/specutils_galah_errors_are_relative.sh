#!/usr/bin/env bash
# The GALAH loader of specutils gives the relative errors of release 3 as absolute ones, in counts:
# HDU 1 (`input_sigma`) is "relative error of spectrum ... to calculate absolute error multiply
# with first extension" (https://docs.datacentral.org.au/galah/dr3/galah-dr3-spectra/). A spectrum of
# signal to noise 100 with 1,000 counts comes out with errors of 0.01 counts, as one of 100,000. The
# normalised spectrum, HDU 4, comes without errors. Files of release 4 are refused.
# Seen with specutils 2.4.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q specutils==2.4.0 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/1704180037012051.fits" <<'PYTHON'
import sys

import numpy as np
from astropy.io import fits
from specutils import SpectrumList

axis = {"CRVAL1": 4713.0, "CDELT1": 0.046, "CRPIX1": 1, "CUNIT1": "Angstrom"}
hdus = [fits.PrimaryHDU(np.full(10, 1000.0))]
for name, value in (
    ("input_sigma", 0.01),
    ("no_sky", 1200.0),
    ("no_sky_sigma", 0.01),
    ("normalised", 0.9),
):
    hdus.append(fits.ImageHDU(np.full(10, value), name=name))
for hdu in hdus:
    hdu.header.update(axis)
hdus[0].header["ORIGIN"] = "GALAH"
fits.HDUList(hdus).writeto(sys.argv[1])

spectra = {s.meta["purpose"]: s for s in SpectrumList.read(sys.argv[1], format="GALAH")}
reduced, normalised = spectra["reduced"], spectra["normalised"]
error = reduced.uncertainty.quantity[0]
print(f"flux {reduced.flux[0]:.0f}, error {error}: should be 10 ct")
print(f"normalised flux {normalised.flux[0]}, error {normalised.uncertainty}: 0.009")
assert np.isclose(error.value, 0.01), "changed: errors are absolute"
assert normalised.uncertainty is None, "changed: the normalised flux has errors"
PYTHON
