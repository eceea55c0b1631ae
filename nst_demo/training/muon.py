"""Muon for convolutions: momentum made orthogonal. Jordan et al., "Muon", 2024; arXiv 2502.16982.

Adam's steps let some directions of a kernel grow and others, and in the end whole channels, die.
Muon's go equally far in all directions that the gradient has.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


class ConvolutionMuon(keras.optimizers.Muon):
    """Keras' Muon, which takes matrices, with each convolution's kernel as one.

    A kernel (h, w, C, D) is a matrix (h w C, D), a stack of kernels (n, h, w, C, D) n of them. Of
    vectors, and of layers whose path has a word of `exclude_layers`, the step is Adam's.
    """

    def __init__(self, learning_rate: Any, **kwargs: Any):
        super().__init__(learning_rate, weight_decay=None, adam_weight_decay=None, **kwargs)

    def _should_use_adamw(self, variable) -> bool:
        excluded = any(word in variable.path for word in self.exclude_layers)
        return excluded or len(variable.shape) < 2

    def zeropower_via_newtonschulz5(self, x, steps: int):
        """As Keras', but as a loop: XLA compiles one step instead of five, for each kernel."""
        tall = x.shape[-2] > x.shape[-1]
        if tall:
            x = self.transpose_last_axis(x)

        def step(_, x):
            square = x @ self.transpose_last_axis(x)
            return self.muon_a * x + (self.muon_b * square + self.muon_c * square @ square) @ x

        x = x / (ops.norm(x, axis=(-2, -1), keepdims=True) + 1e-7)
        x = ops.fori_loop(0, steps, step, x)
        return self.transpose_last_axis(x) if tall else x

    def _muon_update_step(self, gradient, variable, lr, m) -> None:
        shape = variable.shape
        rows = int(np.prod(shape[-4:-1]))
        self.assign(m, self.momentum * m + gradient)
        ahead = ops.reshape(gradient + self.momentum * m, (-1, rows, shape[-1]))
        update = self.zeropower_via_newtonschulz5(ahead, self.ns_steps)
        # Steps as large as Adam's, so that one learning rate suits both (2502.16982, §2.2).
        scale = self.rms_rate * max(rows, shape[-1]) ** 0.5
        self.assign_sub(variable, ops.cast(lr, variable.dtype) * scale * ops.reshape(update, shape))
