"""Lines of one species that lie on top of each other."""

from functools import lru_cache

import numpy as np

from ..utils.warn import warn
from ._constants import SPEED_OF_LIGHT

#: Lines thinner than this do not matter to those beside them.
_THICK = 0.1
#: Lines further apart are apart, whatever the line width [km/s].
_APART = 1000.0


class OverlapWarning(UserWarning):
    """Thick lines of a species overlap, and were treated as if they were apart."""


@lru_cache(maxsize=128)
def _close_lines(molecule):
    """Return pairs of lines and their distances [km/s]."""
    frequency = molecule.frequencies
    order = np.argsort(frequency)
    pairs, distances = [], []
    for place, i in enumerate(order):
        for j in order[place + 1 :]:
            distance = (frequency[j] / frequency[i] - 1) * SPEED_OF_LIGHT / 1e5
            if distance > _APART:
                break
            pairs.append((i, j))
            distances.append(distance)
    return np.array(pairs, dtype=int).reshape(-1, 2).T, np.array(distances)


def has_close_lines(molecule):
    """Tell whether lines of a molecule can overlap at all, however wide they are.

    Parameters
    ----------
    molecule : Molecule
        The lines.

    Returns
    -------
    close : bool
    """
    return _close_lines(molecule)[1].size > 0


def mind_overlap(policy, molecule, species, tau, line_width):
    """Raise or warn where thick lines are closer than the line width.

    Parameters
    ----------
    policy : {"raise", "warn"}
        Which.
    molecule : Molecule
        The lines.
    species : str
        Its name in messages.
    tau : ndarray of shape (n_models, n_lines)
        Optical depths.
    line_width : ndarray of shape (n_models,)
        Line widths [km/s].

    Raises
    ------
    ValueError
        The message names the closest such lines.
    """
    (first, second), distance = _close_lines(molecule)
    near = distance < line_width.max(initial=0.0)
    if not near.any():
        return
    first, second, distance = first[near], second[near], distance[near]
    thick = np.minimum(tau[:, first], tau[:, second])
    wrong = (thick > _THICK) & (distance < line_width[:, None])
    if not wrong.any():
        return
    models = wrong.any(axis=1)
    row = int(np.argmax(models))
    pair = np.flatnonzero(wrong[row])[np.argmin(distance[wrong[row]])]
    names = [
        species + molecule.line_names[i][len(molecule.name) :]
        for i in (first[pair], second[pair])
    ]
    message = (
        f"{int(models.sum())} of {len(tau)} models have thick lines of {species} that"
        f" overlap: in row {row}, {names[0]} and {names[1]} are"
        f" {distance[pair]:.3g} km/s apart, less than the line width of"
        f" {line_width[row]:.3g} km/s, and {tau[row, first[pair]]:.2g} and"
        f" {tau[row, second[pair]]:.2g} thick. Each absorbs photons of the other, which"
        " a model of lines that are apart, as RADEX is, knows nothing of. It is true"
        " for narrower lines or lower columns."
    )
    if policy == "raise":
        raise ValueError(f'{message} overlap="warn" takes them to be apart.')
    warn(
        f'{message} They are taken to be apart; overlap="ignore" says nothing of it.',
        OverlapWarning,
    )
