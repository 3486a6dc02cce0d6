"""Peer of the bench row sas_rec: SASRec in eager PyTorch, sequences padded to the batch's longest behind their last item,
so that causal attention needs no mask of its own, and logits of what is no padding alone; the epoch's seconds from the
median step."""
import math
import os
import statistics
import time

import numpy
import torch
import torch.nn.functional as F

from common import Timed, bench

DIM, BLOCKS, HEADS, DROPOUT, RATE = 128, 2, 1, 0.2, 1e-3
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
torch.manual_seed(1)


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value, self.output, self.first, self.second = (torch.nn.Linear(DIM, DIM) for _ in range(6))
        self.attention_norm, self.hidden_norm = torch.nn.LayerNorm(DIM), torch.nn.LayerNorm(DIM)

    def forward(self, x):
        n, length, _ = x.shape

        def split(t):
            return t.view(n, length, HEADS, DIM // HEADS).transpose(1, 2)

        h = self.attention_norm(x)
        y = F.scaled_dot_product_attention(split(self.query(h)), split(self.key(h)), split(self.value(h)), dropout_p=DROPOUT, is_causal=True)
        x = x + F.dropout(self.output(y.transpose(1, 2).reshape(n, length, DIM)), DROPOUT)
        h = F.dropout(F.relu(self.first(self.hidden_norm(x))), DROPOUT)
        return x + F.dropout(self.second(h), DROPOUT)


class SASRec(torch.nn.Module):
    def __init__(self, items, length):
        super().__init__()
        self.items, self.places = torch.nn.Embedding(items, DIM), torch.nn.Embedding(length, DIM)
        for table in (self.items, self.places):
            torch.nn.init.normal_(table.weight, std=0.1)
        # first values as ours has them
        self.blocks, self.norm = torch.nn.ModuleList(Block() for _ in range(BLOCKS)), torch.nn.LayerNorm(DIM)
        for layer in self.modules():
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.xavier_uniform_(layer.weight)
                torch.nn.init.zeros_(layer.bias)

    def forward(self, codes):
        x = self.items(codes) * math.sqrt(DIM) + self.places.weight[: codes.shape[1]]
        x = F.dropout(x, DROPOUT)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def setup(a):
    users, items = (numpy.load(a[key]) for key in ("user_codes", "item_codes"))
    order, length = numpy.argsort(users, kind="stable"), int(a["length"])
    bounds = numpy.searchsorted(users[order], numpy.arange(int(a["users"]) + 1))
    items = torch.from_numpy(items[order]).long()

    def cut(begin, end):
        # as ours: of a user all rows, in sequences of 'length' pairs from the newest on
        return [items[max(begin, stop - length - 1) : stop] for stop in range(end, begin + 1, -length)]

    a["sequences"] = [cut(begin, end) for begin, end in zip(bounds, bounds[1:])]
    return a


def run(a):
    batch, steps, sequences = int(a["batch"]), int(a["steps"]), a["sequences"]
    model = SASRec(int(a["items"]), int(a["length"])).train()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    order, losses, marks = torch.randperm(len(sequences)), [], [time.perf_counter()]
    for step in range(steps):
        some = [s for u in order[step * batch :][:batch] for s in sequences[u]]
        inputs = torch.nn.utils.rnn.pad_sequence([s[:-1] for s in some], batch_first=True)
        lengths = torch.tensor([len(s) - 1 for s in some])
        real = torch.arange(inputs.shape[1]) < lengths[:, None]
        optimizer.zero_grad(set_to_none=True)
        optimizer.param_groups[0]["lr"] = RATE / 2 * (1 + math.cos(math.pi * step / steps))
        logits = model(inputs)[real] @ model.items.weight.T
        loss = F.cross_entropy(logits, torch.cat([s[1:] for s in some]))
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        marks.append(time.perf_counter())
    a["facts"] = {"first_loss": losses[0], "last_loss": statistics.mean(losses[-4:]), "steps": steps}
    return Timed(None, statistics.median(y - x for x, y in zip(marks[1:], marks[2:])) * len(sequences) / batch)


bench(run, setup, lambda a: a["facts"])
