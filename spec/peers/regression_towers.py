"""Peer of the bench row regression_towers; words: torch, then loader (a DataLoader, as the manual has it) or best.

"best" keeps the fastest of some loops without a DataLoader, each of which shuffles whole columns once an epoch: Adam one
tensor at a time, for all at once and fused, and the model as TorchScript, which fuses what it can.
"""
import os
import sys
import time
import warnings

import numpy
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset

from common import bench

warnings.filterwarnings("ignore", category=DeprecationWarning)
WIDTH, DROPOUT, RATE = 96, 0.16, 1e-3
SEEDS, EPOCHS = 8, 3
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)


def tower(inputs):
    return nn.Sequential(
        nn.Linear(inputs, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(), nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, WIDTH), nn.BatchNorm1d(WIDTH), nn.ReLU(),
    )


class Towers(nn.Module):
    def __init__(self, user, content):
        super().__init__()
        self.user, self.content, self.output = tower(user), tower(content), nn.Linear(2 * WIDTH, 1)
        for layer in self.modules():  # first values as ours
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, user, content):
        return self.output(torch.cat([self.user(user), self.content(content)], 1)).squeeze(1)


class Loop:
    def __init__(self, data, batch, script=False, **options):
        self.data, self.batch = data, batch
        self.model = Towers(data[0].shape[1], data[1].shape[1])
        self.model = torch.jit.script(self.model) if script else self.model
        self.optimizer = torch.optim.Adam(self.model.parameters(), RATE, **options)

    def step(self, user, content, target):
        self.optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.mse_loss(self.model(user, content), target)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def epoch(self):
        order = torch.randperm(len(self.data[0]))
        shuffled = [column.index_select(0, order) for column in self.data]
        losses = [self.step(*(c[i : i + self.batch] for c in shuffled)) for i in range(0, len(order), self.batch)]
        return sum(losses) / len(losses)


class WithLoader(Loop):
    def __init__(self, data, batch):
        super().__init__(data, batch)
        self.loader = DataLoader(TensorDataset(*data), batch_size=batch, shuffle=True)

    def epoch(self):
        losses = [self.step(*batch) for batch in self.loader]
        return sum(losses) / len(losses)


def fastest(data, batch):
    """The options of the loop whose later epochs take the least time."""
    options = [{}, {"foreach": True}, {"script": True, "foreach": True}]
    if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 4):
        options += [{"fused": True}, {"script": True, "fused": True}]
    best = None
    for option in options:
        loop, times = Loop(data, batch, **option), []
        for _ in range(4):
            began = time.perf_counter()
            loop.epoch()
            times.append(time.perf_counter() - began)
        if best is None or min(times[2:]) < best[0]:
            best = (min(times[2:]), option)
    return best[1]


def new_loop(data, batch, option):
    return WithLoader(data, batch) if sys.argv[2] == "loader" else Loop(data, batch, **option)


def setup(a):
    data, batch = [torch.from_numpy(numpy.load(a[key])) for key in ("user", "content", "target")], int(a["batch"])
    option = {} if sys.argv[2] == "loader" else fastest(data, batch)
    return {"loop": new_loop(data, batch, option), "data": data, "batch": batch, "option": option}


def run(state):
    state["loop"].epoch()


def losses_by_seed(state):
    """The losses of the first and the last of a few epochs, for each of some seeds."""
    losses = {"first": [], "last": []}
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        loop = new_loop(state["data"], state["batch"], state["option"])
        epochs = [loop.epoch() for _ in range(EPOCHS)]
        losses["first"].append(epochs[0])
        losses["last"].append(epochs[-1])
    return losses


bench(run, setup, lambda s: {"losses": losses_by_seed(s), "loop": s["option"]})
