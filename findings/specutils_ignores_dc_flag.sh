#!/usr/bin/env bash
# specutils does not look at DC-FLAG, by which IRAF says that an axis is the logarithm of the
# wavelength (DC-FLAG = 1). `Spectrum.read` of such a spectrum succeeds, and gives wavelengths of 3.58
# Angstrom where they are 10**3.58 = 3802 Angstrom.
# Seen with specutils 2.4.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q specutils==2.4.0 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - "$folder/star.fits" <<'PYTHON'
import sys

import numpy as np
from astropy.io import fits
from specutils import Spectrum

hdu = fits.PrimaryHDU(np.ones(10))
hdu.header.update(
    {
        "CRVAL1": 3.58,
        "CDELT1": 1e-4,
        "CRPIX1": 1,
        "CTYPE1": "LINEAR",
        "CUNIT1": "Angstrom",
        "BUNIT": "Jy",
        "DC-FLAG": 1,
        "WAT0_001": "system=linear",
        "WAT1_001": "wtype=linear label=Wavelength units=angstroms",
    }
)
hdu.writeto(sys.argv[1])
axis = Spectrum.read(sys.argv[1]).spectral_axis
print(f"DC-FLAG = 1: wavelengths from {axis[0]}, should be {10**3.58:.1f} Angstrom")
assert np.isclose(axis[0].value, 3.58), "changed: DC-FLAG is read"
PYTHON
