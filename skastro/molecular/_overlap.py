"""Lines of one species that lie on top of each other."""

from functools import lru_cache

import numpy as np

from ..utils.warn import warn
from ._constants import SPEED_OF_LIGHT
from ._profiles import equivalent_width

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


def least_distance(molecule, transitions):
    """Return the distance [km/s] of the closest components of blends.

    Parameters
    ----------
    molecule : Molecule
        The lines.
    transitions : sequence of ndarray or None
        Which of them make up each blend; None for all lines of the molecule.

    Returns
    -------
    distance : float
        Infinite if there are no two.
    """
    (first, second), distance = _close_lines(molecule)
    if transitions is not None:
        inside, _ = _of_lines_asked(transitions, first, second)
        distance = distance[inside.any(axis=0)]
    return distance.min(initial=np.inf)


def _of_lines_asked(transitions, first, second):
    """Tell pairs that are both of a line asked for, and that one of is."""
    inside, across = [], []
    for own in transitions:
        either, other = np.isin(first, own), np.isin(second, own)
        inside.append(either & other)
        across.append(either ^ other)
    return np.array(inside), np.array(across)


def mind_overlap(policy, lines, names, species, tau, line_width, excitation=True):
    """Raise or warn where thick lines are closer than the line width.

    The message of a warning says nothing of the models of a batch, so that Python
    shows it once.

    Parameters
    ----------
    policy : {"raise", "warn"}
        Which.
    lines : Species
        Lines that are asked for.
    names : sequence of str
        Their names.
    species : str
        That of the molecule in messages.
    tau : ndarray of shape (n_models, n_lines)
        Optical depths of all lines of the molecule.
    line_width : ndarray of shape (n_models,)
        Line widths [km/s].
    excitation : bool, default=True
        Whether lines excite the molecule, so that all of them matter.

    Raises
    ------
    ValueError
        The message names the closest such lines, of those asked for if there are any.
    """
    molecule = lines.molecule
    (first, second), distance = _close_lines(molecule)
    width = equivalent_width(line_width)
    inside, across = _of_lines_asked(lines.transitions, first, second)
    matters = (distance < width.max(initial=0.0)) & (excitation | across.any(axis=0))
    if not matters.any():
        return
    first, second, distance = first[matters], second[matters], distance[matters]
    inside, across = inside[:, matters], across[:, matters]
    thick = np.minimum(tau[:, first], tau[:, second]) > _THICK
    wrong = thick & (distance < width[:, None])
    models = wrong.any(axis=1)
    if not models.any():
        return
    asked = (inside | across).any(axis=0)
    pairs = np.flatnonzero(wrong.any(axis=0))
    pair = pairs[np.lexsort([distance[pairs], ~asked[pairs]])[0]]
    one, other = (
        species + molecule.line_names[i][len(molecule.name) :]
        for i in (first[pair], second[pair])
    )
    apart = f"{distance[pair]:.3g} km/s apart"
    treated = "populations are those of lines that are apart, as RADEX has them"
    if not asked[pair]:
        words = (
            f"{species} has lines that overlap where they are thick, though none that"
            f" is asked for: {one} and {other} are {apart}. Each absorbs photons of the"
            " other, which changes the excitation of those asked for, and nothing else;"
            f" {treated}."
        )
    else:
        which = int(np.argmax((inside | across)[:, pair]))
        if inside[which, pair]:
            words = (
                f"{names[which]} has components that overlap where they are thick:"
                f" {one} and {other} are {apart}. In what is seen their profiles are"
                f" added, but each absorbs photons of the other: {treated}."
            )
        else:
            if second[pair] in lines.transitions[which]:
                one, other = other, one
            part = "" if one == names[which] else f", of which {one} is a component,"
            words = (
                f"{names[which]}{part} and {other} overlap where they are thick: they"
                f" are {apart}. Each absorbs photons of the other, but {treated}, and"
                f' so are intensities, unless their sum is asked for, "{one}+{other}".'
            )
    cure = 'overlap="include" treats it; ' if excitation else ""
    if policy == "raise":
        raise ValueError(
            f"{words} So it is in {int(models.sum())} of {len(tau)} models, the first"
            f' in row {int(np.argmax(models))}. {cure}overlap="warn" takes them to be'
            " apart."
        )
    warn(f'{words} {cure}overlap="ignore" says nothing of it.', OverlapWarning)
