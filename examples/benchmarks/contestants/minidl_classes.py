"""minidl, as in its README."""

from tasks import ADAM_RATE, BATCH, CHANNELS, L2, LEARNING_RATE, MOMENTUM, Problem, Result, Run, repeated

import minidl as dl
from minidl._core.types import Array


def epoch(problem: Problem) -> Run:
    trainer = dl.Trainer(softmax_model(problem), dl.SGD(LEARNING_RATE), rng=0)
    train, validation = dl.Dataset(problem.x, problem.y), dl.Dataset(problem.x_val, problem.y_val)

    def run(times: int) -> Result:
        row = trainer.fit(train, validation, epochs=times, batch_size=BATCH).rows[-1]
        return {name: row[name] for name in ("cost", "loss", "accuracy", "val_cost", "val_loss", "val_accuracy")}

    return run


def predict(problem: Problem) -> Run:
    model = softmax_model(problem)
    return repeated(lambda: {"accuracy": dl.accuracy(model.predict(problem.x_val), problem.y_val)})


def mlp(problem: Problem) -> Run:
    layers: list[dl.Layer] = []
    for weight in problem.weights:
        layers += [dense(weight), dl.ReLU()]
    return steps(problem, dl.Sequential(*layers[:-1]), dl.Adam(ADAM_RATE), problem.x)


def conv(problem: Problem) -> Run:
    layers: list[dl.Layer] = []
    for inputs, outputs, weight in zip((3, *CHANNELS), CHANNELS, problem.weights, strict=False):
        layer = dl.Conv2D(inputs, outputs, 3, padding="same")
        layer.weight.value = weight
        layers += [layer, dl.ReLU(), dl.MaxPool2D(2)]
    network = dl.Sequential(*layers, dl.Flatten(), dense(problem.weights[-1]))
    return steps(problem, network, dl.SGD(LEARNING_RATE, momentum=MOMENTUM), dl.images_from_rows(problem.x))


def softmax_model(problem: Problem) -> dl.Model:
    return dl.Model(dense(problem.weights[0]), dl.SoftmaxCrossEntropy(), dl.L2(L2))


def dense(weight: Array) -> dl.Dense:
    layer = dl.Dense(*weight.shape)
    layer.weight.value = weight
    return layer


def steps(problem: Problem, network: dl.Layer, optimizer: dl.Optimizer, x: Array) -> Run:
    model = dl.Model(network, dl.SoftmaxCrossEntropy())

    def once() -> Result:
        _, loss = model.compute_gradients(x, problem.y)
        optimizer.step(model.parameters)
        return {"loss": loss}

    return repeated(once)
