"""Autoencoders trained against adversaries, in skorch."""

import json
import math
import os
import pickle
import time
from pathlib import Path

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, PassthroughScoring
from torch import nn

from ..utils.networks import (
    net_settings,
    resolve_device,
    tensor,
    training_threads,
)
from ..utils.seeds import torch_seed
from ._network_modules import ConditionalAutoencoder

#: Steps of the autoencoder in a fit with ``max_epochs="auto"``.
AUTO_STEPS = 2400
#: Part of the steps in which the learning rate of a cycle rises.
WARM_UP = 0.05
#: A checkpoint is written when so many times the last one's time has passed.
CHECKPOINT_PAUSE = 20


class AdversarialNet(NeuralNet):
    """An autoencoder and its adversary, trained in turns.

    Parameters
    ----------
    module : type of torch.nn.Module
        The autoencoder.
    adversary : type of torch.nn.Module
        The adversary.
    weight : float
        Weight of the adversary in what the autoencoder minimises; at 0 there is none.
    adversary_lr : float
        Learning rate of the adversary.
    adversary_steps : int
        Steps of the adversary for each one of the autoencoder.
    n_steps : int or None
        Steps of the learning rate's cycle; None for a constant one.
    fresh_noise : float
        Standard deviation of noise that is drawn in each step.
    bfloat16 : bool
        Whether products are in half precision.
    **kwargs : dict
        Of `skorch.NeuralNet`.
    """

    def __init__(
        self,
        module,
        *,
        adversary,
        weight,
        adversary_lr,
        adversary_steps,
        n_steps,
        fresh_noise,
        bfloat16,
        **kwargs,
    ):
        self.adversary = adversary
        self.weight = weight
        self.adversary_lr = adversary_lr
        self.adversary_steps = adversary_steps
        self.n_steps = n_steps
        self.fresh_noise = fresh_noise
        self.bfloat16 = bfloat16
        super().__init__(module, criterion=nn.MSELoss, **kwargs)

    def initialize_module(self):
        """Build both networks."""
        super().initialize_module()
        kwargs = self.get_params_for("adversary")
        self.adversary_ = self.initialized_instance(self.adversary, kwargs)
        self.n_steps_ = 0
        return self

    def initialize_optimizer(self):
        """Give each network an optimiser of its own."""
        _, kwargs = self.get_params_for_optimizer("optimizer", [])
        kwargs.pop("lr")
        weights = dict(self.module_.named_parameters())
        groups = [{"params": [p for k, p in weights.items() if k != "log_error"]}]
        if "log_error" in weights:
            # the size of the error is nothing to be drawn to 1
            groups.append({"params": [weights["log_error"]], "weight_decay": 0.0})
        self.optimizer_ = self.optimizer(groups, lr=self.lr, **kwargs)
        self.optimizer_adversary_ = self.optimizer(
            self.adversary_.parameters(), lr=self.adversary_lr, **kwargs
        )
        return self

    def _set_learning_rates(self):
        if self.n_steps is None:
            return
        part = min(self.n_steps_ / self.n_steps, 1.0)
        factor = min(1.0, (self.n_steps_ + 1) / max(WARM_UP * self.n_steps, 1))
        factor *= (1 + math.cos(math.pi * part)) / 2
        for optimizer, lr in (
            (self.optimizer_, self.lr),
            (self.optimizer_adversary_, self.adversary_lr),
        ):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor

    def _precision(self):
        device = torch.device(self.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.bfloat16)

    def train_step(self, batch, **fit_params):
        """Take a step of the adversary and, in its turn, one of the autoencoder."""
        x, u = batch
        module, adversary = self.module_, self.adversary_
        self._set_training(True)
        self._set_learning_rates()
        self.n_steps_ += 1
        adversarial = self.weight > 0
        turn = not adversarial or self.n_steps_ % self.adversary_steps == 0
        with torch.set_grad_enabled(turn), self._precision():
            noisy = x
            if self.fresh_noise:
                noisy = x + self.fresh_noise * torch.randn_like(x)
            mean, log_scatter = module.encode(noisy, u)
            mean = z = mean.float()
            if log_scatter is not None:
                log_scatter = log_scatter.float()
                z = mean + torch.randn_like(mean) * torch.exp(log_scatter)
            x_hat = module.decode(z, u)
            objective = module.objective(x, x_hat, mean, log_scatter)
            if adversarial:
                shown = adversary.examples(module, x, u, z, x_hat)
        if adversarial:
            with torch.enable_grad(), self._precision():
                loss = adversary.loss(*(part.detach() for part in shown))
            self.optimizer_adversary_.zero_grad()
            loss.backward()
            self.optimizer_adversary_.step()
        if turn:
            total = objective
            if adversarial:
                # its gradient is for the autoencoder alone
                adversary.requires_grad_(False)
                with torch.enable_grad(), self._precision():
                    total = total + self.weight * adversary.confusion(*shown)
            self.optimizer_.zero_grad()
            total.backward()
            adversary.requires_grad_(True)
            self.notify(
                "on_grad_computed",
                named_parameters=list(module.named_parameters()),
                batch=batch,
                training=True,
            )
            self.optimizer_.step()
        if adversarial:
            self.history.record_batch("adversary_loss", loss.item())
        error = nn.functional.mse_loss(x_hat.detach().float(), x)
        return {"loss": error, "y_pred": x_hat.detach()}

    def validation_step(self, batch, **fit_params):
        """Return the error of the reconstruction of held-out stars."""
        x, u = batch
        self._set_training(False)
        with torch.no_grad(), self._precision():
            x_hat = self.module_(x, u).float()
        return {"loss": nn.functional.mse_loss(x_hat, x), "y_pred": x_hat}


class ShortHistory(Callback):
    """Forgets the batches of past epochs, of which long trainings have millions."""

    def on_epoch_end(self, net, **kwargs):
        """Keep what was recorded of the epoch as a whole."""
        net.history[-1]["batches"] = []


class EpochSteps(Callback):
    """Counts epochs as the steps of a fit, which callbacks of scikit-learn may end.

    Parameters
    ----------
    progress : Progress
        Of the fit.
    """

    def __init__(self, progress):
        self.progress = progress
        self.stopped = False

    def on_epoch_end(self, net, **kwargs):
        """Count an epoch, as the last of an epoch's callbacks."""
        if self.progress.step():
            self.stopped = True
            raise KeyboardInterrupt  # as skorch's own callbacks end a training


class Checkpoint(Callback):
    """Writes the state of a training to a file, and goes on from it.

    Parameters
    ----------
    path : path-like
        The file.
    fingerprint : str
        Of data and parameters.
    seed : int
        Of the fit.
    """

    def __init__(self, path, fingerprint, seed):
        self.path, self.fingerprint, self.seed = Path(path), fingerprint, seed

    def restore(self, net):
        """Restore networks, optimisers and history from the file."""
        self.pause_, self.written_, self.state_ = 0.0, time.monotonic(), None
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name in ("module_", "adversary_", "optimizer_", "optimizer_adversary_"):
            getattr(net, name).load_state_dict(state[name])
        net.n_steps_ = state["n_steps"]
        net.history_.extend(json.loads(state["history"]))
        self.state_ = state

    def on_train_begin(self, net, **kwargs):
        """Restore what the beginning of a training resets."""
        state, self.state_ = self.state_, None
        if state is None:
            return
        for name, callback in stopping(net).items():
            for key, value in state["stopping"].get(name, {}).items():
                setattr(callback, key, value)
        torch.set_rng_state(state["generator"])
        if str(net.device).startswith("cuda"):
            torch.cuda.set_rng_state(state["generator_cuda"], net.device)

    def on_epoch_end(self, net, **kwargs):
        """Write the file, if that does not take much of the time."""
        if time.monotonic() - self.written_ >= self.pause_:
            self._write(net)

    def on_train_end(self, net, **kwargs):
        """Write the end of the training."""
        self._write(net)

    def _write(self, net):
        begin = time.monotonic()
        state = {
            name: getattr(net, name).state_dict()
            for name in ("module_", "adversary_", "optimizer_", "optimizer_adversary_")
        }
        state |= {
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "n_steps": net.n_steps_,
            "history": json.dumps(net.history.to_list(), default=float),
            "generator": torch.get_rng_state(),
            "generator_cuda": (
                torch.cuda.get_rng_state(net.device)
                if str(net.device).startswith("cuda")
                else None
            ),
            "stopping": {
                name: {
                    "misses_": c.misses_,
                    "dynamic_threshold_": float(c.dynamic_threshold_),
                    "best_epoch_": int(c.best_epoch_),
                    "best_model_weights_": c.best_model_weights_,
                }
                for name, c in stopping(net).items()
            },
        }
        partial = self.path.with_name(self.path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)
        self.written_ = time.monotonic()
        self.pause_ = CHECKPOINT_PAUSE * (self.written_ - begin)


def stopping(net):
    """Return the callbacks that stop a training early, by name."""
    return {n: c for n, c in net.callbacks_ if isinstance(c, EarlyStopping)}


def saved_seed(path):
    """Return the seed and the fingerprint of a checkpoint, None where there is none."""
    if path is None:
        return None, None
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(
            f"`checkpoint` is {str(path)!r}, in a folder that is not there; make it, or"
            " give another path."
        )
    if not Path(path).exists():
        return None, None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return state["seed"], state["fingerprint"]
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError) as error:
        raise ValueError(
            f"`checkpoint` is {str(path)!r}, a file that is not a checkpoint of a fit:"
            f" {error}"
        ) from error


def train(
    estimator, module_params, adversary, tensors, validation, fresh, keep, progress
):
    """Train an autoencoder against an adversary.

    Parameters
    ----------
    estimator : AdversarialDisentangler
        Read for its training parameters.
    module_params : dict
        Arguments of the autoencoder.
    adversary : tuple
        Class of the adversary, its arguments, and its steps for each one of the
        autoencoder.
    tensors : tuple of ndarray of float32
        Inputs and scaled labels.
    validation : tuple of ndarray of float32, or None
        The same of held-out stars.
    fresh : float
        Scatter of fresh noise.
    keep : tuple of (str, int)
        Fingerprint and seed of the fit.
    progress : Progress
        Sees every epoch, and may end the training.

    Returns
    -------
    net : AdversarialNet
        Trained.
    """
    device = resolve_device(estimator.device)
    fingerprint, seed = keep
    adversary, adversary_params, adversary_steps = adversary
    if not estimator.disentangle_weight:
        adversary_steps = 1
    n_samples = len(tensors[0])
    common, steps_per_epoch = net_settings(
        estimator,
        n_samples,
        adversary_steps * AUTO_STEPS,
        validation,
        type(estimator).__name__,
        device,
    )
    max_epochs, callbacks = common["max_epochs"], common["callbacks"]
    if max_epochs * steps_per_epoch < adversary_steps:
        raise ValueError(
            f"`max_epochs`={max_epochs} makes {max_epochs * steps_per_epoch} step(s) of"
            f" the critic, and the autoencoder is trained in each `n_critic`-th,"
            f" {adversary_steps}; train longer, or lower `n_critic`."
        )
    if estimator.disentangle_weight > 0:
        name = "adversary_loss"
        callbacks.insert(0, (name, PassthroughScoring(name, on_train=True)))
    watched = EpochSteps(progress)
    last = "watched", watched
    callbacks += [("short_history", ShortHistory()), last]
    checkpoint = None
    if estimator.checkpoint is not None:
        checkpoint = Checkpoint(estimator.checkpoint, fingerprint, seed)
        callbacks.insert(-1, ("checkpoint", checkpoint))
    params = {f"module__{k}": v for k, v in module_params.items()}
    params |= {f"adversary__{k}": v for k, v in adversary_params.items()}
    bfloat16 = estimator.precision == "bfloat16" or (
        estimator.precision == "auto" and str(device).startswith("cuda")
    )
    cycle = estimator.lr_schedule == "one_cycle"
    with torch_seed(seed, device):
        net = AdversarialNet(
            ConditionalAutoencoder,
            adversary=adversary,
            **params,
            **common,
            weight=estimator.disentangle_weight,
            adversary_lr=estimator.adversary_lr,
            adversary_steps=adversary_steps,
            n_steps=max_epochs * steps_per_epoch if cycle else None,
            fresh_noise=fresh,
            bfloat16=bfloat16,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=estimator.weight_decay,
        )
        net.initialize()
        with training_threads(net.module_, device):
            fit_epochs(net, [tensor(a, device) for a in tensors], checkpoint, watched)
    # the course of this fit is no part of the net
    net.callbacks = [entry for entry in net.callbacks if entry is not last]
    net.callbacks_ = [pair for pair in net.callbacks_ if pair[1] is not watched]
    # what a trained network has no more need of
    net.train_split = None
    net.module_.zero_grad()
    net.adversary_.zero_grad()
    for callback in stopping(net).values():
        callback.best_model_weights_ = None
    return net


def fit_epochs(net, tensors, checkpoint, watched):
    """Train for the epochs that are left, after what a checkpoint restores."""

    def stopped():
        return watched.stopped or any(
            c.misses_ >= c.patience for c in stopping(net).values()
        )

    if checkpoint is not None:
        checkpoint.restore(net)
    net.notify("on_train_begin", X=None, y=None)
    try:
        if not stopped():
            net.fit_loop(*tensors, epochs=net.max_epochs - len(net.history))
    except KeyboardInterrupt:
        # skorch's early stopping raises it, too; any other is the user's
        if not stopped():
            raise
    net.notify("on_train_end", X=None, y=None)
