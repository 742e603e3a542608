"""
Temperature and density of the gas in NGC 1068
==============================================

From the intensities of five molecular lines to the physical state of the gas that
emits them: a Latin hypercube of radiative-transfer models, neural emulators that
learn them, and nested sampling of the posterior (thesis, chapter 2).

``make demo`` runs this script. It writes ``demo/report.html``, keeps simulations,
emulators and the sampling run in ``demo/``, and continues from there when it is run
again.
"""

# %%
# Set-up
# ------
# What there is to say on the command line, and where things are kept.

import argparse
import base64
import html
import io
import time
from pathlib import Path

import joblib
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from skastro.datasets import load_ngc1068
from skastro.emulation import EmulatorRegressor, run_simulations
from skastro.io import load_estimator, save_estimator
from skastro.metrics import error_factor
from skastro.molecular import RadexEmulator, RadexModel
from skastro.parameter_space import ParameterSpace, Uniform
from skastro.plotting import (
    CornerDisplay,
    EmulatorErrorDisplay,
    PosteriorPredictiveDisplay,
)
from skastro.retrieval import BayesianRetrieval

N_TRAIN, N_TEST = 10_000, 2_000


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--n-jobs", type=int, default=-1)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser.parse_args()


# %%
# Simulations
# -----------
# The prior of the thesis (Table 2.2) is also the design of the training set; only a
# filling factor of zero would teach nothing. RADEX runs over it in parallel, and what
# is finished stays in the checkpoint.


def simulate(galaxy, radex, output, n_jobs, verbose):
    design_space = ParameterSpace(
        galaxy.prior.parameters | {"filling_factor": Uniform(1e-3, 1)}
    )
    design = design_space.sample_latin_hypercube(N_TRAIN + N_TEST, random_state=0)
    grid = run_simulations(
        radex.predict,
        design,
        vectorized=True,
        checkpoint=output / "radex.jsonl",
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return grid.training_data()


# %%
# Emulators
# ---------
# One network for each molecule: its lines depend on temperature, density and the
# column density per line width alone, which :class:`RadexEmulator` knows.


def train(galaxy, X, y, output, n_jobs, verbose):
    emulator = RadexEmulator(
        galaxy.lines,
        EmulatorRegressor(random_state=0, verbose=verbose),
        column_density="per line width",
        n_jobs=n_jobs,
    )
    path = output / f"emulator-{joblib.hash((repr(emulator), X, y))[:16]}.safetensors"
    if path.exists():
        return load_estimator(path)
    save_estimator(emulator.fit(X, y), path)
    return emulator


# %%
# Retrieval
# ---------
# The emulators are the forward model of a nested-sampling run.


def retrieve(galaxy, emulator, output, verbose):
    probe = galaxy.prior.sample_latin_hypercube(16, random_state=0)
    key = joblib.hash((emulator.predict(probe), galaxy.intensity, galaxy.sigma))[:16]
    retrieval = BayesianRetrieval(
        emulator,
        galaxy.prior,
        log_dir=output / f"ultranest-{key}",
        random_state=0,
        verbose=verbose,
    )
    X = emulator.encode_lines(galaxy.lines)
    return X, retrieval.fit(X, galaxy.intensity, sigma=galaxy.sigma)


# %%
# Report
# ------
# Three pictures and two tables in one page.


def as_image(figure, alt):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    plt.close(figure)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{alt}" src="data:image/png;base64,{data}">'


def write_report(path, errors, table, pictures):
    sections = "\n".join(
        f"<h2>{title}</h2><p>{caption}</p>{image}" for title, caption, image in pictures
    )
    path.write_text(
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<title>The gas in NGC 1068</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem; color: #222; }}
img {{ max-width: 100%; }} pre {{ background: #f4f4f4; padding: 1rem; overflow: auto; }}
</style></head><body>
<h1>The gas in NGC 1068, East Knot</h1>
<p>One gas phase in non-LTE, its five lines measured with ALMA (Viti et al. 2014) to
20&nbsp;%.</p>
<h2>Parameters</h2><pre>{html.escape(table)}</pre>
<h2>Error of the emulators</h2><pre>{html.escape(errors)}</pre>
{sections}
</body></html>
""",
        encoding="utf-8",
    )


def error_table(lines, factors, n_test):
    rows = [f"{'line':<10}  {'median':>8}  {'95 %':>8}  {'worst':>8}"]
    for name, (median, most, worst) in zip(lines, factors.T, strict=True):
        rows.append(f"{name:<10}  {median:>8.4f}  {most:>8.4f}  {worst:>8.4f}")
    rows.append(f"factors on {n_test} models that were not trained on")
    return "\n".join(rows)


# %%
# All of it
# ---------


def main():
    arguments = parse_arguments()
    output, verbose = arguments.output, int(not arguments.quiet)
    output.mkdir(parents=True, exist_ok=True)
    galaxy = load_ngc1068()
    radex = RadexModel(galaxy.lines, column_density="per line width")

    start = time.perf_counter()
    X, y = simulate(galaxy, radex, output, arguments.n_jobs, verbose)
    print(f"{len(X)} RADEX models: {time.perf_counter() - start:.0f} s")

    start = time.perf_counter()
    emulator = train(
        galaxy, X[:N_TRAIN], y[:N_TRAIN], output, arguments.n_jobs, verbose
    )
    X_test, y_test = X[N_TRAIN:], y[N_TRAIN:]
    y_pred = emulator.predict(X_test)
    # lines fainter than this are not seen beside one of hundreds of K km/s
    faint = 0.1
    factors = error_factor(y_test, y_pred, q=[0.5, 0.95, 1.0], minimum=faint)
    errors = error_table(galaxy.lines, factors, len(X_test))
    print(f"emulators: {time.perf_counter() - start:.0f} s\n\n{errors}\n")

    start = time.perf_counter()
    X_lines, retrieval = retrieve(galaxy, emulator, output, verbose)
    table = retrieval.posterior_.summary()
    print(f"retrieval: {time.perf_counter() - start:.0f} s\n\n{table}\n")

    violins = EmulatorErrorDisplay.from_predictions(
        y_test, y_pred, names=galaxy.lines, minimum=faint
    )
    corner = CornerDisplay.from_estimator(retrieval)
    fit = PosteriorPredictiveDisplay.from_estimator(
        retrieval, X_lines, galaxy.intensity, sigma=galaxy.sigma
    )
    report = output / "report.html"
    write_report(
        report,
        errors,
        table,
        [
            (
                "Posterior",
                "Contours hold 39 % and 86 % of the probability; each axis spans the"
                " prior.",
                as_image(corner.figure_, "corner plot"),
            ),
            (
                "Fit",
                "Intensities that the posterior predicts, beside the observed ones.",
                as_image(fit.figure_, "posterior predictive"),
            ),
            (
                "Emulators",
                f"Relative error of the emulated intensities above {faint} K km/s.",
                as_image(violins.figure_, "error violins"),
            ),
        ],
    )
    print(f"report: {report}")


if __name__ == "__main__":
    main()
