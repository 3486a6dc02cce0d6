"""What the servers of serve_fastapi.py and serve_bare.py do: the model of one of our bundles, in NumPy and in PyTorch.

A known user's features and history are looked up, the user tower runs over them, all items are scored at once, those that he
has seen are left out, and the best are answered in the shape of our own /recommend. What can be prepared is: codes, histories, ids
as text, directions.
"""
import json
import tarfile
import time
import uuid

import numpy as np
from safetensors.numpy import load

# Features of the event side: the table that its codes have, the item feature they are, and how many events back it looks.
HISTORIES = [("item.id.table", "item.id", 50), ("item.id.table", "item.id", 5), ("item.categories.table", "item.categories", 50),
             ("item.categories.table", "item.categories", 5), ("language.table", "item.language", 50),
             ("district.table", "item.district", 50), ("item.source.table", "item.source", 50)]
FEATURES = [("user.id.table", "user.id"), ("user.platform.table", "user.platform"), ("user.os_version.table", "user.os_version"),
            ("user.model.table", "user.model"), ("user.network.table", "user.network"), ("district.table", "user.district"),
            ("language.table", "user.language")]


def texts(member, name):
    data, at = member[name + ".bytes"].tobytes(), member[name + ".offsets"].tolist()
    return [data[a:b].decode() for a, b in zip(at, at[1:])]


class Model:
    def __init__(self, path):
        with tarfile.open(path) as tar:
            member = lambda name: load(tar.extractfile(name + ".safetensors").read())
            items, users, self.weights = member("items"), member("users"), member("weights")
            item_codes, user_codes, history = member("items.features"), member("users.features"), member("history")
            manifest = json.load(tar.extractfile("manifest.json"))
        self.version, self.now = "%s-%s" % (manifest["name"], manifest["version"]), manifest["serving"]["as_of"]
        self.vectors = np.ascontiguousarray(items["vectors"])
        content = self.vectors[:, :manifest["model"].get("likeness")]
        self.directions = content / np.linalg.norm(content, axis=1, keepdims=True)
        self.ids, self.titles = texts(items, "ids"), texts(items, "titles")
        self.rows = {id: i for i, id in enumerate(texts(users, "ids"))}
        self.codes = [(self.weights[table], user_codes[name]) for table, name in FEATURES]
        self.starts, self.seen = history["starts"].tolist(), history["items"]
        self.histories = [(self.weights[table], self.codes_of(item_codes, name), length) for table, name, length in HISTORIES]
        w = self.weights
        self.layers = [(w["user.0.weight"], w["user.0.bias"]), (w["user.out.weight"], w["user.out.bias"])]

    @staticmethod
    def codes_of(item_codes, name):
        """The codes of a row of items: a function of rows."""
        if name in item_codes:
            column = item_codes[name]
            return lambda rows: column[rows]
        values, starts = item_codes[name + ".values"], item_codes[name + ".starts"]
        lists = [values[s:s + n] for s, n in zip(starts.tolist(), item_codes[name + ".lengths"].tolist())]
        return lambda rows: np.concatenate([lists[i] for i in rows.tolist()])

    def vector(self, row, seen):
        parts = [table[codes[row]] for table, codes in self.codes]
        for table, codes, length in self.histories:
            rows = codes(seen[-length:])
            parts.append(np.add.reduce(table[rows]) / np.float32(len(rows)))
        x = np.concatenate(parts)
        (w0, b0), (w1, b1) = self.layers
        u = w1 @ np.maximum(w0 @ x + b0, 0) + b1
        return u * np.float32(5 / max(float(u @ u) ** 0.5, 1e-12))

    def recommend(self, user, k):
        row = self.rows[user]
        seen = self.seen[self.starts[row]:self.starts[row + 1]]
        scores = self.vectors @ self.vector(row, seen)
        scores[seen] = -np.inf
        best = np.argpartition(scores, -k)[-k:]
        best = best[np.argsort(-scores[best], kind="stable")]
        return best, scores[best].tolist(), seen

    def recommend_loop(self, user, k):
        """One item after another, as handlers of recommenders often do."""
        import torch
        row = self.rows[user]
        seen = self.seen[self.starts[row]:self.starts[row + 1]]
        skip, scored = set(seen.tolist()), []
        with torch.no_grad():
            u = torch.from_numpy(self.vector(row, seen))
            for i in range(len(self.ids)):
                if i not in skip:
                    scored.append((torch.dot(u, torch.from_numpy(self.vectors[i])).item(), i))
        scored.sort(key=lambda pair: -pair[0])
        return np.array([i for _, i in scored[:k]]), [score for score, _ in scored[:k]], seen

    def answer(self, user, best, scores, seen, began):
        """The whole answer, as ours is: each item with what of the user's latest 20 it is most alike."""
        latest = seen[-20:]
        cosines = self.directions[best] @ self.directions[latest].T
        at = cosines.argmax(1)
        reasons = [[{"kind": "like", "item": self.ids[i], "cosine": c}] if c > 0 else []
                   for i, c in zip(latest[at].tolist(), cosines[np.arange(len(at)), at].tolist())]
        items = [{"id": self.ids[i], "title": self.titles[i], "score": s, "rank": n + 1, "source": "model", "reasons": r}
                 for n, (i, s, r) in enumerate(zip(best.tolist(), scores, reasons))]
        return {"user": user, "known": True, "now": self.now, "items": items, "filtered": {"seen": len(set(seen.tolist())), "rule": 0},
                "fallback": None, "missing": None, "foreign": 0, "unknown": 0, "model_version": self.version,
                "request_id": uuid.uuid4().hex, "latency_ms": round((time.perf_counter() - began) * 1e3, 3)}
