#!/usr/bin/env bash
# A table of beams, as CASA appends it to an image whose beam changes from channel to channel, has
# the unit of its columns in TUNIT. radio_beam reads it two ways: Beams.from_fits_bintable takes
# the unit, and Beam.from_fits_bintable takes all for arcseconds. A table in degrees gives a beam
# 3,600 times too small, and a brightness temperature 1.3e7 times too large, without a word.
# Seen with radio_beam 0.3.10 and astropy 8.0.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q radio-beam==0.3.10 astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
from astropy import units as u
from astropy.io import fits
from radio_beam import Beam, Beams

columns = [
    fits.Column(name, "1E", unit="deg", array=[value, value])
    for name, value in (("BMAJ", 1e-3), ("BMIN", 1e-3), ("BPA", 0.0))
]
table = fits.BinTableHDU.from_columns(columns, name="BEAMS")
one = Beam.from_fits_bintable(table).major.to(u.arcsec)
many = Beams.from_fits_bintable(table)[0].major.to(u.arcsec)
print("Beam:", one, " Beams:", many, " true: 3.6 arcsec")
assert abs(many.value - 3.6) < 1e-4, "changed"
assert abs(one.value - 1e-3) < 1e-6, "changed"
PYTHON
