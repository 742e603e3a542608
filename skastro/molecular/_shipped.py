"""The molecules that are shipped with the package."""

import re
import unicodedata
from functools import cache
from importlib import resources

from ._lamda import read_lamda

#: Species name -> file, as LAMDA names it.
SHIPPED = {
    "C": "c.dat",
    "C+": "c+.dat",
    "N+": "n+.dat",
    "O": "o.dat",
    "C18O": "c18o.dat",
    "CN": "cn.dat",
    "CO": "co.dat",
    "CS": "cs@lique.dat",
    "HC3N": "hc3n.dat",
    "HCl": "hcl.dat",
    "HCN": "hcn.dat",
    "HCN-hfs": "hcn@hfs.dat",
    "HCO+": "hco+.dat",
    "HD": "hd.dat",
    "HNC": "hnc.dat",
    "O2": "o2.dat",
    "OCS": "ocs@xpol.dat",
    "OH": "oh@hfs.dat",
    "OH+": "oh+.dat",
    "SO": "so@lique.dat",
    "SO-lowT": "SO-pH2.dat",
    "SO2": "so2@lowT.dat",
    "SiO": "sio.dat",
    "o-C3H2": "o-c3h2.dat",
    "p-C3H2": "p-c3h2.dat",
    "o-CH2": "ch2_h2_ortho.dat",
    "o-H2CS": "oh2cs.dat",
    "p-H2CS": "ph2cs.dat",
    "o-H2S": "oh2s.dat",
    "p-H2S": "ph2s.dat",
    "o-H3O+": "o-h3o+.dat",
    "p-H3O+": "p-h3o+.dat",
    "o-NH3": "o-nh3.dat",
    "p-NH3": "p-nh3.dat",
}

#: Species of which only the file with hyperfine structure is shipped.
_HYPERFINE_ONLY = {"HCl-hfs": "HCl", "OH-hfs": "OH", "OH+-hfs": "OH+"}

#: The main isotopes, which a name need not say, and the rare ones, which it must.
_MAIN = r"12(?=C)|16(?=O)|14(?=N)|32(?=S)|28(?=Si)"
_RARE = [(r"13(?=C)|1[78](?=O)|15(?=N)|3[346](?=S)|29(?=Si)|30(?=Si)", ""), ("D", "H")]
_ROMAN = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4}


def plain(text):
    """Return a name in plain characters: one kind of dash, no raised figures."""
    text = unicodedata.normalize("NFKC", str(text)).strip()
    text = re.sub("[\N{HYPHEN}-\N{HORIZONTAL BAR}\N{MINUS SIGN}]", "-", text)
    return text.replace("\N{GREEK SMALL LETTER MU}", "u")


def species_named(text, known):
    """Return the known species that a name unmistakably means, or None.

    Parameters
    ----------
    text : str
        Such as ``"12CO"``, ``"para-NH3"``, ``"HCN hfs"``, ``"HCO^+"``, ``"[CII]"`` or
        ``"C II"``.
    known : container of str
        The species there are.

    Returns
    -------
    species : str or None
    """
    if text in known:
        return text
    text = re.sub(r"[\s^{}_$]+", "", plain(text))
    atom = re.fullmatch(
        r"\[([A-Z][a-z]??)([Ii]{1,3}|[Ii]?[Vv])\]|([A-Z][a-z]?)(I{1,3}|IV|V)", text
    )
    if atom:
        element, numeral = (part for part in atom.groups() if part)
        text = element + "+" * _ROMAN[numeral.upper()]
    text = re.sub("^(ortho|o)-?(?=[A-Z])", "o-", text)
    text = re.sub("^(para|p)-?(?=[A-Z])", "p-", text)
    text = re.sub("[-@(]?(hfs|HFS)[)]?$", "-hfs", text)
    text = _HYPERFINE_ONLY.get(text, text)
    for name in (text, re.sub(_MAIN, "", text)):
        if name in known:
            return name
    same = [name for name in known if name.casefold() == text]  # all in lower case
    return same[0] if len(same) == 1 else None


def plain_file(species):
    """Return a species' name without what tells its files apart, ``-hfs``."""
    return re.sub("[-@](hfs|lowT)$", "", species)


def _letters(species):
    """Return what is left of a species' name without case, charge, spin and file."""
    species = re.sub("^(o|p|ortho|para)-", "", plain_file(plain(species)))
    return re.sub("[+^-]+$", "", species).casefold()


def alike_species(text, known):
    """Return the known species that differ from a name by case, charge or spin."""
    return [name for name in known if _letters(name) == _letters(str(text))]


def unknown_species(text, known, alike=None):
    """Return what to say of a species that is not known.

    Parameters
    ----------
    text : str
        What was asked for.
    known : iterable of str
        The species there are.
    alike : list of str, default=None
        What may have been meant; by default the species that are alike.

    Returns
    -------
    message : str
        Sentences that say what may be meant, how to give the file of another species,
        and which there are.
    """
    text, known = str(text), list(known)
    message = f"no molecule {text!r} is shipped or given."
    if alike is None:
        alike = alike_species(text, known)
    if alike:
        message += f" Did you mean {', '.join(map(repr, alike))}?"
    main = plain(text)
    for pattern, replacement in _RARE:
        main = re.sub(pattern, replacement, main)
    main = species_named(main, known)
    if main and not alike:
        message += (
            f" It is an isotopologue of {main}, whose lines have other frequencies."
        )
    given = f"molecules={{{text!r}: 'path/to/file.dat'}}"
    fetched = f"molecules={{{text!r}: fetch_lamda(url, known_hash)}}"
    return (
        f"{message} {'Or give' if alike else 'Give'} its LAMDA file to a model or a"
        f" search, as {given}, or download it: {fetched}."
        f" Known are {', '.join(sorted(known))}."
    )


def load_molecule(name):
    """Load one of the molecules shipped with skastro.

    Parameters
    ----------
    name : str
        Species name, such as ``"CO"``, ``"C+"``, ``"o-NH3"`` or ``"HCN-hfs"``;
        :ref:`the user guide <molecules>` has the table of all. ``"12CO"``,
        ``"para-NH3"`` and ``"[CII]"`` will do as well.

    Returns
    -------
    molecule : Molecule

    Raises
    ------
    ValueError
        If no such molecule is shipped; the message says which are, and how to give
        another.

    Notes
    -----
    Where LAMDA has a species with and without its hyperfine structure, the plain name
    is the file without, and the other has ``-hfs``: ``"HCN"`` and ``"HCN-hfs"``. Of
    OH, OH+ and HCl only the file with hyperfine structure is shipped, under the plain
    name. ``"SO"`` has rates from 60 to 300 K, ``"SO-lowT"`` those from 5 to 50 K.
    Cite :attr:`Molecule.references`.

    References
    ----------
    Schöier, van der Tak, van Dishoeck & Black (2005), A&A 432, 369; van der Tak,
    Lique, Faure, Black & van Dishoeck (2020), Atoms 8, 15.

    Examples
    --------
    >>> from skastro.molecular import load_molecule
    >>> load_molecule("HCO+").temperature_range()
    (10.0, 400.0)
    >>> load_molecule("HNC").references
    ('H2: HNC-H2: scaled (*1.363) HNC-He rates from Dumouchel et al. (2010)',)
    """
    species = species_named(name, SHIPPED) if isinstance(name, str) else None
    if species is None:
        message = unknown_species(name, SHIPPED)
        raise ValueError(message[0].upper() + message[1:])
    return _load(species)


@cache
def _load(species):
    source = resources.files("skastro.molecular") / "data" / SHIPPED[species]
    with resources.as_file(source) as path:
        return read_lamda(path, name=species)
