"""A loop written by hand for this model: the operations of minidl, without its classes and checks."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

from minidl._core.types import Array
from minidl.data.prefetch import prefetched
from minidl.nn.arithmetic import IN_PIECES, product


def epoch(problem: Problem) -> Run:
    return loop(problem, product, prefetched if IN_PIECES else iter, np.asfortranarray, 2500)


def loop(
    problem: Problem,
    multiply: Callable[..., Array],
    hand_over: Callable[[Iterator[Any]], Iterator[Any]],
    reorder: Callable[[Array], Array],
    block: int,
) -> Run:
    rng = np.random.default_rng(0)
    weight = np.asfortranarray(problem.weights[0])
    bias = np.zeros(problem.task.classes, np.float32)

    def softmax_loss(x: Array, y: Array) -> tuple[Array, Array, float]:
        logits = multiply(x, weight)
        logits += bias
        logits = reorder(logits)
        shifted = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        sums = p.sum(axis=1, keepdims=True)
        p /= sums
        losses = np.log(sums[:, 0]) - shifted[np.arange(len(y)), y]
        return logits, p, float(losses.sum(dtype=np.float64)) / len(y)

    def metrics(x: Array, y: Array, prefix: str = "") -> Result:
        loss = accuracy = 0.0
        for i in range(0, len(x), block):
            logits, _, mean = softmax_loss(x[i : i + block], y[i : i + block])
            loss += mean * len(logits) / len(x)
            accuracy += float((logits.argmax(axis=1) == y[i : i + block]).sum()) / len(x)
        penalty = L2 * float(np.vdot(weight, weight))
        return {f"{prefix}cost": loss + penalty, f"{prefix}loss": loss, f"{prefix}accuracy": accuracy}

    def batches() -> Iterator[tuple[Array, Array]]:
        order = rng.permutation(len(problem.x))
        for i in range(0, len(order), BATCH):
            rows = order[i : i + BATCH]
            yield problem.x[rows], problem.y[rows]

    def once() -> Result:
        for x, y in hand_over(batches()):
            _, d, loss = softmax_loss(x, y)
            cost = loss + L2 * float(np.vdot(weight, weight))
            assert np.isfinite(cost)  # noqa: S101  (minidl shows both to callbacks; here they must be used somehow)
            d[np.arange(len(y)), y] -= 1.0
            d /= len(y)
            gradient = multiply(d.T, x).T
            gradient += 2 * L2 * weight
            weight.__isub__(LEARNING_RATE * gradient)
            bias.__isub__(LEARNING_RATE * d.sum(axis=0))
        return {**metrics(problem.x, problem.y), **metrics(problem.x_val, problem.y_val, "val_")}

    return repeated(once)
