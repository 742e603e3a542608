"""Collision partners: whose densities are parameters, and whose rates they drive."""

from typing import NamedTuple

import numpy as np

from ..utils.suggestions import closest

#: Collision partners and the parameters that their densities are.
DENSITY_NAMES = {
    "H2": "density",
    "o-H2": "density_ortho_H2",
    "p-H2": "density_para_H2",
    "H": "density_H",
    "He": "density_He",
    "H+": "density_H+",
    "e": "density_e",
}
#: What partners are called in words: in small letters, without blanks and dashes.
_WORDS = {
    "e": "e- electron electrons",
    "H": "hi atomichydrogen hydrogenatom hydrogenatoms",
    "H2": "molecularhydrogen hydrogen",
    "He": "helium",
    "H+": "hii p p+ proton protons",
    "o-H2": "oh2 orthoh2 ortho",
    "p-H2": "ph2 parah2 para",
}
#: Partners that an electron fraction counts.
HYDROGEN = ("H2", "o-H2", "p-H2", "H")
FRACTION, RATIO = "electron_fraction", "ortho_para_ratio"


def thermal_ratio(temperature):
    """Return the thermal ortho-to-para ratio of H2, at most 3, as RADEX has it."""
    return np.minimum(3.0, 9.0 * np.exp(-170.6 / temperature))


class Partners(NamedTuple):
    """The collision partners of a model; made by :func:`check_partners`."""

    #: in the order of the parameters
    names: tuple
    #: "density" or "fraction"
    electrons: str
    #: "thermal", "free" or a number
    ortho_para_ratio: object

    @property
    def parameters(self):
        """Parameters of the partners and their units, in order."""
        fraction = self.electrons == "fraction"
        names = {
            DENSITY_NAMES[name]: "cm-3"
            for name in self.names
            if not (fraction and name == "e")
        }
        if fraction:
            names[FRACTION] = ""
        if self.ortho_para_ratio == "free":
            names[RATIO] = ""
        return names

    def densities(self, gas):
        """Return the density of each partner [cm^-3].

        Parameters
        ----------
        gas : dict of str to ndarray
            Values by the names of ``parameters``, and others.

        Returns
        -------
        densities : dict of str to ndarray
        """
        densities = {
            name: gas[DENSITY_NAMES[name]]
            for name in self.names
            if DENSITY_NAMES[name] in gas
        }
        if self.electrons == "fraction":
            hydrogen = sum(v for name, v in densities.items() if name in HYDROGEN)
            densities["e"] = gas[FRACTION] * hydrogen
        return densities

    def ratio(self, gas):
        """Return the ortho-to-para ratio of each model."""
        if self.ortho_para_ratio == "thermal":
            return thermal_ratio(gas["temperature"])
        if self.ortho_para_ratio == "free":
            return gas[RATIO]
        return np.full_like(gas["temperature"], self.ortho_para_ratio)


def check_partners(partners, electrons="density", ortho_para_ratio="thermal"):
    """Return the partners of a model, if they can be had together.

    Parameters
    ----------
    partners : sequence of str
        Collision partners, keys of ``DENSITY_NAMES``.
    electrons : {"density", "fraction"}, default="density"
        What says how many electrons there are.
    ortho_para_ratio : {"thermal", "free"} or float, default="thermal"
        Of molecular hydrogen that is one partner.

    Returns
    -------
    partners : Partners

    Raises
    ------
    ValueError
        If a partner is unknown, or settings contradict each other.
    """
    if isinstance(partners, str):
        raise TypeError(
            "`partners` must be a sequence of collision partners, such as"
            f' ("H2", "e"), got {partners!r}.'
        )
    names = tuple(partners)
    if not names:
        raise ValueError(
            "`partners` is empty; name at least one collision partner of"
            f" {list(DENSITY_NAMES)}."
        )
    for name in names:
        if name not in DENSITY_NAMES:
            raise ValueError(
                f"`partners` has {name!r}; known collision partners are"
                f" {list(DENSITY_NAMES)}." + _meant(str(name))
            )
        if names.count(name) > 1:
            raise ValueError(f"`partners` names {name!r} more than once: {names}.")
    apart = [name for name in names if name in ("o-H2", "p-H2")]
    if "H2" in names and apart:
        raise ValueError(
            f"`partners` has H2 and {' and '.join(apart)} too, which would count"
            ' molecular hydrogen twice; give either "H2", with an ortho_para_ratio, or'
            ' "o-H2" and "p-H2" apart.'
        )
    if electrons == "fraction":
        if "e" not in names:
            raise ValueError(
                f'`electrons` is "fraction", but `partners` has no electrons: {names};'
                ' add "e".'
            )
        if not any(name in HYDROGEN for name in names):
            raise ValueError(
                '`electrons` is "fraction", of the density of H2 and H, but `partners`'
                f" has neither: {names}; add one, or give the electrons' density."
            )
    if ortho_para_ratio != "thermal":
        if "H2" not in names:
            raise ValueError(
                f"`ortho_para_ratio` is {ortho_para_ratio!r}, but `partners` has no H2"
                f" to be split: {names}; leave it thermal."
            )
        if ortho_para_ratio != "free":
            ortho_para_ratio = float(ortho_para_ratio)
    return Partners(names, electrons, ortho_para_ratio)


def _meant(name):
    """Return a sentence with the partner that a word may mean."""
    word = name.casefold().replace(" ", "").replace("_", "")
    for partner, words in _WORDS.items():
        if word in words.split() or word.replace("-", "") in words.split():
            return f" Did you mean {partner!r}?"
    return closest(name, DENSITY_NAMES)


class Collider(NamedTuple):
    """A table of collision rates, and the gas that it is for."""

    #: the Collisions
    table: object
    #: partner of the model whose density counts
    partner: str
    #: "all" of it, or its "ortho" or "para" part
    part: str

    def amount(self, densities, ratio):
        """Return the density of this gas [cm^-3]."""
        density = densities[self.partner]
        if self.part == "para":
            return density * (1.0 / (1.0 + ratio))
        if self.part == "ortho":
            return density * (ratio / (1.0 + ratio))
        return density

    @property
    def range(self):
        """Lowest and highest temperature of the rates [K]."""
        return float(self.table.temperatures[0]), float(self.table.temperatures[-1])


def _tables(by_name, partner):
    """Return the tables of a file that stand for a partner, each with its part."""
    if partner == "H2":
        if "p-H2" in by_name and "o-H2" in by_name:
            return [(by_name["p-H2"], "para"), (by_name["o-H2"], "ortho")]
        wanted = ("H2", "p-H2", "o-H2")
    elif partner in ("o-H2", "p-H2"):
        wanted = (partner, "H2")
    else:
        wanted = (partner,)
    return [(by_name[name], "all") for name in wanted if name in by_name][:1]


def colliders(molecule, species, partners, missing_rates="raise"):
    """Find the collision rates of a species.

    Parameters
    ----------
    molecule : Molecule
        Where they are.
    species : str
        Its name in messages.
    partners : Partners
        The partners of the model.
    missing_rates : {"raise", "ignore"} or mapping, default="raise"
        Whether partners without rates are an error; a mapping has, for each species,
        those that are not.

    Returns
    -------
    colliders : tuple of Collider
        Where a file has ortho- and para-H2, both stand for H2, in their ratio; where
        it has H2 only, that stands for either.

    Raises
    ------
    ValueError
        If rates are missing, or none is left.
    """
    by_name = {table.partner: table for table in molecule.collisions}
    ignored = partners.names if missing_rates == "ignore" else ()
    if isinstance(missing_rates, dict):
        ignored = missing_rates.get(species, ())
    found = []
    for partner in partners.names:
        tables = _tables(by_name, partner)
        found += [Collider(table, partner, part) for table, part in tables]
        if not tables and partner not in ignored:
            raise ValueError(
                f"{species} has no collision rates with {partner}; its file has them"
                f" with {sorted(by_name)}. Leave {partner} out of `partners`, give"
                " another file through `molecules`, or let it not count:"
                f" missing_rates={{{species!r}: [{partner!r}]}}."
            )
    if not found:
        raise ValueError(
            f"{species} has collision rates with {sorted(by_name)}, and with none of"
            f" `partners`, {list(partners.names)}; add one that it has."
        )
    return tuple(found)


def check_missing_rates(missing_rates, species, partners):
    """Check that exceptions name species and partners of the model.

    Parameters
    ----------
    missing_rates : {"raise", "ignore"} or mapping
        As for :func:`colliders`.
    species : sequence of str
        Species of the model.
    partners : Partners
        Its partners.

    Raises
    ------
    ValueError
        If a name is none of the model's.
    TypeError
        If partners are not a sequence.
    """
    if not isinstance(missing_rates, dict):
        return
    for name, ignored in missing_rates.items():
        if name not in species:
            raise ValueError(
                f"`missing_rates` names {name!r}; this model has the species"
                f" {list(species)}." + closest(str(name), list(species))
            )
        if isinstance(ignored, str):
            raise TypeError(
                "`missing_rates` must map a species to a sequence of partners, such as"
                f" {{{name!r}: [{ignored!r}]}}, got {ignored!r}."
            )
        for partner in ignored:
            if partner not in partners.names:
                raise ValueError(
                    f"`missing_rates` lets {partner!r} not count for {name}, but"
                    f" `partners` are {list(partners.names)}."
                )
