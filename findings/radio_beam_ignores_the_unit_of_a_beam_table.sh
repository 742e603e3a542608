#!/usr/bin/env bash
# `Beam.from_fits_bintable` of radio_beam does not look at the units of a table of beams: it takes
# BMAJ and BMIN as arcseconds (or as its argument `unit`), also where TUNIT says "deg".
# `Beams.from_fits_bintable` reads TUNIT, so the same table gives two sizes, 3600 times apart.
# Seen with radio_beam 0.3.10: 0.001 deg is 0.001 arcsec as a Beam and 3.6 arcsec as Beams.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q radio_beam==0.3.10 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import astropy.units as u
import numpy as np
from astropy.io import fits
from radio_beam import Beam, Beams

for unit, size in (("arcsec", 3.6), ("deg", 0.001)):
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("BMAJ", "D", unit=unit, array=[size, size]),
            fits.Column("BMIN", "D", unit=unit, array=[size / 2, size / 2]),
            fits.Column("BPA", "D", unit="deg", array=[10.0, 10.0]),
        ],
        name="BEAMS",
    )
    one = Beam.from_fits_bintable(table).major.to(u.arcsec)
    many = Beams.from_fits_bintable(table).major[0].to(u.arcsec)
    print(f"BMAJ = {size} {unit}: as a Beam {one:.4g}, as Beams {many:.4g}")
    assert np.isclose(many.value, 3.6)
    assert np.isclose(one.value, size), "changed: the unit is read"
PYTHON
