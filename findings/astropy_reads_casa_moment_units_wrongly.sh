#!/usr/bin/env bash
# "Jy/beam.km/s" is the BUNIT of integrated maps made with CASA and CARTA: Jy/beam times km/s, read
# from left to right. astropy puts everything behind the first solidus below it, as far as the
# next: Jy / (beam km s), though the FITS standard, which discourages several solidi, leaves them
# under the ordinary rules of precedence. With format="fits", as for the columns of a FITS table,
# it does not warn either. Conversion from km/s to m/s then goes the wrong way, a factor of a
# million off, and conversion to Jy/beam km/s fails.
# "Jy.km/s/beam", which means the same, is read as meant.
# Seen with astropy 8.0.2: 1 Jy/beam.km/s is 0.001 Jy/beam.m/s, where 1000 is meant.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q astropy==8.0.2 numpy==2.4.6
"$folder/venv/bin/python" -W error - <<'PYTHON'
import io
import warnings

import astropy.units as u
from astropy.io import fits
from astropy.table import Table

right = u.Jy / u.beam * u.km / u.s
read = u.Unit("Jy/beam.km/s", format="fits")
print("Jy/beam.km/s is read as", read)
assert read == u.Jy / (u.beam * u.km * u.s), "changed: " + str(read)
assert u.Unit("Jy.km/s/beam", format="fits") == right

column = fits.Column("moment", "E", unit="Jy/beam.km/s", array=[1.0])
file = io.BytesIO()
fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(file)
file.seek(0)
moment = Table.read(file, format="fits")["moment"].quantity
factor = moment.to_value(u.Unit("Jy/beam.m/s", format="fits"))[0]
print("1 Jy/beam.km/s from a FITS table in Jy/beam.m/s:", factor)
assert abs(factor - 1e-3) < 1e-9, "changed"
try:
    moment.to(right)
except u.UnitConversionError as error:
    print("UnitConversionError:", error)
else:
    raise SystemExit("changed: it is converted now")

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert u.Unit("Jy/beam.km/s") == read
print("without a format:", *(w.message for w in caught))
PYTHON
