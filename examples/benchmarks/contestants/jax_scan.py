"""JAX: the whole epoch, shuffling and metrics included, in one compiled `lax.scan`."""

import functools
import importlib
from typing import Any

from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")


def loss_of(parameters: Any, x: Any, y: Any) -> Any:
    logits = x @ parameters["weight"] + parameters["bias"]
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()


def cost_of(parameters: Any, x: Any, y: Any) -> Any:
    return loss_of(parameters, x, y) + L2 * (parameters["weight"] ** 2).sum()


def metrics(parameters: Any, x: Any, y: Any) -> tuple[Any, Any, Any]:
    logits = x @ parameters["weight"] + parameters["bias"]
    loss = -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1).mean()
    return loss + L2 * (parameters["weight"] ** 2).sum(), loss, (logits.argmax(axis=1) == y).mean()


@functools.partial(jax.jit, donate_argnums=0)
def one_epoch(parameters: Any, key: Any, train: Any, validation: Any) -> Any:
    x, y = train
    order = jax.random.permutation(key, len(x)).reshape(-1, BATCH)

    def step(parameters: Any, rows: Any) -> Any:
        gradient = jax.grad(cost_of)(parameters, x[rows], y[rows])
        return jax.tree.map(lambda p, g: p - LEARNING_RATE * g, parameters, gradient), None

    parameters, _ = jax.lax.scan(step, parameters, order)
    return parameters, metrics(parameters, x, y), metrics(parameters, *validation)


def epoch(problem: Problem) -> Run:
    parameters = {"weight": jnp.array(problem.weights[0]), "bias": jnp.zeros(problem.task.classes)}
    train = jnp.array(problem.x), jnp.array(problem.y)
    validation = jnp.array(problem.x_val), jnp.array(problem.y_val)
    key = jax.random.key(0)

    def once() -> Result:
        nonlocal parameters, key
        key, now = jax.random.split(key)
        parameters, measured, val = one_epoch(parameters, now, train, validation)
        names = ("cost", "loss", "accuracy", "val_cost", "val_loss", "val_accuracy")
        return dict(zip(names, map(float, (*measured, *val)), strict=True))

    return repeated(once)


def predict(problem: Problem) -> Run:
    weight, x, y = jnp.array(problem.weights[0]), jnp.array(problem.x_val), jnp.array(problem.y_val)
    accuracy = jax.jit(lambda weight, x, y: ((x @ weight).argmax(axis=1) == y).mean())
    return repeated(lambda: {"accuracy": float(accuracy(weight, x, y))})
