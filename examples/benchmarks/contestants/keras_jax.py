"""Keras 3 on JAX: `compile`, `fit`, `evaluate`."""

import importlib
from typing import Any

import numpy as np
from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

importlib.import_module("jax")
keras: Any = importlib.import_module("keras")


def epoch(problem: Problem) -> Run:
    layer = keras.layers.Dense(problem.task.classes, kernel_regularizer=keras.regularizers.L2(L2))
    net = keras.Sequential([keras.Input((problem.x.shape[1],)), layer])
    layer.set_weights([problem.weights[0], np.zeros(problem.task.classes)])
    net.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="plain")],
    )

    def metrics(x: Any, y: Any, prefix: str = "") -> Result:
        seen = net.evaluate(x, y, batch_size=1000, verbose=0, return_dict=True)
        names = {"cost": "loss", "loss": "plain", "accuracy": "accuracy"}  # Keras calls the cost "loss"
        return {prefix + ours: float(seen[theirs]) for ours, theirs in names.items()}

    def once() -> Result:
        net.fit(problem.x, problem.y, batch_size=BATCH, epochs=1, verbose=0)
        return {**metrics(problem.x, problem.y), **metrics(problem.x_val, problem.y_val, "val_")}

    return repeated(once)
