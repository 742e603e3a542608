#!/usr/bin/env bash
# pythonradex has a geometry "LVG sphere RADEX", for the escape probability that the Fortran program
# computes in place of its paper's. The program's formula is in terms of half the optical depth, and
# so are the places where it changes, 0.01 and 7; here these are compared with the whole optical
# depth. Between optical depths of 7 and 14, the form for thick lines is taken too early, and the
# escape probability differs by more than a third.
# Seen with pythonradex 2.0.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q pythonradex==2.0.2
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from pythonradex.escape_probability import LVGSphereRADEX

beta_of = LVGSphereRADEX().beta


def fortran(tau):
    """Escape probability of the expanding sphere in RADEX's escprob."""
    half = tau / 2
    if abs(half) < 0.01:
        return 1.0
    if abs(half) < 7:
        return 2 * (1 - np.exp(-2.34 * half)) / (4.68 * half)
    return 2 / (4 * half * np.sqrt(np.log(half / np.sqrt(np.pi))))


for tau in (3.0, 7.5, 10.0, 13.0, 20.0):
    print(tau, beta_of(np.array([tau]))[0], fortran(tau))
same = beta_of(np.array([3.0, 20.0])) / [fortran(3.0), fortran(20.0)]
apart = beta_of(np.array([7.5]))[0] / fortran(7.5)
assert np.allclose(same, 1, rtol=1e-6), f"changed: {same}"
assert abs(apart - 1) > 0.2, f"changed: {apart}"
PYTHON
