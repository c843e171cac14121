"""Blocks of every tensor type with their values, and a one-layer model in every quantised type.

Run by hand:  python make_tensor_types.py
Values come from the `gguf` package and, independently, from ggml's own C functions: both must say the
same bits. Model files are quantised by ggml; their logits come from llama.cpp (which rounds
activations to 8 bits) and from transformers on the decoded weights (which does not).
"""

import ctypes
import json
import sys
import zlib
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Type

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from llama_cpp_logits import Model, relative_error  # noqa: E402

GGML = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
GGML.ggml_quantize_chunk.restype = ctypes.c_size_t

FLOATS = [Type.F32, Type.F16, Type.BF16]
QUANTISED = [
    Type.Q4_0,
    Type.Q4_1,
    Type.Q5_0,
    Type.Q5_1,
    Type.Q8_0,
    Type.Q2_K,
    Type.Q3_K,
    Type.Q4_K,
    Type.Q5_K,
    Type.Q6_K,
    Type.IQ4_NL,
    Type.IQ4_XS,
    Type.MXFP4,
]
# Byte offsets of the half-precision scales inside a block.
SCALES = {
    Type.Q4_0: [0],
    Type.Q4_1: [0, 2],
    Type.Q5_0: [0],
    Type.Q5_1: [0, 2],
    Type.Q8_0: [0],
    Type.Q2_K: [80, 82],
    Type.Q3_K: [108],
    Type.Q4_K: [0, 2],
    Type.Q5_K: [0, 2],
    Type.Q6_K: [208],
    Type.IQ4_NL: [0],
    Type.IQ4_XS: [0],
}
HARD_HALVES = [0.0, -0.0, 6e-8, -6e-8, 6.1e-5, 6.104e-5, -0.037, 1.0, 1024.0, 65504.0, -65504.0]
HARD_EXPONENTS = [0, 1, 2, 3, 126, 127, 128, 129, 252]  # beyond 252 a value overflows f32
TIED_IN_TYPE = [Type.Q4_0, Type.Q8_0, Type.Q6_K]

D, F, H, G, DH, V, T = 256, 256, 4, 1, 64, 64, 12


def random_blocks(kind):
    """Random bytes under sane scales, then one block per hard scale, then all bits set and clear."""
    rng = np.random.default_rng(zlib.crc32(kind.name.encode()))
    _, size = gguf.GGML_QUANT_SIZES[kind]
    hard = HARD_EXPONENTS if kind == Type.MXFP4 else HARD_HALVES
    blocks = rng.integers(0, 256, (8 + len(hard) + 2, size), dtype=np.uint8)
    blocks[-2], blocks[-1] = 0xFF, 0x00
    for i, block in enumerate(blocks):
        j = i - 8
        if kind == Type.MXFP4:
            block[0] = hard[j] if 0 <= j < len(hard) else rng.integers(110, 135)
        for n, offset in enumerate(SCALES.get(kind, [])):
            sane = rng.normal() * 10.0 ** rng.integers(-3, 1)
            value = hard[(j + n) % len(hard)] if 0 <= j < len(hard) else sane
            block[offset : offset + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)
    return blocks.reshape(-1)


def random_floats(kind):
    rng = np.random.default_rng(zlib.crc32(kind.name.encode()))
    if kind == Type.F32:
        hard = [0.0, -0.0, 1e-45, -1e-40, 1.1754944e-38, 3.4028235e38, np.inf, -np.inf]
        return np.concatenate([rng.normal(size=56), hard]).astype("<f4").view(np.uint8)
    hard = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x3C00]
    hard += [0x007F, 0x0080, 0x7F7F, 0x7F80, 0xFF80, 0x3F80] if kind == Type.BF16 else []
    codes = np.concatenate([rng.integers(0x1000, 0x5000, 64 - len(hard)), hard]).astype("<u2")
    return codes.view(np.uint8)


def decode_with_ggml(kind, blocks):
    values, size = gguf.GGML_QUANT_SIZES[kind]
    count = blocks.size // size * values
    out = np.empty(count, np.float32)
    function = {Type.F16: "ggml_fp16_to_fp32_row", Type.BF16: "ggml_bf16_to_fp32_row"}.get(
        kind, "dequantize_row_" + kind.name.lower().replace("_k", "_K")
    )
    getattr(GGML, function)(
        blocks.ctypes.data_as(ctypes.c_void_p),
        out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(count),
    )
    return out


def make_blocks(kind):
    blocks = random_floats(kind) if kind in FLOATS else random_blocks(kind)
    values = gguf.quants.dequantize(blocks.reshape(1, -1), kind).reshape(-1).astype("<f4")
    if kind != Type.F32:
        theirs = decode_with_ggml(kind, blocks)
        same = (values.view(np.uint32) == theirs.view(np.uint32)) | ((values == 0) & (theirs == 0))
        assert same.all(), (kind, np.flatnonzero(~same)[:8], values[~same][:8], theirs[~same][:8])
        values = theirs.astype("<f4")
    name = kind.name.lower()
    blocks.tofile(HERE / f"{name}.blocks")
    values.tofile(HERE / f"{name}.f32")
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    return {
        "type": kind.name,
        "ggml_type": int(kind),
        "block_values": per_block,
        "block_bytes": size,
        "blocks": f"{name}.blocks",
        "values": f"{name}.f32",
    }


def quantize(kind, weights):
    rows, columns = weights.shape
    weights = np.ascontiguousarray(weights, np.float32)
    per_block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((rows, columns // per_block * size), np.uint8)
    written = GGML.ggml_quantize_chunk(
        ctypes.c_int(int(kind)),
        weights.ctypes.data_as(ctypes.c_void_p),
        out.ctypes.data_as(ctypes.c_void_p),
        ctypes.c_int64(0),
        ctypes.c_int64(rows),
        ctypes.c_int64(columns),
        None,
    )
    assert written == out.size
    return out


def permuted(weights, heads):
    """Rows as folders have them, from rows as GGUF files of the llama family have them."""
    return weights.reshape(heads, DH // 2, 2, -1).swapaxes(1, 2).reshape(weights.shape)


def transformers_logits(weights, ids):
    config = transformers.LlamaConfig(
        vocab_size=V,
        hidden_size=D,
        intermediate_size=F,
        num_hidden_layers=1,
        num_attention_heads=H,
        num_key_value_heads=G,
        head_dim=DH,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        attn_implementation="eager",
    )
    model = transformers.LlamaForCausalLM(config).eval()
    layer = "model.layers.0."
    names = {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "blk.0.attn_norm": layer + "input_layernorm",
        "blk.0.attn_q": layer + "self_attn.q_proj",
        "blk.0.attn_k": layer + "self_attn.k_proj",
        "blk.0.attn_v": layer + "self_attn.v_proj",
        "blk.0.attn_output": layer + "self_attn.o_proj",
        "blk.0.ffn_norm": layer + "post_attention_layernorm",
        "blk.0.ffn_gate": layer + "mlp.gate_proj",
        "blk.0.ffn_up": layer + "mlp.up_proj",
        "blk.0.ffn_down": layer + "mlp.down_proj",
    }
    state = {
        names[k] + ".weight": torch.from_numpy(np.array(v, np.float32)) for k, v in weights.items()
    }
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].numpy()


def make_model(kind):
    rng = np.random.default_rng(zlib.crc32(kind.name.encode()) + 1)
    path = HERE / f"{kind.name.lower()}.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(D)
    writer.add_block_count(1)
    writer.add_feed_forward_length(F)
    writer.add_head_count(H)
    writer.add_head_count_kv(G)
    writer.add_key_length(DH)
    writer.add_value_length(DH)
    writer.add_rope_dimension_count(DH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(V)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<s>", "</s>", "\u0120", "\u010a"] + [chr(c) for c in range(65, 61 + V)])
    writer.add_token_types([3, 3] + [1] * (V - 2))
    writer.add_token_merges(["A B"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    decoded = {}

    def gain(name):
        decoded[name] = (1.0 + 0.25 * rng.normal(size=D)).astype(np.float32)
        writer.add_tensor(name + ".weight", decoded[name])

    def matrix(name, rows, columns, scale=1.3, as_type=kind):
        weights = (scale * columns**-0.5 * rng.normal(size=(rows, columns))).astype(np.float32)
        if as_type == Type.F16:
            decoded[name] = weights.astype(np.float16)
            writer.add_tensor(name + ".weight", decoded[name])
            return
        data = quantize(as_type, weights)
        decoded[name] = gguf.quants.dequantize(data, as_type)
        writer.add_tensor(name + ".weight", data, raw_dtype=as_type)

    matrix("token_embd", V, D, 12.0, kind if kind in TIED_IN_TYPE else Type.F16)
    gain("output_norm")
    gain("blk.0.attn_norm")
    matrix("blk.0.attn_q", H * DH, D, 0.8)
    matrix("blk.0.attn_k", G * DH, D, 0.8)
    matrix("blk.0.attn_v", G * DH, D)
    matrix("blk.0.attn_output", D, H * DH, 0.6)
    gain("blk.0.ffn_norm")
    matrix("blk.0.ffn_gate", F, D)
    matrix("blk.0.ffn_up", F, D)
    matrix("blk.0.ffn_down", D, F, 0.6)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()

    decoded["blk.0.attn_q"] = permuted(decoded["blk.0.attn_q"], H)
    decoded["blk.0.attn_k"] = permuted(decoded["blk.0.attn_k"], G)
    ids = rng.integers(0, V, T).tolist()
    exact = transformers_logits(decoded, ids)
    model = Model(path)
    rounded = model.logits(ids)
    model.close()
    name = kind.name.lower()
    exact.astype("<f4").tofile(HERE / f"{name}.transformers.f32")
    rounded.astype("<f4").tofile(HERE / f"{name}.llama_cpp.f32")
    error = relative_error(rounded, exact)
    print(f"{kind.name}: 8-bit activations change logits by {error:.2e} (std {exact.std():.2f})")
    return {
        "type": kind.name,
        "gguf": path.name,
        "prompt": ids,
        "vocab_size": V,
        "tied_in_type": kind in TIED_IN_TYPE,
        "exact_logits": f"{name}.transformers.f32",
        "llama_cpp_logits": f"{name}.llama_cpp.f32",
        "exact_tolerance": 1e-3,
        "llama_cpp_tolerance": 2e-2,
        "oracles_differ_by": float(f"{error:.2g}"),
    }


def main():
    index = {
        "blocks": [make_blocks(k) for k in FLOATS + QUANTISED],
        "models": [make_model(k) for k in QUANTISED],
    }
    lines = [
        f' "{key}": [\n  ' + ",\n  ".join(json.dumps(e) for e in entries) + "\n ]"
        for key, entries in index.items()
    ]
    (HERE / "index.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
