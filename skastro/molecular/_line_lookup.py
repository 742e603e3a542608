"""The one reader of names of lines: what they mean, or why they mean nothing."""

import re

from ..utils.suggestions import closest
from ._blends import lines_that_go_on, sum_of, summands
from ._known_molecules import as_molecules
from ._line import lines_of
from ._line_names import names_of, splits_of, transitions_named
from ._shipped import alike_species, plain, species_named, unknown_species

#: Lines within this fraction of their frequency may be meant as one, by a sum.
_OBSERVED_AS_ONE = 0.01


def lines_named(name, known):
    """Return what a name means: any line of it, and its species.

    Parameters
    ----------
    name : str
        As people write it.
    known : mapping
        From `as_molecules`.

    Returns
    -------
    lines : list of Line or Blend
        Empty if no line is called so, several if the name is ambiguous.
    species : str or None
        None if it is not known, or may be one of two.
    written : str
        The species as it is written.

    Raises
    ------
    ValueError
        If it is a sum of lines that is none, such as one of two species.
    """
    parts = summands(str(name))
    if len(parts) == 1:
        return _one_named(name, known)
    found = [_one_named(part, known) for part in parts]
    unclear = [one for one in found if len(one[0]) != 1]
    if unclear:
        return [], *unclear[0][1:]
    blend = sum_of([one[0][0] for one in found], name, known)
    return [blend], *found[0][1:]


def _one_named(name, known):
    """Return what the name of one line means."""
    species, bracket, transition = str(name).partition("(")
    if bracket and species in known:
        names = names_of(known[species])
        transition = bracket + transition
        index = names.exact.get(transition, names.before.get(transition))
        if index is not None:
            return [lines_of(known[species], species)[index]], species, species
    splits, written = splits_of(name, known)
    found = [line for split in splits for line in _exactly(*split, written, known)]
    if not found:
        going_on = [_going_on(*split, known) for split in splits]
        found = [line for lines, _ in going_on for line in lines]
        # one that happens to be the only one in the file is not what was said
        if len(found) == 1 and not any(sure for _, sure in going_on):
            found = []
    species = {line.species for line in found} or {split[0] for split in splits}
    return found, species.pop() if len(species) == 1 else None, written


def _exactly(species, transition, written, known):
    """Return the lines of a species that the rest of a name says in full."""
    atom = re.search(r"\]$|[A-Za-z] ?[IV]+$", written) is not None
    found = transitions_named(transition, known[species], atom=atom)
    return [lines_of(known[species], species)[i] for i in found]


def _going_on(species, transition, known):
    """Return lines of which the rest of a name says the first numbers, or F apart.

    Also return whether all but the hyperfine structure is said.
    """
    hyperfine = f"{species}-hfs"
    if hyperfine in known and re.search(r"\bF\d?\s*=", transition):
        found = _exactly(hyperfine, transition, species, known)
        if found:
            return found, True
    return lines_that_go_on(transition, known[species], species)


def line_named(name, known):
    """Return the one line that a name means.

    Parameters
    ----------
    name : str
        As people write it.
    known : mapping
        From `as_molecules`.

    Returns
    -------
    line : Line or Blend

    Raises
    ------
    ValueError
        If it means none, or may mean several; the message says which are near.
    """
    parts = summands(str(name))
    if len(parts) > 1:
        return sum_of([line_named(part, known) for part in parts], name, known)
    found, species, written = _one_named(name, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(_any_of(name, found))
    if species is None:
        meant = _lines_meant(name, written, known)
        raise ValueError(
            f"Unknown line {name!r}: {unknown_species(written, known, meant or None)}"
        )
    own = [line.name for line in lines_of(known[species], species)]
    splits = splits_of(name, known)[0]
    start = [x.name for split in splits for x in _going_on(*split, known)[0]]
    hint = f" Did you mean {start[0]!r}?" if start else closest(str(name), own)
    alone = species_named(str(name), known) == species
    if alone or not hint:
        first = ", ".join(repr(name) for name in own[:3])
        more = f" and {len(own) - 3} more" if len(own) > 3 else ""
        hint = f" {species} has {first}{more}."
    said = "is a species and no line." if alone else ""
    raise ValueError(
        f"{f'{name!r} {said}' if alone else f'Unknown line {name!r}.'}{hint}"
        f" `line_catalogue({species!r})` lists all lines of {species}, and"
        " `find_lines(frequency=...)` finds one by its frequency."
    )


def _any_of(name, found):
    """Return what to say of a name that may be that of several lines."""
    several = ", ".join(
        f"{line.name!r} ({line.frequency:.6g} GHz)" for line in found[:8]
    )
    more = f" and {len(found) - 8} more" if len(found) > 8 else ""
    message = f"The line {name!r} may be any of {len(found)}: {several}{more}; name one"
    frequencies = [line.frequency for line in found]
    if len({line.species for line in found}) > 1 or (
        max(frequencies) - min(frequencies) > _OBSERVED_AS_ONE * min(frequencies)
    ):
        return f"{message}."
    own = [line.name for line in found]
    total = "+".join(own if len(own) < 5 else [*own[:3], "..."])
    return f"{message}, or the sum of those that were observed as one, {total!r}."


def _lines_meant(name, written, known):
    """Return the names of lines that a name with an unknown species may mean."""
    text, alike = plain(name), alike_species(written, known)
    meant = []
    for species in alike:
        if not text.startswith(written):
            continue
        rest = text[len(written) :]  # hCN(4-3)
        meant += [line.name for line in _exactly(species, rest, written, known)]
    return meant[:3]


def find_among(name, own, molecules=None):
    """Return where a line stands among those of a model, however it is spelled.

    Parameters
    ----------
    name : str
        As people write it.
    own : sequence of str
        Names of the model's lines.
    molecules : mapping, default=None
        Molecules beside the shipped ones.

    Returns
    -------
    position : int or None
        None if it is not among them.
    """
    own = list(own)
    if name in own:
        return own.index(name)
    known = as_molecules(molecules)
    meant = _identity(name, known)
    if meant is None:
        return None
    return next((i for i, x in enumerate(own) if _identity(x, known) == meant), None)


def _identity(name, known):
    """Return what is the same for all names of a line, or None."""
    if not isinstance(name, str):
        return None
    try:
        found = lines_named(name, known)[0]
    except ValueError:  # a sum that is none
        return None
    return identity(found[0]) if len(found) == 1 else None


def identity(line):
    """Return what is the same for all names of a line: species and transitions."""
    return line.species, frozenset(line.indices)


def molecules_of(model):
    """Return the molecules beside the shipped ones that a model was given, or None."""
    while model is not None:
        if hasattr(model, "molecules"):
            return model.molecules
        inner = getattr(model, "radiative_transfer", None)
        model = getattr(model, "model", None) if inner is None else inner
    return None
