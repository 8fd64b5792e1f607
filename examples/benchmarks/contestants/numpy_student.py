"""The loop of a course: float64, samples in columns, one-hot targets, one formula per line."""

import numpy as np
from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

from minidl._core.types import Array


def epoch(problem: Problem) -> Run:
    rng = np.random.default_rng(0)
    X, X_val = problem.x.T.astype(np.float64), problem.x_val.T.astype(np.float64)
    classes = problem.task.classes
    Y = np.eye(classes)[problem.y].T
    W = problem.weights[0].T.astype(np.float64)
    b = np.zeros((classes, 1))

    def probabilities(X: Array) -> Array:
        s = W @ X + b
        e = np.exp(s - s.max(axis=0))
        return np.asarray(e / e.sum(axis=0))

    def metrics(X: Array, y: Array, prefix: str = "") -> Result:
        P = probabilities(X)
        loss = -np.log(P[y, np.arange(len(y))]).mean()
        accuracy = (P.argmax(axis=0) == y).mean()
        cost = loss + L2 * (W**2).sum()
        return {f"{prefix}cost": float(cost), f"{prefix}loss": float(loss), f"{prefix}accuracy": float(accuracy)}

    def once() -> Result:
        nonlocal W, b
        order = rng.permutation(X.shape[1])
        for i in range(0, X.shape[1], BATCH):
            rows = order[i : i + BATCH]
            X_batch, Y_batch = X[:, rows], Y[:, rows]
            G = probabilities(X_batch) - Y_batch
            W = W - LEARNING_RATE * (G @ X_batch.T / BATCH + 2 * L2 * W)
            b = b - LEARNING_RATE * G.mean(axis=1, keepdims=True)
        return {**metrics(X, problem.y), **metrics(X_val, problem.y_val, "val_")}

    return repeated(once)
