"""The llama architecture in plain PyTorch, as small as it can be read."""

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    vocab: int = 260
    dim: int = 160
    layers: int = 6
    heads: int = 5
    kv_heads: int = 5
    ffn: int = 448
    context: int = 1024
    rope_base: float = 10_000.0
    eps: float = 1e-5

    def as_dict(self):
        return asdict(self)


def rope_angles(shape, device=None):
    half = shape.dim // shape.heads // 2
    inv = shape.rope_base ** (-torch.arange(half, device=device).float() / half)
    angles = torch.outer(torch.arange(shape.context, device=device).float(), inv)
    return angles.cos(), angles.sin()


def rotate(x, cos, sin):
    """Rotates pairs (2i, 2i+1) of the last axis: the layout llama's GGUF files use."""
    even, odd = x[..., 0::2], x[..., 1::2]
    out = torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1)
    return out.flatten(-2)


class Block(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        head = shape.dim // shape.heads
        self.attn_norm = nn.RMSNorm(shape.dim, shape.eps)
        self.q = nn.Linear(shape.dim, shape.heads * head, bias=False)
        self.k = nn.Linear(shape.dim, shape.kv_heads * head, bias=False)
        self.v = nn.Linear(shape.dim, shape.kv_heads * head, bias=False)
        self.o = nn.Linear(shape.heads * head, shape.dim, bias=False)
        self.ffn_norm = nn.RMSNorm(shape.dim, shape.eps)
        self.gate = nn.Linear(shape.dim, shape.ffn, bias=False)
        self.up = nn.Linear(shape.dim, shape.ffn, bias=False)
        self.down = nn.Linear(shape.ffn, shape.dim, bias=False)

    def forward(self, x, cos, sin, mask=None):
        batch, n, _ = x.shape
        shape, head = self.shape, self.shape.dim // self.shape.heads
        h = self.attn_norm(x)
        q = rotate(self.q(h).view(batch, n, shape.heads, head).transpose(1, 2), cos, sin)
        k = rotate(self.k(h).view(batch, n, shape.kv_heads, head).transpose(1, 2), cos, sin)
        v = self.v(h).view(batch, n, shape.kv_heads, head).transpose(1, 2)
        repeat = shape.heads // shape.kv_heads
        k, v = k.repeat_interleave(repeat, 1), v.repeat_interleave(repeat, 1)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(batch, n, -1))
        h = self.ffn_norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.embed = nn.Embedding(shape.vocab, shape.dim)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.dim, shape.eps)
        self.head = nn.Linear(shape.dim, shape.vocab, bias=False)
        cos, sin = rope_angles(shape)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("o.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / (2 * shape.layers) ** 0.5 if deep else 0.02 if "embed" in name else shape.dim**-0.5 * 0.8)

    def forward(self, ids):
        n = ids.shape[1]
        cos, sin = self.cos[:n], self.sin[:n]
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))

    @torch.no_grad()
    def answer(self, ids, end, n_max=400):
        """Greedy continuation until `end`."""
        ids = torch.tensor([ids])
        start = ids.shape[1]
        while ids.shape[1] - start < n_max and ids.shape[1] < self.shape.context:
            token = self(ids)[0, -1].argmax().item()
            if token == end:
                break
            ids = torch.cat((ids, torch.tensor([[token]])), dim=1)
        return ids[0, start:].tolist()
