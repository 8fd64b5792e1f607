"""PyTorch with its compiler: forward, loss and backward of a step in one compiled graph."""

import importlib
from typing import Any

from contestants.torch_eager import linear, metrics
from tasks import BATCH, L2, LEARNING_RATE, Problem, Result, Run, repeated

torch: Any = importlib.import_module("torch")


def epoch(problem: Problem) -> Run:
    net = linear(problem.weights[0])
    loss_of = torch.compile(lambda x, y: torch.nn.functional.cross_entropy(net(x), y))
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
