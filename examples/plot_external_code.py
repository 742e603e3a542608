"""
A code of your own, in few calls
================================

Radiative-transfer and chemical codes are often programs of their own: they read a file
of input, write one of output, and take their time. Here such a program is the forward
model of a retrieval. Every call counts and is kept; a surrogate of the lines says where
to make the next ones.
"""

# %%
# The program. It speaks the language of RADEX: lines of input on the standard input,
# and a table of lines in the file that they name. So that this page needs nothing else
# it is a script of 40 lines, with the rotational lines of CO in LTE; a process is
# started for each call all the same. With ``PROGRAM = ["radex"]`` it is the Fortran
# code, which wants the path of its molecular file in the first line.

import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from skastro.parameter_space import LogUniform, ParameterSpace, Uniform
from skastro.retrieval import BayesianRetrieval

SCRIPT = """
import math, sys

words = [line.split() for line in sys.stdin]
output, (low, high) = words[1][0], map(float, words[2])
kinetic, background, column, width = (float(words[i][0]) for i in (3, 7, 8, 9))
h, k, c, b = 6.62607e-27, 1.380649e-16, 2.99792458e10, 57.635968e9  # cgs

def weight(j):
    return (2 * j + 1) * math.exp(-h * b * j * (j + 1) / (k * kinetic))

def radiation(nu, t):
    return h * nu / k / math.expm1(h * nu / (k * t))

partition = sum(weight(j) for j in range(80))
with open(output, "w") as file:
    file.write("      LINE      E_UP   FREQ   WAVEL   T_EX   TAU   T_R\\n")
    for j in range(1, 12):
        nu = 2 * b * j
        if not low <= nu / 1e9 <= high:
            continue
        a = 64 * math.pi**4 * nu**3 * 0.1101e-18**2 / (3 * h * c**3) * j / (2 * j + 1)
        lower = weight(j - 1) / partition * (2 * j + 1) / (2 * j - 1)
        upper = weight(j) / partition
        tau = c**3 / (8 * math.pi * nu**3) * a * column * (lower - upper)
        tau /= 1.0645 * width * 1e5
        t_r = -math.expm1(-tau) * (radiation(nu, kinetic) - radiation(nu, background))
        e_up = h * b * j * (j + 1) / k
        row = e_up, nu / 1e9, c / nu * 1e4, kinetic, tau, t_r
        file.write(f"{j} -- {j - 1} " + " ".join(f"{x:.6e}" for x in row) + "\\n")
"""
folder = Path(tempfile.mkdtemp())
(folder / "program.py").write_text(SCRIPT)
PROGRAM = [sys.executable, "-IS", str(folder / "program.py")]

# %%
# Its wrapper is a function of parameters, a row for each call, and of what
# distinguishes the observed lines: here their upper level. Calls may run side by side,
# so each has a folder of its own. Where the program fails it raises, and the call is
# recorded as one without a solution.

WIDTH = 10.0  # km/s


def run(temperature, column_density):
    """Return the radiation temperatures of CO, by upper level."""
    lines = ["co.dat", "radex.out", "50 1400", f"{temperature:.8e}", "1", "H2", "1e5"]
    lines += ["2.73", f"{column_density:.8e}", f"{WIDTH:.4f}", "0", ""]
    with tempfile.TemporaryDirectory() as own:
        subprocess.run(
            PROGRAM, input="\n".join(lines), text=True, cwd=own, check=True, timeout=60
        )
        rows = (Path(own) / "radex.out").read_text().splitlines()
    rows = [row.split() for row in rows if "--" in row]
    return {int(row[0]): float(row[8]) for row in rows}


def forward_model(theta, X):
    """Return intensities in K km/s, of shape (n_calls, n_lines)."""
    intensity = np.empty((len(theta), len(X)))
    for i, (temperature, column_density, filling_factor) in enumerate(theta):
        radiation = run(temperature, column_density)
        found = np.array([radiation[int(upper)] for upper in X[:, 0]])
        intensity[i] = 1.0645 * WIDTH * filling_factor * found
    return intensity


# %%
# Four lines of CO with errors of 10 %, and a prior.

X = np.array([[1], [2], [3], [6]])
truth = np.array([[60.0, 3e17, 0.4]])
rng = np.random.default_rng(1)
sigma = 0.1 * forward_model(truth, X)[0]
y = 10 * sigma + sigma * rng.standard_normal(len(X))
prior = ParameterSpace(
    {
        "temperature": Uniform(10, 200, "K"),
        "column_density": LogUniform(1e15, 1e19, "cm-2"),
        "filling_factor": Uniform(0, 1),
    }
)

# %%
# At most a thousand calls, two at a time. Any regressor may be the surrogate: a small
# network if none is named, here a polynomial. In ``log_dir`` calls stay on disk: a
# retrieval that was killed goes on with the same line, and repeats none of them.

retrieval = BayesianRetrieval(
    forward_model,
    prior,
    sampler="importance",
    max_calls=1000,
    surrogate=make_pipeline(PolynomialFeatures(6), Ridge(1e-4)),
    log_dir=folder / "run",
    n_jobs=2,
    random_state=0,
).fit(X, y, sigma=sigma)
print(retrieval.posterior_.summary())
print(f"{retrieval.n_calls_} calls, {len(retrieval.calls_.failures)} failures")

# %%
# The first calls are a design of the prior, in grey. Those that follow go where the
# surrogate sees the posterior, and all of them together are weighted by how densely
# they were placed. They are kept: ``retrieval.calls_.training_data()`` trains an
# emulator for the next galaxy.

temperature, column_density, _ = retrieval.calls_.parameters.T
n_design = 64 * len(prior)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharex=True, sharey=True)
axes[0].scatter(
    temperature[:n_design], np.log10(column_density[:n_design]), s=6, color="0.7"
)
later = axes[0].scatter(
    temperature[n_design:],
    np.log10(column_density[n_design:]),
    s=6,
    c=np.arange(n_design, retrieval.n_calls_),
)
fig.colorbar(later, ax=axes, label="call")
samples = retrieval.posterior_.samples
axes[1].scatter(samples[:, 0], np.log10(samples[:, 1]), s=6, color="C3")
axes[0].set(title="calls", ylabel="log column density [cm-2]")
axes[1].set(title="posterior")
for ax in axes:
    ax.plot(truth[0, 0], np.log10(truth[0, 1]), "k+", markersize=14)
    ax.set(xlabel="temperature [K]")
