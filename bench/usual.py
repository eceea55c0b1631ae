"""The usual implementation of image optimisation, to compare with: PyTorch, its L-BFGS, the photo.

The loss is that of our default recipe, so that losses compare; how it is minimised is that of the
PyTorch tutorial and of neural-style-pt. PyTorch is no dependency: where it is not installed `here`
is False, and the benches leave these columns out.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from nst_demo import backbones, recipes

HISTORY = 100  # steps that L-BFGS remembers: PyTorch's default
VGG_MEAN = (103.939, 116.779, 123.68)  # of BGR, as Keras' preprocessing takes off


def here() -> bool:
    return importlib.util.find_spec("torch") is not None


class Loss:
    """The default recipe's loss on a backbone, channels last: tensors (1, 3, h, w) -> ()."""

    def __init__(self, backbone: str, photo: np.ndarray, style: np.ndarray):
        """Pictures (h, w, 3), the style at the size at which its statistics are taken."""
        import torch  # pyright: ignore[reportMissingImports]

        self.torch, self.recipe, self.lite = torch, recipes.DEFAULT, backbone == "lite"
        network = backbones.load(backbone)
        names = backbones.architecture(backbone).layers
        self.layers = names[: names.index("block5_conv1") + 1]
        self.kernels = {}
        for name in self.layers:
            kernel, bias = map(torch.tensor, network.get_layer(name).get_weights())
            kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
            self.kernels[name] = kernel, bias
        self.readouts = {
            layer: (torch.from_numpy(readout.kernel), torch.from_numpy(readout.bias))
            for layer, readout in backbones.readouts(backbone).items()
        }
        with torch.no_grad():
            styled = self._features(self.tensor(style))
            self.grams = {layer: self._gram(styled, layer) for layer, _ in self.recipe.style_layers}
            own = self._features(self._framed(self.tensor(photo)))
            self.structure = {
                layer: self._structure(own, layer) for layer, _ in self.recipe.content_layers
            }

    def tensor(self, picture: np.ndarray):
        return self.torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()

    def _framed(self, x):
        return self.torch.nn.functional.pad(x, 4 * [self.recipe.margin], mode="reflect")

    def _features(self, x) -> dict[str, Any]:
        functional, found = self.torch.nn.functional, {}
        if self.lite:
            x = functional.pad(2 * x - 1, 4 * [1], mode="replicate")
        else:
            x = 255 * x.flip(1) - self.torch.tensor(VGG_MEAN)[:, None, None]
        x = x.contiguous(memory_format=self.torch.channels_last)
        for layer in self.layers:
            if layer.endswith("conv1") and layer[5] != "1":
                x = functional.max_pool2d(x, 2)
            padding = 0 if self.lite and not found else 1
            x = found[layer] = functional.conv2d(x, *self.kernels[layer], padding=padding).relu()
        return found

    def _gram(self, found, layer: str):
        """Of the features read as VGG19's, from the sums of those that are there."""
        flat = found[layer].permute(0, 2, 3, 1).reshape(-1, found[layer].shape[1])
        gram = flat.T @ flat / len(flat)
        if layer not in self.readouts:
            return gram
        kernel, bias = self.readouts[layer]
        cross = (flat.mean(0) @ kernel)[:, None] * bias
        return kernel.T @ gram @ kernel + cross + cross.T + bias[:, None] * bias

    def _structure(self, found, layer: str):
        features = found[layer]
        if layer in self.readouts:
            kernel, bias = self.readouts[layer]
            features = self.torch.nn.functional.conv2d(features, kernel.T[:, :, None, None], bias)
        mean = features.mean((2, 3), keepdim=True)
        variance = features.var((2, 3), correction=0, keepdim=True)
        return (features - mean) / (variance + 1e-5).sqrt()

    def __call__(self, x):
        recipe, x = self.recipe, self._framed(x)
        found = self._features(x)
        content = sum(
            weight * (self._structure(found, layer) - self.structure[layer]).square().mean()
            for layer, weight in recipe.content_layers
        )
        style: Any = 0.0
        for layer, weight in recipe.style_layers:
            wanted = self.grams[layer]
            off = self._gram(found, layer) - wanted
            style = style + weight * off.square().sum() / wanted.square().sum()
        down, right = x[:, :, 1:] - x[:, :, :-1], x[..., 1:] - x[..., :-1]
        return (
            recipe.content_weight * content
            + recipe.style_weight * style
            + recipe.variation_weight * (down.square().mean() + right.square().mean())
            + recipe.range_weight * (x - x.clamp(0, 1)).square().mean()
        )


def evaluation(backbone: str, photo: np.ndarray, style: np.ndarray) -> Callable[[], object]:
    """One evaluation of the loss and its gradient."""
    loss = Loss(backbone, photo, style)

    def evaluate():
        x = loss.tensor(photo).requires_grad_()
        loss(x).backward()
        return x.grad

    return evaluate


def lbfgs(
    backbone: str, photo: np.ndarray, style: np.ndarray, evaluations: int
) -> tuple[float, float]:
    """The least loss of so many evaluations from the photo, and the seconds with preparation."""
    started, losses = time.perf_counter(), []
    loss = Loss(backbone, photo, style)
    x = loss.tensor(photo).requires_grad_()
    optimizer = loss.torch.optim.LBFGS(
        [x],
        max_iter=evaluations,
        max_eval=evaluations,
        tolerance_grad=-1,
        tolerance_change=-1,
        history_size=HISTORY,
    )

    def closure():
        optimizer.zero_grad()
        value = loss(x)
        value.backward()
        losses.append(value.item())
        return value

    optimizer.step(closure)
    return min(losses), time.perf_counter() - started
