#!/usr/bin/env bash
# Two files of LAMDA, as spectralradex ships them, hold a level that the rest of the file
# contradicts, and RADEX takes it as it stands, without a word:
#  - oh2s.dat (o-H2S) gives level 16 (4_4_1) the energy of level 8, 114.1776 cm-1. The frequencies
#    of all three of its lines say 195.661 cm-1, and so does the energy in kelvin of its line down.
#  - hcl.dat gives level 1 of HCl (J = 0, F = 1.5) the weight 1.3. All other levels have 2F + 1,
#    which is 4 here, and hcl@hfs.dat has 4.
# Seen with spectralradex 1.1.5: at 60 K in dense gas the 3016 GHz line of o-H2S has an optical
# depth of 0.79, where the mended file gives 0.013; at 15 K and 1e5 cm-3 the 626 GHz lines of HCl
# are three times as bright as with the weight 4.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q spectralradex==1.1.5 pandas==2.2.3 numpy==1.26.4
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from pathlib import Path

from spectralradex import radex

data = Path(radex.__file__).parent / "data"


def levels_and_lines(name):
    lines = (data / name).read_text().splitlines()
    n = int(lines[5])
    levels = {}
    for line in lines[7 : 7 + n]:
        words = line.split()
        label = line.split(None, 3)[3]
        levels[int(words[0])] = (float(words[1]), float(words[2]), label)
    m = int(lines[8 + n])
    rows = [line.split() for line in lines[10 + n : 10 + n + m]]
    return levels, [(int(r[1]), int(r[2]), float(r[4])) for r in rows]


def run(file, tkin, density, column):
    inputs = radex.get_default_parameters()
    inputs.update(molfile=str(file), tkin=tkin, cdmol=column, geometry=1, tbg=2.73, fmin=0, fmax=1e5)
    inputs.update({"h2": 0.0, "o-h2": 0.75 * density, "p-h2": 0.25 * density})
    return radex.run(inputs)


def mended(name, old, new):
    text = (data / name).read_text()
    assert text.count(old) == 1, "changed: " + name
    Path(name).write_text(text.replace(old, new))
    return "./" + name


levels, lines = levels_and_lines("oh2s.dat")
energies = {i: level[0] for i, level in levels.items()}
assert energies[16] == energies[8] == 114.1776, "changed: level 16 of o-H2S"
implied = []
for up, low, ghz in lines:
    wavenumber = ghz / 29.9792458
    if 16 in (up, low):
        implied.append(energies[low] + wavenumber if up == 16 else energies[up] - wavenumber)
    else:
        assert abs(energies[up] - energies[low] - wavenumber) < 0.01, (up, low)
print("o-H2S, level 16: 114.1776 cm-1, from its lines", [round(e, 3) for e in implied])
assert len(implied) == 3 and all(abs(e - 195.661) < 0.01 for e in implied)

levels, _ = levels_and_lines("hcl.dat")
odd = []
for i, (_, weight, label) in levels.items():
    f = float(label.strip("' ").split()[-1])
    if weight != 2 * f + 1:
        odd.append((i, weight, 2 * f + 1))
print("HCl, levels whose weight is not 2F + 1:", odd)
assert odd == [(1, 1.3, 4.0)], "changed"
assert levels_and_lines("hcl@hfs.dat")[0][1][1] == 4

depths = []
for file in ("oh2s.dat", mended("oh2s.dat", " 16   114.1776", " 16   195.6614")):
    out = run(file, 60.0, 1e12, 1e14)
    depths.append(float(out.tau[(out.freq - 3016.066).abs() < 0.1].iloc[0]))
print("o-H2S, optical depth at 3016 GHz as shipped and mended:", [round(d, 4) for d in depths])
assert depths[0] > 50 * depths[1]

brightness = []
for file in ("hcl.dat", mended("hcl.dat", "0.000000000   1.3", "0.000000000   4.0")):
    out = run(file, 15.0, 1e5, 1e12)
    brightness.append(float(out["T_R (K)"][(out.freq - 625.919).abs() < 0.005].iloc[0]))
print("HCl, T_R at 625.919 GHz in K as shipped and mended:", [round(b, 5) for b in brightness])
assert 2.9 < brightness[0] / brightness[1] < 3.1
PYTHON
