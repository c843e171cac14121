"""The demo models' shape: a small Llama with tied embeddings, in PyTorch.

RoPE turns adjacent pairs, as GGUF's "llama" architecture expects it, so that export needs no permutation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass
class Shape:
    model_dim: int = 256
    ffn_dim: int = 512
    num_layers: int = 6
    num_heads: int = 8
    num_kv_heads: int = 4
    head_dim: int = 32
    vocab_size: int = 2048
    context: int = 1024
    rope_base: float = 10000.0
    eps: float = 1e-5


SHAPES = {"4m": Shape(), "1m": Shape(ffn_dim=256, num_layers=2, num_kv_heads=2)}


def rope(x, cos, sin):
    """x (B, H, T, Dh); cos, sin (T, Dh/2) or (B, 1, T, Dh/2)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


class Block(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.attn_norm = nn.Parameter(torch.ones(s.model_dim))
        self.attn_q = nn.Linear(s.model_dim, s.num_heads * s.head_dim, bias=False)
        self.attn_k = nn.Linear(s.model_dim, s.num_kv_heads * s.head_dim, bias=False)
        self.attn_v = nn.Linear(s.model_dim, s.num_kv_heads * s.head_dim, bias=False)
        self.attn_output = nn.Linear(s.num_heads * s.head_dim, s.model_dim, bias=False)
        self.ffn_norm = nn.Parameter(torch.ones(s.model_dim))
        self.ffn_gate = nn.Linear(s.model_dim, s.ffn_dim, bias=False)
        self.ffn_up = nn.Linear(s.model_dim, s.ffn_dim, bias=False)
        self.ffn_down = nn.Linear(s.ffn_dim, s.model_dim, bias=False)

    def forward(self, x, cos, sin, mask, cache=None):
        s = self.s
        batch, tokens, _ = x.shape
        h = F.rms_norm(x, (s.model_dim,), self.attn_norm, s.eps)
        q = self.attn_q(h).view(batch, tokens, s.num_heads, s.head_dim).transpose(1, 2)
        k = self.attn_k(h).view(batch, tokens, s.num_kv_heads, s.head_dim).transpose(1, 2)
        v = self.attn_v(h).view(batch, tokens, s.num_kv_heads, s.head_dim).transpose(1, 2)
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        if cache is not None:
            if cache:
                k, v = torch.cat((cache[0], k), 2), torch.cat((cache[1], v), 2)
            cache[:] = [k, v]
        group = s.num_heads // s.num_kv_heads
        attended = F.scaled_dot_product_attention(
            q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=mask
        )
        x = x + self.attn_output(attended.transpose(1, 2).reshape(batch, tokens, -1))
        h = F.rms_norm(x, (s.model_dim,), self.ffn_norm, s.eps)
        return x + self.ffn_down(F.silu(self.ffn_gate(h)) * self.ffn_up(h))


class Llama(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.s = s
        self.token_embd = nn.Embedding(s.vocab_size, s.model_dim)
        self.blk = nn.ModuleList(Block(s) for _ in range(s.num_layers))
        self.output_norm = nn.Parameter(torch.ones(s.model_dim))
        nn.init.normal_(self.token_embd.weight, std=0.02)
        for block in self.blk:
            for name, weight in block.named_parameters():
                if weight.dim() == 2:
                    nn.init.normal_(
                        weight,
                        std=0.02 if not name.startswith(("attn_output", "ffn_down")) else 0.005,
                    )
        half = torch.arange(s.head_dim // 2) / (s.head_dim // 2)
        angles = torch.arange(s.context)[:, None] * (s.rope_base**-half)[None]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids, mask, start=0, caches=None):
        """ids (B, T) -> logits (B, T, V). mask (B, 1, T, S) is true where a token may look."""
        tokens = ids.shape[1]
        cos, sin = self.cos[start : start + tokens], self.sin[start : start + tokens]
        x = self.token_embd(ids)
        for i, block in enumerate(self.blk):
            x = block(x, cos, sin, mask, None if caches is None else caches[i])
        return F.linear(
            F.rms_norm(x, (self.s.model_dim,), self.output_norm, self.s.eps), self.token_embd.weight
        )
