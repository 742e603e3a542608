"""What leaves a gas: lines above the continuum, alone or several seen as one."""

import numpy as np

from ._constants import TAU_MIN
from ._profiles import chains, equivalent_width, segments


def _mean_transmission(tau):
    """Return ``(1 - exp(-tau)) / tau``."""
    small = np.abs(tau) < 1e-8
    return np.where(small, 1.0 - tau / 2, -np.expm1(-tau) / np.where(small, 1.0, tau))


def line_photons(tau, emission, behind, dust_depth=None, dust=None):
    """Return what is seen of lines above the continuum beside them.

    Parameters
    ----------
    tau : ndarray
        Optical depths of the lines.
    emission : ndarray
        These times the photons, as occupation numbers, of their source functions.
    behind : ndarray
        Photons behind the gas.
    dust_depth, dust : ndarray, default=None
        Optical depth and photons of dust within it.

    Returns
    -------
    photons : ndarray
        As occupation numbers, negative in absorption.
    """
    if dust_depth is None:
        escape = _mean_transmission(tau)
        return emission * escape - behind * tau * escape
    # with the line, less the continuum beside it
    escape = _mean_transmission(tau + dust_depth)
    continuum = dust * dust_depth * (escape - _mean_transmission(dust_depth))
    absorbed = behind * np.exp(-dust_depth) * np.expm1(-tau)
    return emission * escape + continuum + absorbed


def blend_temperature(lines, line_width, frequency, photons, *of_lines):
    r"""Return the radiation temperature of several lines that are seen as one.

    Profiles are added, and not lines: where lines overlap they hide each other. With
    it, the intensity is :math:`1.0645\, \Delta v\, T_R`, as that of a line.

    Parameters
    ----------
    lines : ndarray of shape (n_lines,)
        Which of the transitions.
    line_width : ndarray of shape (n_models,)
        Full widths at half maximum [km/s].
    frequency : ndarray of shape (n_transitions,)
        Their frequencies, in any unit.
    photons : ndarray of shape (n_models, n_transitions)
        What is seen of each by itself, a radiation temperature [K].
    *of_lines
        Energies of the lines [K], and what :func:`line_photons` takes, each of shape
        (n_transitions,) or (n_models, n_transitions), or None.

    Returns
    -------
    temperature : ndarray of shape (n_models,)
    """
    width = equivalent_width(line_width)
    total = np.zeros(len(width))
    for chain in chains(frequency[lines], width.max(initial=0.0)):
        own = lines[chain]
        if len(own) == 1:
            total += photons[:, own[0]]
            continue
        length, present = segments(frequency[own], width)
        number = np.maximum(present.sum(axis=2), 1.0)
        temperature, tau, emission, *around = (
            None if value is None else _in_segments(value[..., own], present)
            for value in of_lines
        )
        # the frequency is one: what does not add up is that of either line
        around = [None if value is None else value / number for value in around]
        seen = line_photons(np.maximum(tau, TAU_MIN), emission, *around)
        total += (length * seen * temperature / number).sum(axis=1)
    return total


def _in_segments(value, present):
    """Return sums over the lines that are present, of shape (n_models, n_segments)."""
    return np.matmul(present, np.broadcast_to(value, present.shape[::2])[:, :, None])[
        ..., 0
    ]
