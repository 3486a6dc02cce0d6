"""PyTorch's scaled_dot_product_attention over ragged bags that are newest first, with its gradients.

    attention.py GIVEN.json    { x = q, k, v and the gradient of y, each [total, d]; offsets; heads }
"""
import json
import sys

import torch

given = json.load(open(sys.argv[1]))
q, k, v, g = (torch.tensor(x, dtype=torch.float64) for x in given["x"])
heads, at = given["heads"], given["offsets"]
leaves = [t.requires_grad_() for t in (q, k, v)]
parts = []
for begin, end in zip(at, at[1:]):
    if begin == end:
        continue

    def split(t):
        # [heads, n, d / heads], oldest first: then a row attends those in front of it
        return t[begin:end].flip(0).reshape(end - begin, heads, -1).transpose(0, 1)

    y = torch.nn.functional.scaled_dot_product_attention(split(q), split(k), split(v), is_causal=True)
    parts.append(y.transpose(0, 1).reshape(end - begin, -1).flip(0))
y = torch.cat(parts)
(y * g).sum().backward()
print(json.dumps({"y": y.tolist(), "gradients": [t.grad.tolist() for t in leaves]}))
