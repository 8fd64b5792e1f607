"""scikit-learn: `MLPClassifier` without hidden layers, one `partial_fit` per epoch."""

import importlib
from typing import Any

import numpy as np
from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

neural_network: Any = importlib.import_module("sklearn.neural_network")


def epoch(problem: Problem) -> Run:
    net = neural_network.MLPClassifier(
        hidden_layer_sizes=(),
        solver="sgd",
        alpha=2 * L2 * BATCH,  # its penalty is alpha / 2 * sum(w**2) / rows of the batch
        batch_size=BATCH,
        learning_rate_init=LEARNING_RATE,
        momentum=0.0,
        random_state=0,
    )
    net.partial_fit(problem.x[:BATCH], problem.y[:BATCH], classes=np.arange(problem.task.classes))  # makes the weights
    net.coefs_[0][...] = problem.weights[0]
    net.intercepts_[0][...] = 0.0

    def metrics(x: Any, y: Any, prefix: str = "") -> Result:
        p = net.predict_proba(x)
        loss = -float(np.log(p[np.arange(len(y)), y]).mean())
        cost = loss + L2 * float((net.coefs_[0] ** 2).sum())
        accuracy = float((p.argmax(axis=1) == y).mean())
        return {f"{prefix}cost": cost, f"{prefix}loss": loss, f"{prefix}accuracy": accuracy}

    def once() -> Result:
        net.partial_fit(problem.x, problem.y)
        return {**metrics(problem.x, problem.y), **metrics(problem.x_val, problem.y_val, "val_")}

    return repeated(once)
