"""Ways to fit a behavior probe to pooled hidden states."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn

from surgery.errors import InputError, SurgeryWarning
from surgery.probe.probe import Probe
from surgery.states.pooled_tokens import Pooling
from surgery.texts.text_split import same_texts, split_texts

FEWEST_TEXTS = 10
# Of logistic regression by L-BFGS.
STEPS = 1000

# The paper's (Table 14), which has no weight decay.
ADAM: dict[str, Any] = {"lr": 1e-4, "epochs": 9, "batch_size": 16, "weight_decay": 0.0}

Array = NDArray[np.floating[Any]]
Weights = tuple[torch.Tensor, torch.Tensor]


class ProbeOptions(TypedDict, total=False):
    """What `fit_probe` takes beside the texts and their split.

    Attributes:
        lr, epochs, batch_size: of `adam`; the defaults are the paper's (Table 14).
        weight_decay: of `adam` (L2, on the weight alone). The paper has none. The larger it is, the closer the
            direction comes to the difference of the class means; without it, texts that can be separated perfectly
            leave the direction to whatever separates them first.
        classes, layer, pooling, model_fingerprint, data_fingerprint: noted in the probe.
    """

    lr: float
    epochs: int
    batch_size: int
    weight_decay: float
    classes: tuple[str, str]
    layer: int | None
    pooling: Pooling
    model_fingerprint: str | None
    data_fingerprint: str | None


def _adam(
    features: torch.Tensor,
    labels: torch.Tensor,
    seed: int,
    *,
    lr: float,
    epochs: int,
    batch_size: int,
    weight_decay: float,
) -> Weights:
    """The paper's probe (Table 14): cross-entropy on a raw 2×d softmax classifier, Adam, shuffled batches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = nn.Linear(features.shape[1], 2)
        # The bias is left free: shrunk to zero it would move the threshold away from the data.
        decayed: dict[str, Any] = {"params": [classifier.weight], "weight_decay": weight_decay}
        optimizer = torch.optim.Adam([decayed, {"params": [classifier.bias]}], lr=lr)
        for _ in range(epochs):
            for batch in torch.randperm(len(features)).split(batch_size):
                loss = nn.functional.cross_entropy(classifier(features[batch]), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return classifier.weight.detach(), classifier.bias.detach()


def _symmetric(direction: torch.Tensor, offset: float) -> Weights:
    """The 2×d classifier of least norm whose logits differ by direction·x + offset: rows ∓direction/2."""
    return torch.stack([-direction, direction]) / 2, torch.tensor([-offset, offset]) / 2


def _regression(features: Array, labels: NDArray[np.integer[Any]]) -> LogisticRegression:
    """With scikit-learn's L2 penalty of strength 1; says so where it did not reach its optimum."""
    with warnings.catch_warnings():
        # Five lines, about what none of our settings changes.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(max_iter=STEPS).fit(features, labels)
    if model.n_iter_.max() >= STEPS:
        what = f"the logistic probe stopped after {STEPS:,} steps, before its optimum; its accuracy is in the record"
        warnings.warn(what, SurgeryWarning, stacklevel=2)
    return model


def _logistic(features: torch.Tensor, labels: torch.Tensor) -> Weights:
    """Logistic regression of the states as they are."""
    model = _regression(features.numpy(), labels.numpy())
    return _symmetric(torch.tensor(model.coef_[0], dtype=torch.float32), float(model.intercept_[0]))


def _mean_difference(features: torch.Tensor, labels: torch.Tensor) -> Weights:
    """Rows ∓(μ₁ − μ₀)/2, with the threshold half-way between the class means μ."""
    means = [features[labels == label].mean(0) for label in (0, 1)]
    direction = means[1] - means[0]
    return _symmetric(direction, -float(direction @ (means[0] + means[1]) / 2))


def _random(replaced: Weights, seed: int) -> Weights:
    """Gaussian rows with the norms of the rows they replace (Table 9, "random probe")."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(replaced[0].shape, generator=generator)
    return noise * (replaced[0].norm(dim=1) / noise.norm(dim=1)).unsqueeze(1), torch.zeros(2)


def _checked(features: torch.Tensor, labels: torch.Tensor, test_share: float, texts: Sequence[str] | None) -> None:
    if features.dim() != 2 or len(features) != len(labels):
        raise InputError(f"features [n, d] and labels [n] don't match: {list(features.shape)}, {len(labels)} labels")
    if not features.isfinite().all():
        rows = int((~features.isfinite().all(1)).sum())
        raise InputError(f"the hidden states of {rows} of {len(features)} texts hold NaN or infinite numbers")
    if unknown := set(labels.tolist()) - {0, 1}:
        raise InputError(f"labels are 0 and 1; these hold {sorted(unknown)}")
    counts = {label: int((labels == label).sum()) for label in (0, 1)}
    for label, count in counts.items():
        if count < FEWEST_TEXTS:
            which = "to avoid (class 1)" if label else "of the others (class 0)"
            raise InputError(
                f"a probe needs at least {FEWEST_TEXTS} texts a class; the class {which} has {count} of {len(labels)}"
            )
    if texts is not None and len(texts) != len(labels):
        raise InputError(f"there are {len(texts)} texts for {len(labels)} labels")
    if not 0 < test_share < 1:
        raise InputError(f"probe.test_share={test_share} is not a share; it lies between 0 and 1")


def _split_with_both_classes(
    labels: torch.Tensor, test_share: float, seed: int, texts: Sequence[str] | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The split as tensors; an InputError where a part would lack a class, so that no loss is a mean of nothing."""
    try:
        train, test = (torch.from_numpy(part) for part in split_texts(labels, test_share, seed, texts))
    except ValueError:  # scikit-learn's, when a part is smaller than the number of classes
        train = test = torch.empty(0, dtype=torch.long)
    if any(labels[part].unique().numel() < 2 for part in (train, test)):
        different = "" if texts is None else f" ({len(set(same_texts(texts)))} different)"
        raise InputError(
            f"probe.test_share={test_share} of {len(labels)} texts{different} leaves the training or the test texts "
            "without one of the classes; take a share nearer to the paper's 0.1"
        )
    return train, test


def fit_probe(
    features: torch.Tensor,
    labels: Sequence[int] | torch.Tensor,
    method: str = "adam",
    *,
    test_share: float = 0.1,
    seed: int = 0,
    texts: Sequence[str] | None = None,
    replaces: Probe | None = None,
    **options: Unpack[ProbeOptions],
) -> Probe:
    """Fits a probe on a random training share of the texts and measures it on the rest.

    Args:
        features: pooled hidden states [n, d].
        labels: n labels, 1 for the behavior to move away from, 0 for the rest.
        method: `adam` (the paper's), `logistic`, `mean_difference`, or `random` (Gaussian, with the norms of the probe
            it replaces).
        test_share: share of the texts kept for testing; the paper's is 0.1.
        seed: of the split, of `adam`'s start and batches, and of `random`.
        texts: n texts that the features are of, so that copies of one stay on one side of the split (see
            `surgery.texts.text_split`); without them all count as different.
        replaces: the probe whose norms `random` takes; without one, an `adam` probe is fitted for it.
        options: the numbers of `adam`, and what is noted in the probe.

    Returns:
        The probe, with metrics `train_accuracy`, `test_accuracy`, `train_loss`, `test_loss` and the test loss a
        class, `loss_avoided` and `loss_other` (cross-entropy in nats), the share of the larger class in the test
        texts, `test_majority`, and the numbers of texts.

    Raises:
        InputError: for an unknown method, a class with fewer than 10 texts, or numbers that are not finite.
    """
    features = features.detach().float().cpu()
    labels = torch.as_tensor(labels).long().cpu()
    _checked(features, labels, test_share, texts)
    train, test = _split_with_both_classes(labels, test_share, seed, texts)
    x, y = features[train], labels[train]
    numbers: dict[str, Any] = {name: options.get(name, default) for name, default in ADAM.items()}

    def adam() -> Weights:
        return _adam(x, y, seed, **numbers)

    fits: dict[str, Callable[[], Weights]] = {
        "adam": adam,
        "logistic": lambda: _logistic(x, y),
        "mean_difference": lambda: _mean_difference(x, y),
        "random": lambda: _random((replaces.weight, replaces.bias) if replaces else adam(), seed),
    }
    if method not in fits:
        raise InputError(f"probe method '{method}' is unknown; it is one of {', '.join(fits)}")
    weight, bias = fits[method]()
    noted: dict[str, Any] = {name: value for name, value in options.items() if name not in ADAM}
    probe = Probe(weight, bias, method=method, **noted)
    distinct = len(test) if texts is None else len(set(same_texts([texts[i] for i in test])))
    return replace(probe, metrics=_metrics(probe, (x, y), (features[test], labels[test]), distinct))


def _metrics(probe: Probe, trained: Weights, tested: Weights, distinct: int) -> dict[str, float]:
    """What `fit_probe` tells, of (features, labels) it was trained and tested on."""
    test_losses, test_labels = probe.losses(*tested), tested[1]
    return {
        "train_accuracy": probe.accuracy(*trained),
        "test_accuracy": probe.accuracy(*tested),
        "train_loss": float(probe.losses(*trained).mean()),
        "test_loss": float(test_losses.mean()),
        "loss_avoided": float(test_losses[test_labels == 1].mean()),
        "loss_other": float(test_losses[test_labels == 0].mean()),
        "test_majority": max(float((test_labels == label).double().mean()) for label in (0, 1)),
        "n_train": len(trained[1]),
        "n_test": len(test_labels),
        "n_test_distinct": distinct,
    }
