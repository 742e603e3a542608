#!/usr/bin/env bash
# pythonradex reports a converged solution in which CO 1-0 is a maser of optical depth -14.5, where
# the equations have one without any inverted line. Below tau = -1 it uses the escape probability
# of |tau|: a strong maser is damped like an opaque line, and does not empty its upper level. The
# start from LTE ends there; from populations of 20 to 300 K it converges on the one without.
# With beta = (1 - exp(-tau)) / tau, which this geometry is documented to have, the maser's own
# rates do not balance, and the other's do. It warns of the negative optical depth, but not that the
# other lines are wrong too: T_ex of CO 2-1 is 187 K and not 212 K.
# Seen with pythonradex 2.0.2 (CO file of spectralradex 1.1.5): optical depths of -14.54 and 3.62.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q pythonradex==2.0.2 numpy==2.4.6 scipy==1.17.1 numba==0.68.1
"$folder/venv/bin/python" -m pip install -q --no-deps --target "$folder/data" spectralradex==1.1.5
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
from pythonradex import helpers, radiative_transfer


def solve(start=None):
    source = radiative_transfer.Source(
        datafilepath="data/spectralradex/radex/data/co.dat",
        geometry="LVG sphere",
        line_profile_type="rectangular",
        width_v=1000,
    )
    source.update_parameters(
        N=5.4077e22,
        Tkin=469.767,
        collider_densities={"ortho-H2": 473.677e6},
        ext_background=lambda nu: helpers.B_nu(nu=nu, T=2.73),
        T_dust=0,
        tau_dust=0,
    )
    if start is not None:
        populations = source.emitting_molecule.Boltzmann_level_population(T=start)
        source.get_initial_level_pop = lambda: populations
    source.solve_radiative_transfer()
    return source


def imbalance(source):
    """Net rate into each level over the rate out of it, with beta of the formula: the largest
    of the ten lowest levels."""
    source.geometry.beta = lambda tau: -np.expm1(-tau) / tau
    rates = source.rate_equations.GammaR(source.level_pop) + source.rate_equations.GammaC
    net = rates @ source.level_pop
    return np.max(np.abs(net / (np.diag(rates) * source.level_pop))[:10])


with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    maser = solve()
print("warnings:", [str(w.message) for w in caught])
tau = maser.tau_nu0_individual_transitions
print("from LTE: tau", tau[:3].round(2), "T_ex", maser.Tex[:3].round(1))
assert -15 < tau[0] < -14, "changed: no maser"
off = imbalance(maser)
print("   imbalance of its rates: %.1e" % off)
assert off > 0.05
for start in (20, 50, 100, 200, 300):
    other = solve(start)
    depth = other.tau_nu0_individual_transitions
    off = imbalance(other)
    print("from", start, "K: tau", depth[:3].round(2), "T_ex", other.Tex[:3].round(1))
    print("   imbalance of its rates: %.1e" % off)
    assert abs(depth[0] - 3.62) < 0.01 and other.Tex.min() > 0
    assert off < 1e-3
assert other.Tex[1] - maser.Tex[1] > 20
PYTHON
