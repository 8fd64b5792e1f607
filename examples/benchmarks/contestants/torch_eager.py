"""PyTorch as in its tutorials: modules, autograd, torch.optim."""

import importlib
from collections.abc import Callable
from typing import Any

from tasks import ADAM_RATE, BATCH, CHANNELS, L2, LEARNING_RATE, MOMENTUM, Problem, Result, Run, repeated

torch: Any = importlib.import_module("torch")


def epoch(problem: Problem, prepared: Callable[..., Any] = lambda function: function) -> Run:
    net = linear(problem.weights[0])
    cross_entropy = torch.nn.CrossEntropyLoss()
    loss_of = prepared(lambda x, y: cross_entropy(net(x), y))
    # L2 is lambda * sum(w**2); weight_decay adds weight_decay * w to the gradient; no decay of the bias
    groups = [{"params": [net.weight], "weight_decay": 2 * L2}, {"params": [net.bias], "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=LEARNING_RATE)
    train = torch.from_numpy(problem.x), torch.from_numpy(problem.y)
    validation = torch.from_numpy(problem.x_val), torch.from_numpy(problem.y_val)

    def once() -> Result:
        for rows in torch.randperm(len(train[0])).split(BATCH):
            optimizer.zero_grad()
            loss_of(train[0][rows], train[1][rows]).backward()
            optimizer.step()
        return {**metrics(net, *train), **metrics(net, *validation, prefix="val_")}

    return repeated(once)


def metrics(net: Any, x: Any, y: Any, prefix: str = "") -> Result:
    with torch.no_grad():
        outputs = net(x)
        loss = torch.nn.functional.cross_entropy(outputs, y).item()
        penalty = L2 * (net.weight**2).sum().item()
        right = (outputs.argmax(dim=1) == y).float().mean().item()
    return {f"{prefix}cost": loss + penalty, f"{prefix}loss": loss, f"{prefix}accuracy": right}


def predict(problem: Problem) -> Run:
    net, x, y = linear(problem.weights[0]), torch.from_numpy(problem.x_val), torch.from_numpy(problem.y_val)

    def once() -> Result:
        with torch.inference_mode():
            return {"accuracy": (net(x).argmax(dim=1) == y).float().mean().item()}

    return repeated(once)


def mlp(problem: Problem) -> Run:
    layers: list[Any] = []
    for weight in problem.weights:
        layers += [linear(weight), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    return steps(problem, net, torch.optim.Adam(net.parameters(), lr=ADAM_RATE), torch.from_numpy(problem.x))


def conv(problem: Problem) -> Run:
    layers: list[Any] = []
    for inputs, outputs, weight in zip((3, *CHANNELS), CHANNELS, problem.weights, strict=False):
        layer = torch.nn.Conv2d(inputs, outputs, 3, padding=1)
        start(layer, weight.transpose(3, 2, 0, 1))
        layers += [layer, torch.nn.ReLU(), torch.nn.MaxPool2d(2)]
    # The dense layer's rows go by (height, width, channel); torch flattens (channel, height, width).
    last = problem.weights[-1].reshape(4, 4, CHANNELS[-1], -1).transpose(2, 0, 1, 3).reshape(problem.weights[-1].shape)
    net = torch.nn.Sequential(*layers, torch.nn.Flatten(), linear(last))
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    return steps(problem, net, optimizer, torch.from_numpy(problem.x).reshape(-1, 3, 32, 32))


def steps(problem: Problem, net: Any, optimizer: Any, x: Any) -> Run:
    loss_of = torch.nn.CrossEntropyLoss()
    y = torch.from_numpy(problem.y)

    def once() -> Result:
        optimizer.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    return repeated(once)


def linear(weight: Any) -> Any:
    layer = torch.nn.Linear(*weight.shape)
    start(layer, weight.T)
    return layer


def start(layer: Any, weight: Any) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight.copy()))
        layer.bias.zero_()
