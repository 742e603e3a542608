"""Molecule files in the format of LAMDA: the reader, and checked downloads."""

import re
from pathlib import Path

import numpy as np

from ..utils.warn import warn
from ._constants import SPEED_OF_LIGHT, WAVENUMBER_TO_KELVIN
from ._lamda_text import (
    PARTNERS,
    DataLines,
    hyperfine_numbers,
    is_web_page,
    named_colliders,
    read_text,
    tidy_label,
    to_float,
    without_comment,
)
from ._molecule import Collisions, Molecule

#: Frequency of a wavenumber of 1 cm^-1 [GHz].
_WAVENUMBER_TO_GHZ = SPEED_OF_LIGHT / 1e9
#: EMAA has rates of comets under codes of LAMDA: the partner meant, and what a text
#: that means LAMDA's would have.
_OTHER_CODES = {
    2: ("H2O", r"H2(?![A-Za-z\d])"),
    3: ("H2O", r"H2(?![A-Za-z\d])"),
    5: ("CO", r"(?<![A-Za-z\d])H(?![A-Za-z\d+])"),
}
#: Energies and frequencies may differ by so much: relative, and by rounding [GHz].
_SAME_FREQUENCY = (1e-3, 0.15)


def _level(line):
    number, energy, weight, *label = line.split(maxsplit=3)
    return int(number), to_float(energy), to_float(weight), (label or [number])[0]


def _transition(line):
    _, upper, lower, *numbers = without_comment(line).replace(",", " ").split()
    values = [to_float(number) for number in numbers[:3]]
    return int(upper), int(lower), values[0], values[1:]


def _levels(lines, remarks):
    """Read the levels: energies, weights, labels, and how many numbers are of F."""
    n_levels = lines.count("the number of energy levels", least=1)
    start = lines.start
    rows, at = lines.table(
        n_levels,
        "an energy level (number, energy, statistical weight, quantum numbers)",
        _level,
    )
    for i, (number, energy, weight, _) in enumerate(rows):
        if number != i + 1:
            raise lines.error(
                at[i],
                f"the level has the number {number}, but is the {i + 1}th of"
                f" {n_levels}; levels must be numbered from 1, in order",
            )
        if not (np.isfinite(energy) and np.isfinite(weight) and weight > 0):
            raise lines.error(
                at[i],
                f"level {number} has the energy {energy:g} cm^-1 and the statistical"
                f" weight {weight:g}; both must be finite, and the weight positive",
            )
    _, energies, weights, labels = zip(*rows, strict=True)
    n_hyperfine = hyperfine_numbers(" ".join(lines.lines[start : at[0] - 1]))
    _mind_weights(labels, weights, n_hyperfine, at, remarks)
    return np.array(energies), np.array(weights), labels, n_hyperfine


def _mind_weights(labels, weights, n_hyperfine, at, remarks):
    """Remark weights that are not 2 F + 1, up to a factor that others share."""
    if not n_hyperfine:
        return
    try:
        ends = [tidy_label(label).rpartition("_")[2].rstrip("+-") for label in labels]
        expected = np.array([2 * to_float(end) + 1 for end in ends])
    except ValueError:
        return
    factor = float(np.median(np.array(weights) / expected))
    for i, weight in enumerate(weights):
        right = factor * expected[i]
        if abs(weight - right) > 0.01 * right:
            remarks.append(
                f"line {at[i]}: level {i + 1}, {tidy_label(labels[i])}, has the"
                f" statistical weight {weight:g}, where F asks for {right:g}"
            )


def _check_pairs(lines, what, pairs, at, n_levels):
    """Refuse levels that are not there, and transitions between a level and itself.

    Returns
    -------
    upper, lower : ndarray
        Level indices, from 0.
    """
    seen = {}
    for line, (upper, lower) in zip(at, pairs, strict=True):
        if not (1 <= upper <= n_levels and 1 <= lower <= n_levels):
            raise lines.error(
                line,
                f"{what} leads from level {upper} to level {lower}, but the file has"
                f" the levels 1 to {n_levels}",
            )
        if upper == lower:
            raise lines.error(line, f"{what} leads from level {upper} to itself")
        first = seen.setdefault((upper, lower), line)
        if first != line:
            raise lines.error(
                line,
                f"{what} from level {upper} to level {lower} is in line {first}"
                " already; keep one of them",
            )
    indices = np.array(pairs, dtype=int).reshape(-1, 2) - 1
    return indices[:, 0], indices[:, 1]


def _radiative(lines, energies, remarks):
    """Read the radiative transitions: levels, Einstein coefficients, frequencies."""
    n_lines = lines.count("the number of radiative transitions")
    rows, at = lines.table(
        n_lines,
        "a radiative transition (number, upper and lower level, Einstein A)",
        _transition,
    )
    pairs = [row[:2] for row in rows]
    upper, lower = _check_pairs(
        lines, "the radiative transition", pairs, at, len(energies)
    )
    einstein_a = np.array([row[2] for row in rows], dtype=float)
    of_energies = (energies[upper] - energies[lower]) * _WAVENUMBER_TO_GHZ
    frequencies = of_energies.copy()
    for i, line in enumerate(at):
        if not of_energies[i] > 0:
            raise lines.error(
                line,
                f"the upper level {upper[i] + 1} lies at {energies[upper[i]]:g} cm^-1,"
                f" not above the lower level {lower[i] + 1} at"
                f" {energies[lower[i]]:g} cm^-1; mend the levels or exchange the two",
            )
        if not (np.isfinite(einstein_a[i]) and einstein_a[i] >= 0):
            raise lines.error(
                line,
                f"the Einstein coefficient is {einstein_a[i]:g} s^-1; it must be finite"
                " and not negative",
            )
        given = rows[i][3]
        kelvin = energies[upper[i]] * WAVENUMBER_TO_KELVIN
        if len(given) == 1 and (
            abs(given[0] - kelvin) < 0.01 * kelvin
            and abs(given[0] - of_energies[i]) > 0.01 * of_energies[i]
        ):
            given = []  # the energy of the upper level, without a frequency before it
        if not given:
            continue
        frequencies[i] = given[0]
        if not (np.isfinite(given[0]) and given[0] > 0):
            raise lines.error(
                line, f"the frequency is {given[0]:g} GHz; it must be positive"
            )
        relative, rounding = _SAME_FREQUENCY
        difference = abs(given[0] - of_energies[i])
        if difference > max(rounding, relative * given[0]):
            remarks.append(
                f"line {line}: the frequency is {given[0]:.9g} GHz, but the energies"
                f" of levels {upper[i] + 1} and {lower[i] + 1} are"
                f" {of_energies[i]:.6g} GHz apart"
            )
    return upper, lower, einstein_a, frequencies


def _partner(lines, species):
    """Read the code and reference of a collision partner."""
    reference = lines.value("a collision partner")
    match = re.match(r"\s*(\d+)(?!\d)", reference)
    if match is None or int(match.group(1)) not in PARTNERS:
        lines.fail(
            "a collision partner's code, one of "
            + ", ".join(f"{code} ({name})" for code, name in PARTNERS.items())
        )
    code, text = int(match.group(1)), reference[match.end() :].strip(" \t'\"")
    partner, named = PARTNERS[code], named_colliders(text, species)
    unknown, known = _OTHER_CODES.get(code, ("", ""))
    if unknown in named and not re.search(known, text):
        raise lines.error(
            lines.position,
            f"the collision partner's code {code} is {partner}, but its text {text!r}"
            f" says {unknown}, which has no code in LAMDA (EMAA's files for comets use"
            f" it so); give rates with one of {list(PARTNERS.values())}",
        )
    others = named & {"p-H2", "o-H2", "e"} - {partner}
    if others and partner not in named and partner != "H2":
        warn(
            f"{lines.path}, line {lines.position}: the collision partner's code {code}"
            f" is {partner}, but its text {text!r} says {' and '.join(sorted(others))}."
            " The code is followed, as RADEX does; if the text is right, mend the"
            " number in the file.",
        )
    return partner, text


def _drop_reversed(pairs, at, energies, partner, remarks):
    """Return which rows to keep: of two in opposite directions that down in energy."""
    keep = np.ones(len(pairs), dtype=bool)
    position = {pair: i for i, pair in enumerate(pairs)}
    for (upper, lower), i in position.items():
        other = position.get((lower, upper))
        if other is None or not (keep[i] and keep[other]):
            continue
        gap = energies[upper - 1] - energies[lower - 1]
        drop = i if gap < 0 or (gap == 0 and i > other) else other
        keep[drop] = False
        up, low = pairs[drop]
        remarks.append(
            f"line {at[drop]}: the rate of {partner} from level {up} to level {low} is"
            " left out, for the file has the opposite one, from which it follows"
        )
    return keep


def _collisions(lines, species, energies, remarks):
    """Read the rates with one collision partner; also return the partner's line."""
    partner, reference = _partner(lines, species)
    start = lines.position
    n_rows = lines.count("the number of collisional transitions")
    n_temperatures = lines.count("the number of collision temperatures", least=1)
    _, temperatures = lines.value(
        f"{n_temperatures} collision temperatures",
        lambda line: lines.numbers(line, n_temperatures),
    )
    at_temperatures = lines.start
    temperatures = np.array(temperatures)
    bad = ~(np.isfinite(temperatures) & (temperatures > 0))
    if bad.any() or len(np.unique(temperatures)) < n_temperatures:
        raise lines.error(
            at_temperatures,
            "collision temperatures must be positive and different, got"
            f" {temperatures.tolist()}",
        )

    def rate_row(line):
        (_, upper, lower), rates = lines.numbers(line, n_temperatures, n_before=3)
        return int(upper), int(lower), rates

    rows, at = lines.table(
        n_rows,
        f"collision rates (number, upper and lower level, {n_temperatures} rates)",
        rate_row,
    )
    pairs = [row[:2] for row in rows]
    _check_pairs(lines, f"the collision rate with {partner}", pairs, at, len(energies))
    rates = np.array([row[2] for row in rows]).reshape(n_rows, n_temperatures)
    wrong = ~(np.isfinite(rates) & (rates >= 0))
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise lines.error(
            at[row],
            f"the rate at {temperatures[column]:g} K is {rates[row, column]:g}"
            " cm^3 s^-1; it must be finite and not negative",
        )
    keep = _drop_reversed(pairs, at, energies, partner, remarks)
    indices = np.array(pairs, dtype=int).reshape(-1, 2)[keep] - 1
    order = np.argsort(temperatures)
    table = Collisions(
        partner=partner,
        temperatures=temperatures[order],
        upper=indices[:, 0],
        lower=indices[:, 1],
        rates=rates[keep].T[order],
        reference=reference,
    )
    upwards = int((energies[table.upper] < energies[table.lower]).sum())
    if upwards:
        remarks.append(
            f"line {start}: {upwards} rates of {partner} lead to a level of higher"
            " energy, for the levels are not in the order of energy"
        )
    return table, start


def read_lamda(path, name=None):
    """Read a molecule file in LAMDA format.

    Parameters
    ----------
    path : path-like
        The file, for instance from the Leiden Atomic and Molecular Database.
    name : str, default=None
        Species name, the prefix of the line names. By default the first word of the
        file's own molecule line.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not in LAMDA format, or makes no sense: levels that are not
        there, upper levels below lower ones, negative rates, a transition or a partner
        twice. The message names the line.

    Warns
    -----
    UserWarning
        If the text of a collision partner contradicts its code, such as
        ``2 ortho-H2``; the message names the line.

    Notes
    -----
    Files are read as people write them. Blank lines and lines that begin with ``!`` or
    ``#`` may stand anywhere, a header may lack its mark, and what follows a mark in a
    line is a comment. Numbers may have Fortran's exponents (``1.0D-10``), commas
    between them, and may go on in the next line. Without a column of frequencies they
    follow from the energies. Temperatures may be in any order. Levels need not be in
    the order of energy, though the format asks for it: radiative transitions must lead
    down in energy, collision rates may be listed from either level, and of two in
    opposite directions the one down in energy is kept. What was left out, and
    frequencies that disagree with the energies, are in :attr:`Molecule.remarks`.

    The code of a collision partner is followed and not the text after it, as in
    RADEX. ``1`` with a text about p-H2 or He is usual, and means that these rates
    stand for all of the hydrogen.

    References
    ----------
    Schöier, van der Tak, van Dishoeck & Black (2005), A&A 432, 369.

    Examples
    --------
    >>> from importlib.resources import files
    >>> from skastro.molecular import read_lamda
    >>> read_lamda(files("skastro.molecular") / "data" / "co.dat").line_names[2]
    'CO(3-2)'
    """
    path = Path(str(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"`path`: {path} {'is a folder' if path.is_dir() else 'does not exist'}."
        )
    text = read_text(path)
    if is_web_page(text):
        raise ValueError(
            f"{path} is a web page (HTML) and no molecule file in LAMDA format: save"
            " the file that the page links to, not the page."
        )
    lines = DataLines(path, text)
    own_name, *description = lines.name().split(maxsplit=1)
    weight = lines.value(
        "the molecular weight",
        lambda line: to_float(without_comment(line).split()[0]),
    )
    if not (np.isfinite(weight) and weight > 0):
        raise lines.error(
            lines.position, f"the molecular weight is {weight:g} u; it must be positive"
        )
    remarks = []
    energies, weights, labels, n_hyperfine = _levels(lines, remarks)
    upper, lower, einstein_a, frequencies = _radiative(lines, energies, remarks)
    tables, partner_lines = [], {}
    for _ in range(lines.count("the number of collision partners")):
        table, line = _collisions(lines, own_name, energies, remarks)
        if table.partner in partner_lines:
            raise lines.error(
                line,
                f"the collision partner {table.partner} is in line"
                f" {partner_lines[table.partner]} already; give each its own code, of"
                f" {PARTNERS}",
            )
        partner_lines[table.partner] = line
        tables.append(table)
    notes = lines.notes()
    # "C  (neutral atom)" says nothing of a source
    references = [text for text in description if not re.match(r"\(.*\)\s*$", text)]
    references += [f"{table.partner}: {table.reference}" for table in tables]
    references += [notes] * bool(notes)
    return Molecule(
        name=own_name if name is None else name,
        weight=weight,
        energies=energies,
        statistical_weights=weights,
        quantum_numbers=tuple(tidy_label(label) for label in labels),
        upper=upper,
        lower=lower,
        einstein_a=einstein_a,
        frequencies=frequencies,
        collisions=tuple(tables),
        references=tuple(
            " ".join(re.sub(r"\s*!", ",", text).split()) for text in references
        ),
        remarks=tuple(remarks),
        file_labels=labels,
        n_hyperfine=n_hyperfine,
    )


def fetch_lamda(url, known_hash, *, name=None, path=None):
    """Download a molecule file in LAMDA format, check it and keep it.

    Parameters
    ----------
    url : str
        Address of the file.
    known_hash : str
        Its checksum, such as ``"sha256:..."``: collision rates are revised without
        a new file name, and a result should say which it used.
    name : str, default=None
        Species name; see :func:`read_lamda`.
    path : path-like, default=None
        Folder of the cache; by default pooch's cache folder for ``skastro``.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    ValueError
        If the checksum differs, or the file is not in LAMDA format.
    """
    import pooch

    file = pooch.retrieve(
        url, known_hash=known_hash, path=path or pooch.os_cache("skastro")
    )
    return read_lamda(file, name=name)
