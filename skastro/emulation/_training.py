"""One training run of one network, in skorch."""

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import LRScheduler
from torch import nn

from ..utils.networks import (
    net_settings,
    optimizer_class,
    resolve_device,
    training_threads,
)
from ..utils.seeds import torch_seed

#: Optimiser steps of a fit with ``max_epochs="auto"``.
AUTO_STEPS = 3000


def criterion(loss, huber_delta):
    """Return the torch criterion of a loss name, with its parameters for skorch."""
    if loss == "huber":
        return nn.SmoothL1Loss, {"criterion__beta": float(huber_delta)}
    return {"squared_error": nn.MSELoss, "absolute_error": nn.L1Loss}[loss], {}


def train_network(module, module_params, X, y, *, validation, settings, seed, title):
    """Train one network.

    Parameters
    ----------
    module : type of torch.nn.Module
        Network class.
    module_params : dict
        Its arguments.
    X, y : ndarray of float32
        Scaled training data.
    validation : tuple of ndarray or None
        Held-out data for early stopping.
    settings : EmulatorRegressor
        The estimator, read for its training parameters.
    seed : int
        Seed of weights and batches.
    title : str
        Heading of the progress bar.

    Returns
    -------
    net : skorch.NeuralNet
        Trained.
    """
    device = resolve_device(settings.device)
    common, steps_per_epoch = net_settings(
        settings, len(X), AUTO_STEPS, validation, title, device
    )
    loss, loss_params = criterion(settings.loss, settings.huber_delta)
    optimizer_params = {}
    if settings.optimizer != "adam":
        optimizer_params["optimizer__weight_decay"] = settings.weight_decay
    if settings.lr_schedule == "one_cycle":
        schedule = LRScheduler(
            policy=torch.optim.lr_scheduler.OneCycleLR,
            step_every="batch",
            monitor=None,
            max_lr=settings.lr,
            # one more than is taken, or the last step would be refused
            total_steps=common["max_epochs"] * steps_per_epoch + 1,
            pct_start=0.15,
            cycle_momentum=False,
        )
        common["callbacks"].insert(0, ("schedule", schedule))
    tensors = [torch.from_numpy(a).to(device) for a in (X, y)]
    with torch_seed(seed, device):
        net = NeuralNet(
            module,
            loss,
            **{f"module__{name}": value for name, value in module_params.items()},
            **loss_params,
            **optimizer_params,
            **common,
            optimizer=optimizer_class(settings.optimizer),
        )
        net.initialize()
        with training_threads(net.module_, device):
            net.partial_fit(*tensors)
    # a trained network has no more need of the held-out samples
    net.train_split = None
    return net


def restore_network(module, module_params, state, settings):
    """Rebuild a trained network from its weights.

    Parameters
    ----------
    module : type of torch.nn.Module
        Network class.
    module_params : dict
        Its arguments.
    state : dict of str to ndarray
        Its weights, by the names of the module's parameters.
    settings : EmulatorRegressor
        The estimator, read for its device.

    Returns
    -------
    net : skorch.NeuralNet
        Initialised, without history.
    """
    with torch_seed(0):
        net = NeuralNet(
            module,
            nn.MSELoss,
            **{f"module__{name}": value for name, value in module_params.items()},
            train_split=None,
            device=resolve_device(settings.device),
            verbose=0,
        ).initialize()
    net.module_.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    return net


def affine(values, kind):
    """Return shift and scale that bring the columns of ``values`` to one range.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_columns)
        Training data.
    kind : {"standard", "minmax", None}
        To zero mean and unit variance, to [0, 1], or not at all.

    Returns
    -------
    shift, scale : ndarray of shape (n_columns,)
        ``(values - shift) / scale`` is in the range. The scale of a constant column
        is 0: it carries nothing to scale.
    """
    values = values.astype(np.float64, copy=False)
    if kind is None:
        return np.zeros(values.shape[1]), np.ones(values.shape[1])
    if kind == "standard":
        shift, scale = values.mean(axis=0), values.std(axis=0)
    else:
        shift = values.min(axis=0)
        scale = values.max(axis=0) - shift
    tiny = 10 * np.finfo(np.float64).eps * np.abs(values).max(axis=0)
    return shift, np.where(scale > tiny, scale, 0.0)
