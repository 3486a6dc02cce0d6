"""Peer of the bench row bpr_mf: BPR in eager PyTorch with SparseAdam; the epoch's seconds from the median step."""
import math
import os
import statistics
import time

import numpy
import torch
import torch.nn.functional as F

from common import Timed, bench

WIDTH, RATE, DECAY = 64, 1e-2, 1e-4
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)


def setup(a):
    return a | {key: torch.from_numpy(numpy.load(a[key])).long() for key in ("user_codes", "item_codes")}


def run(a):
    users, items, batch, steps = a["user_codes"], a["item_codes"], int(a["batch"]), int(a["steps"])
    tables = [torch.nn.Parameter(torch.randn(int(a[side]), WIDTH) * 0.1) for side in ("users", "items")]
    optimizer = torch.optim.SparseAdam(tables, RATE)
    order, losses, marks = torch.randperm(len(users)), [], [time.perf_counter()]
    for step in range(steps):
        rows = order[step * batch % (len(users) - batch) :][:batch]
        optimizer.zero_grad(set_to_none=True)
        optimizer.param_groups[0]["lr"] = RATE / 2 * (1 + math.cos(math.pi * step / steps))
        user = F.embedding(users[rows], tables[0], sparse=True)
        positive = F.embedding(items[rows], tables[1], sparse=True)
        negative = F.embedding(torch.randint(0, len(tables[1]), (batch,)), tables[1], sparse=True)
        loss = F.softplus((user * negative).sum(1) - (user * positive).sum(1)).mean()
        loss = loss + DECAY / 2 / batch * (user.pow(2).sum() + positive.pow(2).sum() + negative.pow(2).sum())
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        marks.append(time.perf_counter())
    a["facts"] = {"first_loss": losses[0], "last_loss": statistics.mean(losses[-4:]), "steps": steps}
    return Timed(None, statistics.median(y - x for x, y in zip(marks[1:], marks[2:])) * len(users) / batch)


bench(run, setup, lambda a: a["facts"])
