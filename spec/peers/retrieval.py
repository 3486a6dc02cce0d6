"""Peer of the bench rows retrieval_*: two towers in eager PyTorch; words: torch, then adam or sparse (SparseAdam).

The same layers, first values, rates and data as lua/recsys/bench/retrieval.lua; seconds are of a median step.
"""
import math
import os
import statistics
import sys
import time

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

from common import bench, Timed

SPARSE = sys.argv[2] == "sparse"
WIDTH, NARROW, HIDDEN, TEMPERATURE, RATE = 64, 16, 128, 0.05, 1e-3
SIZES = (2, 7, 21, 3439)  # of the users' features
GENRES = 18
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)


class Data:
    """Interactions in order of time, features, and each user's items in a row, to take histories from."""

    def __init__(self, a):
        load = lambda key: torch.from_numpy(numpy.load(a[key])).long()
        self.users, self.items, self.features = load("user_codes"), load("item_codes"), load("features")
        self.n_users, self.n_items, self.rows = int(a["users"]), int(a["items"]), int(a["rows"])
        starts, values = load("genre_starts"), load("genre_values")
        lengths, most = starts[1:] - starts[:-1], int((starts[1:] - starts[:-1]).max())
        at = torch.arange(most)
        place = (starts[:-1, None] + at).clamp(max=len(values) - 1)
        self.genres = torch.where(at < lengths[:, None], values[place], GENRES)
        counts = torch.bincount(self.items, minlength=self.n_items)
        self.log_q = (counts.clamp(min=0.5) / self.rows).log().float()
        self.history = int(a["history"])
        if self.history:
            order = torch.sort(self.users, stable=True).indices
            self.sequence = self.items[order]
            self.place = torch.empty_like(order)
            self.place[order] = torch.arange(self.rows)
            first = torch.cumsum(torch.bincount(self.users, minlength=self.n_users), 0)
            self.first = torch.cat([torch.zeros(1, dtype=torch.long), first[:-1]])

    def histories(self, rows, users):
        """The last items before each row, newest first, n_items where there is none."""
        place = self.place[rows, None] - 1 - torch.arange(self.history)
        return torch.where(place >= self.first[users, None], self.sequence[place.clamp(min=0)], self.n_items)


def table(rows):
    return nn.Parameter(torch.randn(rows[0], rows[1]) * 0.1)


def layers(inputs):
    made = nn.Sequential(nn.Linear(inputs, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH))
    for layer in (made[0], made[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return made


class Towers(nn.Module):
    def __init__(self, data):
        super().__init__()
        self.data = data
        self.user, self.item = table((data.n_users, WIDTH)), table((data.n_items + 1, WIDTH))
        self.fields = nn.ParameterList([table((size, NARROW)) for size in SIZES])
        self.genre = table((GENRES + 1, NARROW))
        self.users = layers(WIDTH + 4 * NARROW + (WIDTH if data.history else 0))
        self.items = layers(WIDTH + NARROW)

    def forward(self, rows):
        data = self.data
        users, items = data.users[rows], data.items[rows]
        fields = data.features[users]
        parts = [F.embedding(users, self.user, sparse=SPARSE)]
        parts += [F.embedding(fields[:, k], t, sparse=SPARSE) for k, t in enumerate(self.fields)]
        if data.history:
            parts.append(F.embedding_bag(data.histories(rows, users), self.item, mode="mean", padding_idx=data.n_items, sparse=SPARSE))
        genres = F.embedding_bag(data.genres[items], self.genre, mode="mean", padding_idx=GENRES, sparse=SPARSE)
        item = torch.cat([F.embedding(items, self.item, sparse=SPARSE), genres], 1)
        return F.normalize(self.users(torch.cat(parts, 1)), dim=1), F.normalize(self.items(item), dim=1), items


def run(a):
    data = a["data"]
    model, batch, steps = Towers(data), int(a["batch"]), int(a["steps"])
    tables = [p for name, p in model.named_parameters() if not name.startswith(("users.", "items."))]
    dense = [*model.users.parameters(), *model.items.parameters()]
    if SPARSE:
        optimizers = [torch.optim.SparseAdam(tables, RATE), torch.optim.Adam(dense, RATE)]
    else:
        optimizers = [torch.optim.Adam([*tables, *dense], RATE)]
    labels, order, losses, marks = torch.arange(batch), torch.randperm(data.rows), [], [time.perf_counter()]
    for step in range(steps):
        rows = order[step * batch % (data.rows - batch) :][:batch]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
            optimizer.param_groups[0]["lr"] = RATE / 2 * (1 + math.cos(math.pi * step / steps))
        users, items, codes = model(rows)
        loss = F.cross_entropy(users @ items.t() / TEMPERATURE - data.log_q[codes], labels)
        losses.append(loss.item())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        marks.append(time.perf_counter())
    a["facts"] = {"first_loss": losses[0], "last_loss": statistics.mean(losses[-4:]), "steps": steps}
    return Timed(None, statistics.median(b - a for a, b in zip(marks[1:], marks[2:])))


bench(run, lambda a: a | {"data": Data(a)}, lambda a: a["facts"])
