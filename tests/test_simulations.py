import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skastro.emulation import (
    SimulationError,
    SimulationWarning,
    run_simulations,
)

DESIGN = np.random.default_rng(0).uniform(size=(40, 3))


def simulator(theta):
    return [theta.sum(), theta.prod()]


def fails_above_09(theta):
    if theta[0] > 0.9:
        raise ArithmeticError(f"cannot do {theta[0]:.2f}")
    return simulator(theta)


def block_simulator(thetas):
    return np.array([fails_above_09(theta) for theta in thetas])


EXPECTED = np.array([simulator(theta) for theta in DESIGN])


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_outputs_are_in_the_order_of_the_design(n_jobs, batch_size):
    grid = run_simulations(simulator, DESIGN, n_jobs=n_jobs, batch_size=batch_size)
    assert_array_equal(grid.outputs, EXPECTED)
    assert grid.failures == []
    assert grid.succeeded.all()


@pytest.mark.parametrize(
    ("function", "vectorized"), [(fails_above_09, False), (block_simulator, True)]
)
def test_failures_are_recorded_and_cost_nothing_else(function, vectorized, tmp_path):
    guilty = np.flatnonzero(DESIGN[:, 0] > 0.9)
    assert len(guilty) > 1
    for _ in range(2):  # the second time from the checkpoint
        with pytest.warns(SimulationWarning, match=f"{len(guilty)} of 40"):
            grid = run_simulations(
                function,
                DESIGN,
                vectorized=vectorized,
                batch_size=9,
                checkpoint=tmp_path / "grid.jsonl",
            )
        assert [failure.index for failure in grid.failures] == guilty.tolist()
        assert "ArithmeticError: cannot do" in grid.failures[0].error
        assert "raise ArithmeticError" in grid.failures[0].traceback
        assert_array_equal(grid.failures[0].parameters, DESIGN[guilty[0]])
        assert np.isnan(grid.outputs[guilty]).all()
        X, y = grid.training_data()
        assert_array_equal(y, np.delete(EXPECTED, guilty, axis=0))
        assert_array_equal(X, np.delete(DESIGN, guilty, axis=0))


def test_failed_simulations_can_be_retried(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    with pytest.warns(SimulationWarning):
        run_simulations(fails_above_09, DESIGN, checkpoint=checkpoint)
    calls = []

    def now_works(theta):
        calls.append(theta)
        return simulator(theta)

    grid = run_simulations(now_works, DESIGN, checkpoint=checkpoint, retry_failed=True)
    assert_array_equal(grid.outputs, EXPECTED)
    assert len(calls) == (DESIGN[:, 0] > 0.9).sum()
    assert run_simulations(now_works, DESIGN, checkpoint=checkpoint).failures == []


def test_failures_are_fatal_if_asked(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    with pytest.raises(SimulationError, match="ArithmeticError: cannot do"):
        run_simulations(fails_above_09, DESIGN, on_error="raise", checkpoint=checkpoint)
    # what came before is kept
    first = int(np.argmax(DESIGN[:, 0] > 0.9))
    assert len(checkpoint.read_text().splitlines()) == first + 2


@pytest.mark.parametrize(
    ("returns", "message"),
    [
        (lambda theta: np.ones((2, 2)), r"shape \(2, 2\)"),
        (lambda theta: np.ones(1 if theta[0] > 0.5 else 2), "was expected"),
        (lambda theta: "text", "could not convert"),
        (lambda theta: None, "TypeError"),
    ],
)
def test_wrong_outputs_are_failures(returns, message):
    with pytest.warns(SimulationWarning, match=message):
        grid = run_simulations(returns, DESIGN)
    assert grid.failures


def test_wrong_number_of_rows_from_a_block():
    with pytest.warns(SimulationWarning, match="for 1 row"):
        run_simulations(lambda thetas: np.ones((3, 2)), DESIGN, vectorized=True)


def test_stated_number_of_outputs():
    with pytest.warns(SimulationWarning, match=r"\(5,\) was expected"):
        grid = run_simulations(simulator, DESIGN, n_outputs=5)
    assert grid.outputs.shape == (40, 0)
    assert len(grid.failures) == 40


def test_odd_one_out_is_the_failure_even_if_it_is_the_first():
    def odd_first(theta):
        return [1.0] if theta[0] == DESIGN[0, 0] else simulator(theta)

    with pytest.warns(SimulationWarning, match=r"row 0: .*\(1,\) where \(2,\)"):
        grid = run_simulations(odd_first, DESIGN)
    assert_array_equal(grid.outputs[1:], EXPECTED[1:])


def exits(theta):
    if theta[0] > 0.9:
        sys.exit(3)
    return simulator(theta)


def test_a_simulator_that_exits_is_a_failure():
    with pytest.warns(SimulationWarning, match="SystemExit: 3"):
        grid = run_simulations(exits, DESIGN)
    assert_array_equal(grid.succeeded, DESIGN[:, 0] <= 0.9)


def kills_its_process(theta):
    if theta[0] > 0.9:
        os.kill(os.getpid(), signal.SIGKILL)
    return simulator(theta)


def test_a_simulator_that_kills_its_process_is_a_failure(tmp_path):
    guilty = DESIGN[:, 0] > 0.9
    checkpoint = tmp_path / "grid.jsonl"
    for _ in range(2):
        with pytest.warns(SimulationWarning, match="killed its process"):
            grid = run_simulations(
                kills_its_process, DESIGN, n_jobs=2, batch_size=3, checkpoint=checkpoint
            )
        assert_array_equal(grid.succeeded, ~guilty)
        assert_array_equal(grid.outputs[~guilty], EXPECTED[~guilty])


def test_recorded_failures_are_fatal_if_asked(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    with pytest.warns(SimulationWarning):
        run_simulations(fails_above_09, DESIGN, checkpoint=checkpoint)
    with pytest.raises(SimulationError, match="cannot do"):
        run_simulations(simulator, DESIGN, checkpoint=checkpoint, on_error="raise")


def test_damaged_checkpoint_says_where(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    run_simulations(simulator, DESIGN, checkpoint=checkpoint)
    lines = checkpoint.read_text().splitlines()
    lines[7] = lines[7][:5]
    checkpoint.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="damaged in line 8"):
        run_simulations(simulator, DESIGN, checkpoint=checkpoint)


SLOW = """
import sys, time
import numpy as np
from skastro.emulation import run_simulations

def slow(theta):
    time.sleep(0.05)
    return [theta.sum(), theta.prod()]

design = np.random.default_rng(0).uniform(size=(40, 3))
run_simulations(slow, design, checkpoint=sys.argv[1])
"""


def test_resumes_after_a_kill(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(checkpoint)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if checkpoint.exists() and checkpoint.read_text().count("\n") > 5:
            break
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = checkpoint.read_text().count("\n") - 1
    assert 5 <= finished < 40
    # a line that the kill cut short
    with checkpoint.open("a") as file:
        file.write('{"row": 39, "outp')
    calls = []

    def counting(theta):
        calls.append(theta)
        return simulator(theta)

    grid = run_simulations(counting, DESIGN, checkpoint=checkpoint)
    assert_array_equal(grid.outputs, EXPECTED)
    assert len(calls) == 40 - finished
    records = [json.loads(line) for line in checkpoint.read_text().splitlines()[1:]]
    assert sorted(record["row"] for record in records) == list(range(40))


def test_checkpoint_of_another_design(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"
    run_simulations(simulator, DESIGN, checkpoint=checkpoint)
    with pytest.raises(ValueError, match="belongs to another design"):
        run_simulations(simulator, DESIGN + 1, checkpoint=checkpoint)
    other = tmp_path / "notes.txt"
    other.write_text("my notes\n")
    with pytest.raises(ValueError, match="not written by run_simulations"):
        run_simulations(simulator, DESIGN, checkpoint=other)
    assert other.read_text() == "my notes\n"


def test_floats_survive_the_checkpoint_to_the_last_bit(tmp_path):
    checkpoint = tmp_path / "grid.jsonl"

    def awkward(theta):
        return [theta[0] / 3, 1e-300 * theta[1], np.nan, np.inf]

    first = run_simulations(awkward, DESIGN, checkpoint=checkpoint)
    again = run_simulations(awkward, DESIGN, checkpoint=checkpoint)
    assert_array_equal(first.outputs, again.outputs)


def test_progress_bar_can_be_silenced(capsys):
    run_simulations(simulator, DESIGN)
    assert capsys.readouterr() == ("", "")
    run_simulations(simulator, DESIGN, verbose=1)
    assert "40/40" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"design": [1.0, 2.0]}, ValueError, r"shape \(n_simulations, n_parameters\)"),
        ({"design": [[np.nan]]}, ValueError, "finite"),
        ({"simulator": 3}, TypeError, "callable"),
        ({"on_error": "ignore"}, ValueError, "`on_error` must be"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        run_simulations(**({"simulator": simulator, "design": DESIGN} | arguments))
