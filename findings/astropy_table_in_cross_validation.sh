#!/usr/bin/env bash
# An astropy Table cannot be split by scikit-learn's cross-validation: a Table has an attribute
# `iloc` (of its indices), by which scikit-learn takes it for a pandas frame, and then asks for
# `take`, which it has not got. `len(table)` rows and numeric columns do not help, and the
# message names neither cross-validation nor the mend, which is `table.to_pandas()`.
# Seen with scikit-learn 1.9.1 and astropy 8.0.2: AttributeError: 'Table' object has no attribute 'take'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q scikit-learn==1.9.1 astropy==8.0.2 pandas==3.1.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from astropy.table import Table
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

rng = np.random.default_rng(0)
table = Table({"teff": rng.normal(size=30), "logg": rng.normal(size=30)})
y = np.asarray(table["teff"]) + 2 * np.asarray(table["logg"])
assert hasattr(table, "iloc") and not hasattr(table, "take")
try:
    cross_val_score(LinearRegression(), table, y, cv=3)
except AttributeError as error:
    print("AttributeError:", error)
    assert str(error) == "'Table' object has no attribute 'take'", error
else:
    raise SystemExit("changed: a Table can be split now")
scores = cross_val_score(LinearRegression(), table.to_pandas(), y, cv=3)
assert np.allclose(scores, 1), scores
print("as a pandas frame:", scores)
PYTHON
