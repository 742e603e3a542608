"""One training run of one network, in skorch."""

from contextlib import contextmanager

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from .._random import torch_seed

#: Optimiser steps of a fit with ``max_epochs="auto"``.
AUTO_STEPS = 3000

#: Widest layer of a network that is trained on one thread.
SMALL_NETWORK = 256


def optimizer_class(name):
    """Return the torch optimiser of a name."""
    if name == "soap":
        from pytorch_optimizer import SOAP

        return SOAP
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]


@contextmanager
def training_threads(module, device):
    """Train small networks on one thread.

    Their matrix products are too small to share: more threads wait for each other
    longer than they compute. It also makes a fit independent of the number of cores.
    """
    widest = max(max(p.shape) for p in module.parameters())
    threads = torch.get_num_threads()
    if device == "cpu" and widest <= SMALL_NETWORK:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class TensorBatches:
    """Batches of a data set that is held in tensors, without a loop over its rows.

    Every epoch is cut into batches of equal size, up to one row, so that no batch is
    too small to be a fair sample.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        With tensors ``X`` and ``y``.
    batch_size : int
        Largest size of a batch.
    shuffle : bool, default=False
        Whether to draw a new order each epoch.
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        self.X, self.y = dataset.X, dataset.y
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self):
        return -(-len(self.X) // self.batch_size)

    def __iter__(self):
        if self.shuffle:
            order = torch.randperm(len(self.X)).to(self.X.device)
            for rows in torch.tensor_split(order, len(self)):
                yield self.X[rows], self.y[rows]
        else:
            yield from zip(
                torch.tensor_split(self.X, len(self)),
                torch.tensor_split(self.y, len(self)),
                strict=True,
            )


class ProgressBar(Callback):
    """A progress bar over the epochs, with the latest losses."""

    def __init__(self, description):
        self.description = description

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        from tqdm.auto import tqdm

        self.bar_ = tqdm(total=net.max_epochs, desc=self.description, unit="epoch")

    def on_epoch_end(self, net, **kwargs):
        """Advance it."""
        last = net.history[-1]
        losses = {"loss": f"{last['train_loss']:.2e}"}
        if "valid_loss" in last:
            losses["validation"] = f"{last['valid_loss']:.2e}"
        self.bar_.set_postfix(losses, refresh=False)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close it."""
        self.bar_.close()
        del self.bar_


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
    batch_size = min(settings.batch_size, len(X))
    steps_per_epoch = -(-len(X) // batch_size)
    max_epochs = settings.max_epochs
    if max_epochs == "auto":
        max_epochs = max(1, round(AUTO_STEPS / steps_per_epoch))
    loss, loss_params = criterion(settings.loss, settings.huber_delta)
    optimizer_params = {}
    if settings.optimizer != "adam":
        optimizer_params["optimizer__weight_decay"] = settings.weight_decay

    callbacks = []
    if settings.clip_gradient_norm is not None:
        callbacks.append(("clip", GradientNormClipping(settings.clip_gradient_norm)))
    if settings.lr_schedule == "one_cycle":
        schedule = LRScheduler(
            policy=torch.optim.lr_scheduler.OneCycleLR,
            step_every="batch",
            monitor=None,
            max_lr=settings.lr,
            # one more than is taken, or the last step would be refused
            total_steps=max_epochs * steps_per_epoch + 1,
            pct_start=0.15,
            cycle_momentum=False,
        )
        callbacks.append(("schedule", schedule))
    if validation is not None:
        # a cycle is completed: its loss falls in the end
        one_cycle = settings.lr_schedule == "one_cycle"
        stopping = EarlyStopping(
            monitor="valid_loss",
            patience=max_epochs if one_cycle else settings.n_iter_no_change,
            threshold=0.0,
            threshold_mode="abs",
            load_best=True,
            sink=lambda message: None,
        )
        callbacks.append(("early_stopping", stopping))
    if settings.verbose:
        callbacks.append(("progress", ProgressBar(title)))
    callbacks += list(settings.callbacks or ())

    tensors = [torch.from_numpy(a).to(device) for a in (X, y)]
    split = None
    if validation is not None:
        split = predefined_split(
            Dataset(*(torch.from_numpy(a).to(device) for a in validation))
        )
    with torch_seed(seed, device):
        net = NeuralNet(
            module,
            loss,
            **{f"module__{name}": value for name, value in module_params.items()},
            **loss_params,
            **optimizer_params,
            optimizer=optimizer_class(settings.optimizer),
            lr=settings.lr,
            max_epochs=max_epochs,
            batch_size=batch_size,
            iterator_train=TensorBatches,
            iterator_train__shuffle=True,
            iterator_valid=TensorBatches,
            train_split=split,
            callbacks=callbacks,
            callbacks__print_log=None,
            device=device,
            verbose=0,
        )
        net.initialize()
        with training_threads(net.module_, device):
            net.partial_fit(*tensors)
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


def resolve_device(device):
    """Return the torch device of a ``device`` parameter.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, … or ``"auto"``: CUDA where there is one.

    Returns
    -------
    device : str

    Raises
    ------
    ValueError
        If CUDA is asked for and there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"`device` is {device!r}, which torch does not know; use 'cpu', 'cuda' or"
            " 'auto'."
        ) from None
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"`device` is {device!r}, but torch finds no CUDA device; use 'cpu' or"
            " 'auto'."
        )
    return device


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
