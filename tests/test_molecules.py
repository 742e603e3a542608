"""Molecule files, the molecules that are shipped, and the names of their lines."""

import itertools
import pickle
import re
import textwrap
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from skastro.molecular import (
    Blend,
    Molecule,
    RadexModel,
    find_lines,
    line_catalogue,
    load_molecule,
    read_lamda,
)
from skastro.molecular._lamda_text import label_of_before
from skastro.molecular._line_names import names_of
from skastro.molecular._lines import as_molecules
from skastro.molecular._shipped import SHIPPED

DATA = files("skastro.molecular") / "data"
GUIDE = Path(__file__).parents[1] / "docs" / "guide" / "molecules.rst"
GHZ = 29.9792458  # of 1 cm^-1

SMALL = """\
!MOLECULE
XY from nowhere
!MOLECULAR WEIGHT
10.0
!NUMBER OF ENERGY LEVELS
3
!LEVEL + ENERGIES(cm^-1) + WEIGHT + J
1 0.0 1.0 0
2 4.0 3.0 1
3 12.0 5.0 2
!NUMBER OF RADIATIVE TRANSITIONS
2
!TRANS + UP + LOW + EINSTEINA(s^-1) + FREQ(GHz) + E_u(K)
1 2 1 1.0e-06 119.917 5.76
2 3 2 1.0e-05 239.834 17.27
!NUMBER OF COLL PARTNERS
1
!COLLISIONS BETWEEN
1 XY - H2 from somewhere
!NUMBER OF COLL TRANS
3
!NUMBER OF COLL TEMPS
2
!COLL TEMPS
10.0 100.0
!TRANS + UP + LOW + COLLRATES(cm^3 s^-1)
1 2 1 1.0e-11 3.0e-11
2 3 1 2.0e-11 4.0e-11
3 3 2 5.0e-11 6.0e-11
"""


def read(tmp_path, text, **keywords):
    path = tmp_path / "small.dat"
    path.write_bytes(text.encode())
    return read_lamda(path, **keywords)


def changed(*changes):
    """The small file with lines replaced: (number from 1, new text or texts)."""
    lines = SMALL.splitlines()
    for number, new in changes:
        lines[number - 1] = new
    return "\n".join(line for line in lines if line is not None) + "\n"


def assert_same_physics(first, second):
    for name in ("energies", "statistical_weights", "einstein_a", "frequencies"):
        assert_allclose(getattr(first, name), getattr(second, name), rtol=1e-12)
    assert_array_equal(first.upper, second.upper)
    assert_array_equal(first.lower, second.lower)
    assert first.weight == second.weight
    assert first.quantum_numbers == second.quantum_numbers
    for one, other in zip(first.collisions, second.collisions, strict=True):
        assert one.partner == other.partner
        assert_allclose(one.temperatures, other.temperatures, rtol=1e-12)
        assert_array_equal(one.upper, other.upper)
        assert_array_equal(one.lower, other.lower)
        assert_allclose(one.rates, other.rates, rtol=1e-12)


# -- files as people write them


@pytest.mark.parametrize(
    "text",
    [
        SMALL.replace("\n", "\r\n"),
        SMALL.replace("\n", "\r"),
        "\ufeff" + SMALL,
        "# from a colleague\n\n! last week\n" + SMALL,
        SMALL.replace("\n", "\n\n"),
        SMALL.replace("\n", "\n! so far\n#\n"),
        SMALL + "\n\n!NOTES:\n! 1 2 3\n5 XY - H, older\n",
        SMALL.replace("e-", "D-"),
        SMALL.replace("e-", "d-").replace("1.0d-11", "1.0-011"),
        SMALL.replace("\n1 2 1", "\n1, 2, 1,").replace("10.0 100.0", "10.0, 100.0"),
        SMALL.replace(" ", "\t"),
        re.sub(r"(?m)^(\d .*)$", r"  \1   ! line 7 of 9", SMALL),
        SMALL.replace("!NUMBER", "NUMBER").replace("!LEVEL", "Level"),
        SMALL.replace("!MOLECULE", "MOLECULE").replace("!COLL", "COLL"),
        SMALL.replace("10.0 100.0", "10.0\n100.0"),
        SMALL.replace("1.0e-11 3.0e-11", "1.0e-11\n   3.0e-11"),
        SMALL.replace(" 5.76", "").replace(" 17.27", ""),
        SMALL.replace(" 5.76", " 5.76 4.0 1.0"),
        SMALL.replace("1.0 0\n", '1.0 "00"\n').replace("3.0 1\n", "3.0 ' 1.0 '\n"),
    ],
)
def test_odd_but_readable_files(tmp_path, text):
    assert_same_physics(read(tmp_path, text), read(tmp_path, SMALL))


def test_temperatures_in_any_order(tmp_path):
    text = SMALL.replace("10.0 100.0", "100.0 10.0")
    table = read(tmp_path, text).collisions[0]
    assert_array_equal(table.temperatures, [10.0, 100.0])
    assert_allclose(table.rates[:, 0], [3e-11, 1e-11])


def test_one_temperature(tmp_path):
    text = changed((23, "1"), (25, "10.0"))
    molecule = read(tmp_path, text)
    assert molecule.collisions[0].rates.shape == (1, 3)
    assert molecule.temperature_range() == (10.0, 10.0)


@pytest.mark.parametrize("columns", ["", " 5.76"])
def test_frequencies_follow_from_energies(tmp_path, columns):
    """Without the column, also where the energy of the upper level is still there."""
    text = changed((14, "1 2 1 1e-6" + columns), (15, "2 3 2 1e-5 239.834 17.27"))
    assert_allclose(read(tmp_path, text).frequencies, [4.0 * GHZ, 239.834], rtol=1e-12)


def test_levels_without_labels_go_by_their_number(tmp_path):
    text = changed((8, "1 0.0 1.0"), (9, "2 4.0 3.0"), (10, "3 12.0 5.0"))
    assert read(tmp_path, text).line_names == ("XY(2-1)", "XY(3-2)")


def test_levels_need_not_be_in_the_order_of_energy(tmp_path):
    text = changed(
        (9, "2 12.0 5.0 2"),
        (10, "3 4.0 3.0 1"),
        (14, "1 3 1 1.0e-06 119.917"),
        (15, "2 2 3 1.0e-05 239.834"),
    )
    molecule = read(tmp_path, text)
    assert molecule.line_names == ("XY(1-0)", "XY(2-1)")
    assert molecule.remarks == (
        "line 19: 1 rates of H2 lead to a level of higher energy, for the levels are"
        " not in the order of energy",
    )


def test_of_two_opposite_rates_the_downward_one_is_kept(tmp_path):
    text = changed((21, "4"), (28, "2 2 3 9.0e-11 9.0e-11\n3 3 1 2.0e-11 4.0e-11"))
    molecule = read(tmp_path, text)
    pairs = zip(molecule.collisions[0].upper, molecule.collisions[0].lower, strict=True)
    assert sorted(pairs) == [(1, 0), (2, 0), (2, 1)]
    assert (
        "line 28: the rate of H2 from level 2 to level 3 is left out"
        in (molecule.remarks[0])
    )
    assert_same_physics(
        molecule, read(tmp_path, changed((28, "2 3 1 2.0e-11 4.0e-11")))
    )


def test_frequencies_that_disagree_with_the_energies_are_remarked(tmp_path):
    molecule = read(tmp_path, changed((14, "1 2 1 1.0e-06 125.0 5.76")))
    assert len(molecule.remarks) == 1
    assert (
        "line 14: the frequency is 125 GHz, but the energies of levels 2 and 1"
        in (molecule.remarks[0])
    )


def test_references_are_those_of_the_file(tmp_path):
    molecule = read(tmp_path, SMALL + "! NOTES\n!  Energies from CDMS\n")
    assert molecule.references == (
        "from nowhere",
        "H2: XY - H2 from somewhere",
        "NOTES Energies from CDMS",
    )
    path = tmp_path / "latin.dat"
    path.write_bytes(SMALL.replace("somewhere", "Schöier").encode("latin-1"))
    assert read_lamda(path).references[1] == "H2: XY - H2 from Schöier"


@pytest.mark.parametrize(
    ("partner", "code_says", "text_says"),
    [
        ("2 XY - ortho-H2", "p-H2", "o-H2"),
        ("3 XY-pH2", "o-H2", "p-H2"),
        ("5 XY - p-H2", "H", "p-H2"),
        ("2 XY with electrons", "p-H2", "e"),
        ("4 XY - o_H2", "e", "o-H2"),
    ],
)
def test_partners_whose_code_contradicts_their_text(
    tmp_path, partner, code_says, text_says
):
    message = (
        rf"small\.dat, line 19: .* is {code_says}, but its text .* says {text_says}"
    )
    with pytest.warns(UserWarning, match=message):
        molecule = read(tmp_path, changed((19, partner)))
    assert [table.partner for table in molecule.collisions] == [code_says]


@pytest.mark.parametrize(
    ("partner", "expected"),
    [
        ("1 H2 = XY-pH2 collision data", "H2"),
        ("1 XY-He rates, scaled by 1.37", "H2"),
        ("2 oH2O - pH2, assuming thermal o/p for H2", "p-H2"),
        ("3 o-H2CS - o_H2", "o-H2"),
        ("2 p-NH3 on p-H2: Danby et al 1988", "p-H2"),
        ("4 e + CN rates from Allison & Dalgarno", "e"),
        ("5 CO - H from Walker", "H"),
        ("6 He", "He"),
        (" 7 C + H+  !  Roueff", "H+"),
        ("1", "H2"),
    ],
)
def test_partners_without_contradiction(tmp_path, partner, expected):
    molecule = read(tmp_path, changed((19, partner)))
    assert [table.partner for table in molecule.collisions] == [expected]


@pytest.mark.parametrize(
    ("changes", "line", "message"),
    [
        ([(19, "8 XY - Ne")], 19, r"code, one of 1 \(H2\), 2 \(p-H2\)"),
        ([(19, "H2 from somewhere")], 19, "expected a collision partner's code"),
        ([(19, "2 XY - p-H2O, comets")], 19, "says H2O, which has no code in LAMDA"),
        ([(19, "5 XY-CO")], 19, "says CO, which has no code in LAMDA"),
        ([(4, "heavy")], 4, "expected the molecular weight, got 'heavy'"),
        ([(4, "-1")], 4, "the molecular weight is -1 u"),
        ([(6, "2")], 10, "number of radiative transitions, got '3 12.0 5.0 2'"),
        ([(6, "4")], 12, "expected an energy level"),
        ([(6, "none")], 6, "expected the number of energy levels, got 'none'"),
        ([(6, "0")], 6, "expected the number of energy levels, got '0'"),
        ([(9, "3 4.0 3.0 1")], 9, "the level has the number 3, but is the 2th of 3"),
        ([(9, "2 nan 3.0 1")], 9, "level 2 has the energy nan"),
        ([(9, "2 4.0 0.0 1")], 9, "the statistical weight 0"),
        ([(9, "2 4.0")], 9, "expected an energy level"),
        ([(9, "2 14.0 3.0 1")], 15, "upper level 3 lies at 12 cm.-1, not above the"),
        ([(12, "3")], 17, "expected a radiative transition"),
        ([(14, "1 4 1 1e-6")], 14, "leads from level 4 to level 1, .* levels 1 to 3"),
        ([(14, "1 0 1 1e-6")], 14, "leads from level 0"),
        ([(14, "1 1 1 1e-6")], 14, "leads from level 1 to itself"),
        ([(14, "1 1 2 1e-6")], 14, "upper level 1 lies at 0 cm.-1, not above"),
        ([(14, "1 2 1 -1e-6")], 14, "the Einstein coefficient is -1e-06"),
        ([(14, "1 2 1 ********")], 14, "expected a radiative transition"),
        ([(14, "1 2 1 1e-6 -1.0")], 14, "the frequency is -1 GHz"),
        ([(15, "2 2 1 1e-6")], 15, "from level 2 to level 1 is in line 14 already"),
        ([(17, "2")], 30, "a collision partner instead of the end of the file"),
        ([(21, "4")], 30, r"collision rates \(.* 2 rates\) instead of the end"),
        ([(23, "0")], 23, "expected the number of collision temperatures"),
        ([(23, "3")], 25, "expected 3 collision temperatures, got '10.0 100.0'"),
        ([(25, "10.0 10.0")], 25, "must be positive and different"),
        ([(25, "0.0 10.0")], 25, "must be positive and different"),
        ([(27, "1 2 1 1e-11")], 27, r"expected collision rates \(.*, 2 rates\)"),
        ([(27, "1 2 1 1e-11 -1e-11")], 27, "the rate at 100 K is -1e-11"),
        ([(27, "1 2 1 1e-11\n -1.0e-11")], 27, "the rate at 100 K is -1e-11"),
        ([(27, "1 2 1 nan 1e-11")], 27, "the rate at 10 K is nan"),
        ([(27, "1 2 9 1e-11 1e-11")], 27, "rate with H2 leads from level 2 to level 9"),
        ([(28, "2 2 1 1e-11 1e-11")], 28, "is in line 27 already"),
        ([(28, "2 3 3 1e-11 1e-11")], 28, "leads from level 3 to itself"),
    ],
)
def test_files_that_make_no_sense_say_where(tmp_path, changes, line, message):
    with pytest.raises(ValueError, match=rf"small\.dat, line {line}: .*{message}"):
        read(tmp_path, changed(*changes))


def test_files_that_are_none_say_so(tmp_path):
    page = "\n<!DOCTYPE html>\n<html><head><title>LAMDA</title></head></html>\n"
    with pytest.raises(
        ValueError, match=r"small.dat is a web page \(HTML\) and no mol"
    ):
        read(tmp_path, page)
    missing = tmp_path / "none.dat"
    with pytest.raises(FileNotFoundError, match=r"`path`: .*none.dat does not exist"):
        read_lamda(missing)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_lamda(tmp_path)
    for call in (
        lambda given: find_lines(["XY(1-0)"], given),
        lambda given: RadexModel(["CO(1-0)"], molecules=given).output_names,
    ):
        with pytest.raises(
            FileNotFoundError, match="`molecules` gives for 'XY' the fi"
        ):
            call({"XY": missing})


def test_a_partner_twice_is_an_error(tmp_path):
    lines = SMALL.splitlines()
    text = "\n".join(["2" if i == 16 else line for i, line in enumerate(lines)])
    text += "\n" + "\n".join(lines[17:])
    with pytest.raises(ValueError, match=r"line 31: .* H2 is in line 19 already"):
        read(tmp_path, text)


@st.composite
def molecules(draw):
    """A molecule, and a LAMDA text of it as somebody might write it."""
    number = st.floats(1e-14, 1e-9).map(lambda x: float(f"{x:.4e}"))
    n_levels = draw(st.integers(2, 5))
    energies = [
        float(f"{e:.4f}")
        for e in draw(
            st.lists(
                st.floats(0, 500), min_size=n_levels, max_size=n_levels,
                unique_by=lambda e: round(e, 2),
            )
        )
    ]  # fmt: skip
    weights = draw(st.lists(st.integers(1, 9), min_size=n_levels, max_size=n_levels))
    pairs = [
        (i, j)
        for i, j in itertools.permutations(range(n_levels), 2)
        if energies[i] > energies[j]
    ]
    lines = draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
    coefficients = [draw(number) for _ in lines]
    has_frequencies = draw(st.booleans())
    partners = draw(
        st.lists(st.sampled_from(range(1, 8)), min_size=1, max_size=3, unique=True)
    )
    tables = []
    for code in partners:
        rows = draw(st.lists(st.sampled_from(pairs), min_size=1, unique=True))
        temperatures = draw(
            st.lists(st.integers(1, 3000), min_size=1, max_size=4, unique=True)
        )
        rates = [[draw(number) for _ in temperatures] for _ in rows]
        tables.append((code, temperatures, rows, rates))

    def real(x):
        text = f"{x:.4e}"
        return draw(
            st.sampled_from([text, text.replace("e", "D"), text.replace("e", "E")])
        )

    def header(text):
        return draw(st.sampled_from(["!" + text, "! " + text, text]))

    def count(n):
        return draw(st.sampled_from([f"{n}", f"   {n}  ", f"{n} ! of them"]))

    text = [header("MOLECULE"), "XY", header("WEIGHT"), "10.5"]
    text += [header("NUMBER OF ENERGY LEVELS"), count(n_levels), "!LEVEL"]
    for i in range(n_levels):
        label = draw(st.sampled_from([f"{i}", f"'{i}'", f'" 0{i} "', f"{i}.0 ! J"]))
        text.append(f" {i + 1}\t{energies[i]} {weights[i]}  {label}")
    text += [header("NUMBER OF RADIATIVE TRANSITIONS"), count(len(lines)), "!TRANS"]
    for k, (i, j) in enumerate(lines):
        frequency = f" {(energies[i] - energies[j]) * GHZ:.9f} 12.3"
        text.append(
            f"{k + 1} {i + 1} {j + 1} {real(coefficients[k])}"
            + frequency * has_frequencies
        )
    text += [header("NUMBER OF COLL PARTNERS"), count(len(tables))]
    for code, temperatures, rows, rates in tables:
        text += [header("COLLISIONS BETWEEN"), f"{code} XY and another"]
        text += [header("NUMBER OF COLL TRANS"), count(len(rows))]
        text += [header("NUMBER OF COLL TEMPS"), count(len(temperatures))]
        text += [header("COLL TEMPS"), "  ".join(f"{t:.1f}" for t in temperatures)]
        text.append("!TRANS")
        for k, (i, j) in enumerate(rows):
            separator = draw(st.sampled_from([" ", "\t", ", ", "\n    "]))
            values = separator.join(real(rate) for rate in rates[k])
            text.append(f"{k + 1} {i + 1} {j + 1} {values}")
    between = st.sampled_from(["", "\n", "\n! a remark, 1 2 3\n", "\n   \n# 4\n"])
    text = "\n".join(line + draw(between) for line in text)
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return text, energies, weights, lines, coefficients, tables


@given(molecules())
@settings(deadline=None, max_examples=60)
def test_what_is_written_is_read(tmp_path_factory, case):
    text, energies, weights, lines, coefficients, tables = case
    path = tmp_path_factory.mktemp("lamda") / "x.dat"
    path.write_bytes(text.encode())
    molecule = read_lamda(path)
    assert (molecule.name, molecule.weight) == ("XY", 10.5)
    assert_array_equal(molecule.energies, energies)
    assert_array_equal(molecule.statistical_weights, weights)
    assert molecule.quantum_numbers == tuple(str(i) for i in range(len(energies)))
    pairs = list(zip(molecule.upper, molecule.lower, strict=True))
    assert pairs == lines
    assert_array_equal(molecule.einstein_a, coefficients)
    gaps = [(energies[i] - energies[j]) * GHZ for i, j in lines]
    assert_allclose(molecule.frequencies, gaps, rtol=1e-6)
    assert len(molecule.collisions) == len(tables)
    for table, (_, temperatures, rows, rates) in zip(
        molecule.collisions, tables, strict=True
    ):
        order = np.argsort(temperatures)
        assert_array_equal(table.temperatures, np.array(temperatures)[order])
        assert list(zip(table.upper, table.lower, strict=True)) == rows
        assert_array_equal(table.rates, np.array(rates).T[order])
    # whatever the names, each finds its own line
    found = find_lines(molecule.line_names, {"XY": molecule})
    assert [line.index for line in found] == list(range(len(lines)))


# -- the shipped molecules


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_molecules_are_physical(name):
    molecule = load_molecule(name)
    assert molecule.name == name
    gaps = molecule.energies[molecule.upper] - molecule.energies[molecule.lower]
    assert (gaps > 0).all()
    assert (molecule.einstein_a > 0).all()
    # of Lambda doublets the energies have few digits
    assert_allclose(gaps * GHZ, molecule.frequencies, rtol=1.2e-3)
    assert len(set(molecule.line_names)) == len(molecule.line_names)
    assert len(set(molecule.quantum_numbers)) == molecule.n_levels
    for table in molecule.collisions:
        assert table.rates.shape == (len(table.temperatures), len(table.upper))
        assert (np.diff(table.temperatures) > 0).all()
        assert any(
            reference.startswith(f"{table.partner}: ")
            for reference in molecule.references
        )


@pytest.mark.parametrize("name", SHIPPED)
def test_names_of_lines_are_clean_and_old_ones_still_mean_the_same(name):
    molecule = load_molecule(name)
    labels = [label_of_before(label) for label in molecule.file_labels]
    for i, line in enumerate(molecule.line_names):
        assert re.fullmatch(r"[A-Za-z\d+-]+\([\w.+/-]+\)", line)
        assert "__" not in line
        before = f"{name}({labels[molecule.upper[i]]}-{labels[molecule.lower[i]]})"
        assert find_lines([before])[0].name == line
    # no two lines of a molecule differ by writing alone
    assert all(len(indices) == 1 for indices in names_of(molecule).folded.values())


def test_files_as_distributed(shared_data):
    """All are read, and shipped as they are but for two energies."""
    mended = {"o-H2S": (15, 114.1776), "SO-lowT": (9, 17.0014)}
    of_file = {file: name for name, file in SHIPPED.items()}
    for path in sorted((shared_data / "chem" / "lamda_more").glob("*.dat")):
        molecule, shipped = read_lamda(path), load_molecule(of_file[path.name])
        if shipped.name in mended:
            level, energy = mended[shipped.name]
            assert molecule.energies[level] == energy
            assert any("the frequency is" in remark for remark in molecule.remarks)
            assert not any("frequency" in remark for remark in shipped.remarks)
            molecule.energies[level] = shipped.energies[level]
        assert_same_physics(molecule, shipped)


def test_mended_energies_follow_from_the_frequencies():
    for name, level in (("o-H2S", 15), ("SO-lowT", 9)):
        molecule = load_molecule(name)
        up, low = molecule.upper == level, molecule.lower == level
        implied = np.concatenate(
            [
                molecule.energies[molecule.lower[up]] + molecule.frequencies[up] / GHZ,
                molecule.energies[molecule.upper[low]]
                - molecule.frequencies[low] / GHZ,
            ]
        )
        assert len(implied) >= 3
        assert_allclose(implied, molecule.energies[level], atol=1e-3)
        assert "Changed in skastro" in molecule.references[-1]


def test_molecules_are_read_when_asked_for(monkeypatch):
    read = []
    monkeypatch.setattr(
        "skastro.molecular._known_molecules.load_molecule",
        lambda name: read.append(name) or load_molecule(name),
    )
    known = as_molecules(None)
    assert len(known) == len(list(known)) == len(SHIPPED)
    assert "CO" in known and "13CO" not in known
    find_lines(["CO(3-2)", "[CII]158um"])
    assert set(read) == {"CO", "C+"}
    with pytest.raises(KeyError):
        known["13CO"]


def test_molecules_can_be_pickled():
    molecule = load_molecule("HCN-hfs")
    again = pickle.loads(pickle.dumps(molecule))
    assert isinstance(again, Molecule)
    assert again.line_names == molecule.line_names


def test_given_molecules_replace_shipped_ones(tmp_path):
    molecule = read(tmp_path, SMALL)
    known = as_molecules({"CO": molecule, "XY": tmp_path / "small.dat"})
    assert known["CO"] is molecule
    assert set(known) == {*SHIPPED, "XY"}
    assert len(known) == len(SHIPPED) + 1
    assert find_lines(["CO(2-1)", "XY 2-1"], known)[0].frequency == 239.834


def table_of_molecules():
    """The table of the guide."""
    rows = [("Species", "File", "Levels", "Lines", "Rates [K]", "Sources")]
    for name, file in sorted(SHIPPED.items(), key=lambda item: item[0].lstrip("op-")):
        molecule = load_molecule(name)
        rates = ", ".join(
            f"{table.partner} "
            + "–".join(dict.fromkeys(f"{t:g}" for t in table.temperatures[[0, -1]]))
            for table in molecule.collisions
        )
        sources = "; ".join(r for r in molecule.references if len(r) < 220)
        sources = re.sub(r"([*`|\\])", r"\\\1", sources)
        sources = re.sub(r"_(?=\W|$)", r"\\_", re.sub(r"\s+", " ", sources))
        rows.append(
            (f"``{name}``", f"``{file}``", molecule.n_levels, len(molecule.upper),
             rates, sources)
        )  # fmt: skip
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        for i, cell in enumerate(row):
            lines += textwrap.wrap(
                str(cell),
                width=99,
                initial_indent="   * - " if i == 0 else "     - ",
                subsequent_indent="       ",
                break_long_words=False,
                break_on_hyphens=False,
            )
    return "\n".join(lines) + "\n"


def test_the_guide_has_the_table_of_molecules():
    """To renew it, print ``table_of_molecules()``."""
    assert table_of_molecules() in GUIDE.read_text(encoding="utf-8")


# -- lines by name


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("CO 3-2", "CO(3-2)"),
        ("CO(3–2)", "CO(3-2)"),
        ("CO (3 − 2)", "CO(3-2)"),
        ("CO J=3-2", "CO(3-2)"),
        ("CO(J=3-2)", "CO(3-2)"),
        ("CO J=3-J=2", "CO(3-2)"),
        ("CO v=0 3-2", "CO(3-2)"),
        ("CO 3→2", "CO(3-2)"),
        ("CO(3->2)", "CO(3-2)"),
        ("CO_3-2", "CO(3-2)"),
        ("CO 03-02", "CO(3-2)"),
        ("12CO(3-2)", "CO(3-2)"),
        ("hcn 4 to 3", "HCN(4-3)"),
        ("C II", "C+(1.5-0.5)"),
        ("[C ii]", "C+(1.5-0.5)"),
        ("CI 3P1-3P0", "C(1-0)"),
        ("¹²CO 3–2", "CO(3-2)"),
        ("12C16O(3-2)", "CO(3-2)"),
        ("H12C14N 1-0", "HCN(1-0)"),
        ("12C18O 1-0", "C18O(1-0)"),
        ("28SiO(5-4)", "SiO(5-4)"),
        ("HCO⁺ 4-3", "HCO+(4-3)"),
        ("HCO^+(4-3)", "HCO+(4-3)"),
        ("[CII]", "C+(1.5-0.5)"),
        ("[CII]158", "C+(1.5-0.5)"),
        ("[C II] 157.7 µm", "C+(1.5-0.5)"),
        ("C+(158um)", "C+(1.5-0.5)"),
        ("[CII](2P3/2-2P1/2)", "C+(1.5-0.5)"),
        ("[CI](1-0)", "C(1-0)"),
        ("[CI] 1-0", "C(1-0)"),
        ("[CI] 3P2-3P1", "C(2-1)"),
        ("[CI]609", "C(1-0)"),
        ("[CI] 370um", "C(2-1)"),
        ("[OI]63", "O(3P1-3P2)"),
        ("O(63um)", "O(3P1-3P2)"),
        ("[OI] 146 micron", "O(3P0-3P1)"),
        ("[NII]205", "N+(1-0)"),
        ("[NII] 122um", "N+(2-1)"),
        ("SO2 1(1,1)-2(0,2)", "SO2(1_1_1-2_0_2)"),
        ("SO2(1_{1,1}-2_{0,2})", "SO2(1_1_1-2_0_2)"),
        ("CN(1_3/2-0_1/2)", "CN(1_1.5-0_0.5)"),
        ("HCN hfs 1_2-0_1", "HCN-hfs(1_2-0_1)"),
        ("HCN@hfs(1_2-0_1)", "HCN-hfs(1_2-0_1)"),
        ("para-NH3(1,1)", "p-NH3(1_1_1-1_1_0)"),
        ("oNH3 (3,3)", "o-NH3(3_3_1-3_3_0)"),
        ("ortho-H2S 1_1_0-1_0_1", "o-H2S(1_1_0-1_0_1)"),
        # nothing between species and transition
        ("CO3-2", "CO(3-2)"),
        ("12CO3-2", "CO(3-2)"),
        ("C18O1-0", "C18O(1-0)"),
        ("HC3N10-9", "HC3N(10-9)"),
        ("HCO+1-0", "HCO+(1-0)"),
        ("CI609", "C(1-0)"),
        ("CI1-0", "C(1-0)"),
        ("OI63", "O(3P1-3P2)"),
        ("CII158", "C+(1.5-0.5)"),
        # ortho or para, as only one of them has the line
        ("NH3(1,1)", "p-NH3(1_1_1-1_1_0)"),
        ("NH3(3,3)", "o-NH3(3_3_1-3_3_0)"),
        ("H2S 1_1_0-1_0_1", "o-H2S(1_1_0-1_0_1)"),
        # terms from the lower level
        ("[OI] 3P2-3P1", "O(3P1-3P2)"),
        ("[CII] 2P1/2-2P3/2", "C+(1.5-0.5)"),
        # quantum numbers one after the other
        ("HCN 1-0 F=2-1", "HCN-hfs(1_2-0_1)"),
        ("HCN(J=1-0, F=2-1)", "HCN-hfs(1_2-0_1)"),
        ("HCl 1-0 F=5/2-3/2", "HCl(1_2.5-0_1.5)"),
        ("CN N=1-0, J=3/2-1/2", "CN(1_1.5-0_0.5)"),
        # blends
        ("HCN-hfs 1-0", "HCN-hfs(1-0)"),
        ("HCN@hfs J=1→0", "HCN-hfs(1-0)"),
        ("HCl(1-0)", "HCl(1-0)"),
        ("OH+ 1_2-0_1", "OH+(1_2-0_1)"),
        (
            "HCN-hfs 1_1-0_1 + HCN-hfs 1_2-0_1",
            "HCN-hfs(1_1-0_1)+HCN-hfs(1_2-0_1)",
        ),
        (
            "CN(1_1/2-0_1/2)+CN 1_3/2-0_1/2",
            "CN(1_0.5-0_0.5)+CN(1_1.5-0_0.5)",
        ),
    ],
)
def test_spellings(written, meant):
    assert [line.name for line in find_lines([written])] == [meant]


def test_two_spellings_of_one_line_are_a_repetition():
    with pytest.raises(ValueError, match=r"names \['CO\(3-2\)'\] more than once"):
        find_lines(["CO(3-2)", "CO 3-2"])
    one, other = "HCN-hfs(1_1-0_1)", "HCN-hfs(1_2-0_1)"
    with pytest.raises(ValueError, match="more than once"):
        find_lines([f"{one}+{other}", f"{other}+{one}"])
    assert len(find_lines(["HCN-hfs(1-0)", one, other])) == 3


# -- blends


@pytest.mark.parametrize("name", SHIPPED)
def test_only_hyperfine_structure_is_blended_unasked(name):
    """What is left out of a label is F or F1, as the header says, and nothing else."""
    molecule = load_molecule(name)
    expected = {"HCl": 1, "HCN-hfs": 1, "OH+": 1}
    assert molecule.n_hyperfine == expected.get(name, 0)
    labels = [label.split("_") for label in molecule.quantum_numbers]
    for n_left in range(1, len(labels[0])):
        start = ["_".join(label[:n_left]) for label in labels]
        pairs = [
            (start[u], start[l])
            for u, l in zip(molecule.upper, molecule.lower, strict=True)
        ]
        for upper, lower in dict.fromkeys(pairs):
            own = [i for i, pair in enumerate(pairs) if pair == (upper, lower)]
            if len(own) < 2:
                continue
            called = f"{name}({upper}-{lower})"
            if n_left == len(labels[0]) - molecule.n_hyperfine:
                blend = find_lines([called])[0]
                assert isinstance(blend, Blend)
                assert blend.name == called and sorted(blend.indices) == own
                frequencies = molecule.frequencies[own]
                assert frequencies.min() <= blend.frequency <= frequencies.max()
                assert np.ptp(frequencies) < 1e-3 * blend.frequency
                continue
            with pytest.raises(ValueError, match="may be any of .*; name one|Did you"):
                find_lines([called])


def test_lines_that_are_no_blend_say_which_sum_would_do():
    """K ladders, fine structure, and groups of hyperfine components."""
    total = "CN(1_0.5-0_0.5)+CN(1_1.5-0_0.5)"
    with pytest.raises(ValueError, match="any of 2") as error:
        find_lines(["CN(1-0)"])
    assert str(error.value).endswith(
        f"the sum of those that were observed as one, {total!r}."
    )
    assert find_lines([total])[0].indices == (0, 1)
    with pytest.raises(
        ValueError, match=r"any of 3: 'p-H2CS\(3_0_3-2_0_2\)' .*, or the sum"
    ):
        find_lines(["p-H2CS(3-2)"])
    with pytest.raises(ValueError, match=r"any of 3: 'OH\+\(1_0-0_1\)' .*name one\.$"):
        find_lines(["OH+(1-0)"])
    # Lambda doublets
    with pytest.raises(ValueError, match="any of 16"):
        find_lines(["OH(3/2-3/2)"])


def test_hyperfine_numbers_are_known_by_the_header(tmp_path):
    levels = "1 0.0 1.0 0_1\n2 4.0 3.0 1_1\n3 4.0001 5.0 1_2".replace(
        "1.0 0_1", "3.0 0_1"
    )
    text = "\n".join([
        "!MOLECULE", "XY", "!WEIGHT", "20.0", "!LEVELS", "3", "!{}", levels,
        "!TRANSITIONS", "2", "!T", "1 2 1 1e-5", "2 3 1 1e-5",
        "!PARTNERS", "1", "!P", "1 H2", "!N", "1", "!T", "1", "!T", "10.0",
        "!R", "1 2 1 1e-11",
    ])  # fmt: skip
    path = tmp_path / "xy.dat"

    def of(header):
        path.write_text(text.replace("{}", header))
        return read_lamda(path)

    assert of("LEVEL + ENERGY + WEIGHT + N_J").n_hyperfine == 0
    assert of("LEVEL + ENERGY + WEIGHT + J, F,+/-").n_hyperfine == 0
    assert of("Level + energy + weight + quantum numbers J_F1_F ").n_hyperfine == 2
    molecule = of("LEVEL + ENERGY + WEIGHT + QNUM (J, F)")
    assert molecule.n_hyperfine == 1
    assert find_lines(["XY 1-0"], {"XY": molecule})[0].name == "XY(1-0)"
    with pytest.raises(ValueError, match="any of 2.*'XY"):
        find_lines(["XY 1-0"], {"XY": of("LEVEL + ENERGY + WEIGHT + N_J")})


def test_the_weight_of_hcl_is_remarked():
    (remark,) = load_molecule("HCl").remarks
    assert (
        "level 1, 0_1.5, has the statistical weight 1.3, where F asks for 4" in remark
    )


@pytest.mark.parametrize(
    "name",
    ["13CO(3-2)", "C17O 1-0", "¹³CO 2-1", "H13CN(1-0)", "DCO+(1-0)", "C34S(2-1)"],
)
def test_isotopologues_are_never_taken_for_the_main_one(name):
    with pytest.raises(ValueError, match="an isotopologue of") as error:
        find_lines([name])
    assert "Did you mean" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["N2H+(1-0)", "H2CO 2_1_2-1_1_1", "[OIII]88", "NO(1-0)"]
)
def test_unknown_species_say_how_to_give_their_file(name):
    species = re.match(r"\[?\w+[+\]]?", name).group()
    with pytest.raises(ValueError) as error:
        find_lines([name])
    message = str(error.value)
    assert f"no molecule {species!r} is shipped" in message
    assert f"molecules={{{species!r}: 'path/to/file.dat'}}" in message
    assert f"molecules={{{species!r}: fetch_lamda(url, known_hash)}}" in message
    assert "CO, CS, HC3N" in message
    assert "Did you mean" not in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hCN(4-3)", r"Did you mean 'HCN\(4-3\)'\?"),
        ("SIO(5-4)", r"Did you mean 'SiO\(5-4\)'\?"),
        ("HCO(1-0)", r"Did you mean 'HCO\+\(1-0\)'\?"),
        ("NH3(9,9)", "Did you mean 'o-NH3', 'p-NH3'"),
        ("H2CS 2-1", r"any of 3: 'o-H2CS\(2_1_2-1_1_1\)' .*; name one\.$"),
        ("p-H2CS 2-1", r"Did you mean 'p-H2CS\(2_0_2-1_0_1\)'"),
        ("13CO3-2", "no molecule '13CO' .* isotopologue of CO"),
        ("O2-1", "Unknown line 'O2-1'"),
        ("CO(1-0)+CO(99-98)", r"Unknown line 'CO\(99-98\)'"),
        ("CO(3-1)", r"Did you mean .*'CO\(3-2\)'"),
        (
            "CO",
            r"'CO' is a species and no line. CO has 'CO\(1-0\)', .* and 37 more",
        ),
        ("[CI]", r"any of 3: 'C\(1-0\)' \(492.161 GHz\), .*; name one"),
        ("[CI]500", r"C has 'C\(1-0\)', 'C\(2-1\)', 'C\(2-0\)'"),
        ("", "no molecule ''"),
    ],
)
def test_other_names_say_what_is_near(name, message):
    with pytest.raises(ValueError, match=message):
        find_lines([name])


@pytest.mark.parametrize("name", ["13CO", "N2H+", "H2O"])
def test_unknown_molecules_say_how_to_give_their_file(name):
    for error in (load_molecule, line_catalogue):
        with pytest.raises(ValueError, match=r"fetch_lamda\(url, known_hash\)"):
            error(name)
    with pytest.raises(ValueError, match="Did you mean 'o-NH3', 'p-NH3'"):
        load_molecule("NH3")


@pytest.mark.parametrize(
    ("alias", "name"),
    [("12CO", "CO"), ("[CII]", "C+"), ("ortho-NH3", "o-NH3"), ("OH-hfs", "OH")],
)
def test_aliases_of_molecules(alias, name):
    assert load_molecule(alias) is load_molecule(name)


def test_names_that_coincide_are_told_apart(tmp_path):
    text = changed((10, "3 12.0 5.0 1"), (15, "2 3 1 1.0e-05"))
    molecule = read(tmp_path, text)
    assert molecule.line_names == ("XY(1-0)[2-1]", "XY(1-0)[3-1]")
    given = {"XY": molecule}
    assert [line.upper for line in find_lines(molecule.line_names, given)] == [1, 2]
    with pytest.raises(ValueError, match=r"any of 2: 'XY\(1-0\)\[2-1\]' \(119.917"):
        find_lines(["XY 1-0"], given)


# -- lines by frequency


@pytest.mark.parametrize("name", ["CO(3-2)", "SO(5_6-4_5)", "p-NH3(1_1_1-1_1_0)"])
@pytest.mark.parametrize("unit", ["GHz", "MHz", "um", "cm", "cm-1", "eV", "J", "AA"])
def test_lines_by_frequency_in_any_unit(name, unit):
    line = find_lines([name])[0]
    value = (line.frequency * u.GHz).to(unit, u.spectral())
    assert find_lines(frequency=value)[0].name == name
    assert find_lines(frequency=line.frequency)[0] == line


@pytest.mark.parametrize(
    "tolerance",
    [0.0025, 2.5 * u.MHz, 8.456 * u.km / u.s, 0.09541 * u.um, 8.339e-5 / u.cm],
)
def test_tolerances_in_any_unit(tolerance):
    """Two of three hyperfine components of HCN(1-0), 1.4 MHz apart."""
    found = find_lines(frequency=88.6310, tolerance=tolerance, species="HCN-hfs")
    assert [line.name for line in found] == ["HCN-hfs(1_1-0_1)", "HCN-hfs(1_2-0_1)"]


@given(st.floats(20, 3000), st.floats(0.01, 30))
@settings(deadline=None, max_examples=50)
def test_a_search_finds_all_lines_in_range_the_closest_first(frequency, tolerance):
    distance = {line: abs(line.frequency - frequency) for line in line_catalogue("SO2")}
    expected = {line for line in distance if distance[line] <= tolerance}
    try:
        found = find_lines(frequency=frequency, tolerance=tolerance, species=["SO2"])
    except ValueError as error:
        nearest = min(distance, key=distance.get)
        assert not expected
        assert f"the nearest are {nearest.name!r}" in str(error)
    else:
        assert set(found) == expected
        assert found == sorted(found, key=distance.get)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"frequency": 110.2}, ValueError, r"0.011 GHz of 110.2 GHz; .*'C18O\(1-0\)'"),
        ({"frequency": 3 * u.K}, TypeError, "`frequency` has the unit K"),
        ({"frequency": 3.0, "tolerance": 1 * u.K}, TypeError, "`tolerance` has the"),
        ({"frequency": [1, 2]}, TypeError, "one number in GHz or a Quantity"),
        ({"frequency": -1}, ValueError, "must be positive and finite, got -1 GHz"),
        ({"frequency": 100, "species": "13CO"}, ValueError, "Unknown species '13CO'"),
        ({}, TypeError, "either names of lines or a `frequency`"),
        ({"names": ["CO(1-0)"], "frequency": 3}, TypeError, "not both"),
        ({"names": ["CO(1-0)"], "species": "CO"}, TypeError, "search by `frequency`"),
    ],
)
def test_bad_searches(arguments, error, message):
    with pytest.raises(error, match=message):
        find_lines(**arguments)
