"""What each tiny model is: a configuration that turns on one thing after another.

Folders are bf16 and GGUF files f32 with the same values unless a spec says otherwise ("dtype" is the
folder's, "gguf" the file's).
"""

import gguf
import torch
import transformers as t

VOCAB_SIZE = 64

COMMON = dict(
    vocab_size=VOCAB_SIZE,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    bos_token_id=0,
    eos_token_id=1,
    pad_token_id=None,
    rms_norm_eps=0.03,  # large enough to be missed if it is read wrongly
)


def rope(theta=10000.0, kind="default", **more):
    return {"rope_type": kind, "rope_theta": theta, **more}


def model(cls, published=None, spec=None, **config):
    return {"config": cls(**{**COMMON, **config}), "published": published or {}, **(spec or {})}


LLAMA3 = rope(
    500000.0,
    "llama3",
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = rope(10000.0, "yarn", factor=4.0, original_max_position_embeddings=128)
LONGROPE = rope(
    10000.0,
    "longrope",
    original_max_position_embeddings=256,
    short_factor=[1.0, 1.05, 1.2, 1.5],
    long_factor=[1.1, 1.9, 4.0, 9.0],
)
LONG_PROMPTS = [
    {"length": 24, "ctx": 256},
    {"length": 272, "ctx": 512, "first_row": 256},
    {"length": 24, "ctx": 512, "by_context": True},
]
GEMMA3_LAYERS = ["sliding_attention"] * 5 + ["full_attention"] + ["sliding_attention"]
F32 = {"dtype": torch.float32}
GELU = {"half_gelu": True}
EXPERTS = dict(num_experts_per_tok=2, router_aux_loss_coef=0.0)


def gemma3(scaling, spec, **more):
    return model(
        t.Gemma3TextConfig,
        spec=spec,
        num_hidden_layers=7,
        head_dim=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        sliding_window=8,
        query_pre_attn_scalar=16,
        layer_types=GEMMA3_LAYERS,
        rope_parameters={"full_attention": scaling, "sliding_attention": rope(10000.0)},
        **more,
    )


SPECS = {
    "llama": model(
        t.LlamaConfig,
        num_key_value_heads=4,
        spec={
            **F32,
            "without": ["head_dim", "num_key_value_heads", "mlp_bias"],
            "note": "as Llama 2: all heads, untied head",
        },
    ),
    "llama3": model(
        t.LlamaConfig,
        rope_parameters=LLAMA3,
        tie_word_embeddings=True,
        spec={"note": "rope_type llama3, grouped queries, tied head"},
    ),
    "llama_bias": model(
        t.LlamaConfig,
        attention_bias=True,
        mlp_bias=True,
        head_dim=12,
        spec={
            "new_style": True,
            "note": "biases on every product, head_dim not D/H, config of transformers 5",
        },
    ),
    "llama_linear": model(
        t.LlamaConfig,
        rope_parameters=rope(10000.0, "linear", factor=4.0),
        spec={"note": "linear rope scaling"},
    ),
    "llama_yarn": model(
        t.LlamaConfig,
        rope_parameters=YARN,
        spec={"note": "yarn rope scaling, adjacent pairs in GGUF"},
    ),
    "mistral": model(
        t.MistralConfig,
        sliding_window=8,
        head_dim=8,
        spec={
            "without": ["head_dim", "attention_bias"],
            "note": "sliding window in the folder; its GGUF file has none",
        },
    ),
    "mistral_full": model(
        t.MistralConfig,
        sliding_window=None,
        head_dim=16,
        spec={
            "gguf": gguf.LlamaFileType.MOSTLY_BF16,
            "note": "no window (v0.2 on), bf16, head_dim not D/H",
        },
    ),
    "qwen2": model(
        t.Qwen2Config,
        tie_word_embeddings=True,
        published={"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 1},
        spec={**F32, "note": "biases on q, k, v; tied; a window that use_sliding_window turns off"},
    ),
    "qwen15": model(
        t.Qwen2Config,
        num_key_value_heads=4,
        rope_parameters=rope(1000000.0),
        spec={
            "dtype": torch.float16,
            "gguf": gguf.LlamaFileType.MOSTLY_F16,
            "note": "as Qwen1.5: qwen2 with all heads, f16",
        },
    ),
    "qwen2_window": model(
        t.Qwen2Config,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=1,
        spec={"note": "window from layer 1 on (folder); its GGUF file has none"},
    ),
    "qwen2_yarn": model(
        t.Qwen2Config, rope_parameters=YARN, spec={"note": "yarn rope scaling, halves"}
    ),
    "qwen3": model(
        t.Qwen3Config,
        head_dim=16,
        rope_parameters=rope(1000000.0),
        spec={
            "shard": "25KB",
            "gguf_split": 8,
            "note": "q/k norms; sharded safetensors, split GGUF",
        },
    ),
    "gemma": model(
        t.GemmaConfig,
        head_dim=16,
        hidden_activation="gelu_pytorch_tanh",
        num_key_value_heads=1,
        spec={**F32, **GELU, "note": "one kv head"},
    ),
    "gemma2": model(
        t.Gemma2Config,
        head_dim=16,
        num_hidden_layers=4,
        sliding_window=8,
        query_pre_attn_scalar=16,
        attn_logit_softcapping=5.0,
        final_logit_softcapping=3.0,
        spec={**GELU, "note": "soft-caps low enough to bite; even layers windowed"},
    ),
    "gemma2_scalar": model(
        t.Gemma2Config,
        head_dim=16,
        num_hidden_layers=2,
        sliding_window=8,
        query_pre_attn_scalar=40,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        spec={
            **GELU,
            "new_style": True,
            "note": "query_pre_attn_scalar not head_dim: GGUF cannot say so",
        },
    ),
    "gemma2_27b": model(
        t.Gemma2Config,
        hidden_size=16,
        intermediate_size=16,
        head_dim=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_hidden_layers=46,
        sliding_window=8,
        query_pre_attn_scalar=8,
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        spec={
            **GELU,
            "gguf": gguf.LlamaFileType.MOSTLY_BF16,
            "post_norm_mean": -0.7,
            "drop_hf": True,
            "note": "46 layers: GGUF files of this depth scale by D/H, not head_dim",
        },
    ),
    "gemma3": gemma3(
        rope(1000000.0), {**GELU, "note": "5 windows to 1, two rope bases, q/k norms"}
    ),
    "gemma3_linear": gemma3(
        rope(1000000.0, "linear", factor=8.0),
        {
            **GELU,
            "new_style": True,
            "multimodal": True,
            "note": "global layers scaled by 8, inside a multimodal folder, as 4B and up",
        },
    ),
    "phi3": model(
        t.Phi3Config,
        num_key_value_heads=4,
        sliding_window=None,
        published={"original_max_position_embeddings": 512},
        spec={"note": "fused qkv and gate_up"},
    ),
    "phi3_window": model(
        t.Phi3Config,
        sliding_window=8,
        published={"original_max_position_embeddings": 512},
        spec={"note": "window in both files; llama.cpp ignores it", "follow_transformers": True},
    ),
    "phi3_longrope": model(
        t.Phi3Config,
        sliding_window=None,
        original_max_position_embeddings=256,
        max_position_embeddings=2048,
        rope_parameters=LONGROPE,
        spec={"prompts": LONG_PROMPTS, "note": "short and long factors"},
    ),
    "phi4_mini": model(
        t.Phi3Config,
        sliding_window=None,
        original_max_position_embeddings=256,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        num_attention_heads=2,
        num_key_value_heads=1,
        rope_parameters={**LONGROPE, "partial_rotary_factor": 0.5},
        spec={"prompts": LONG_PROMPTS, "note": "longrope on half of each head, tied"},
    ),
    "glm4": model(
        t.Glm4Config,
        head_dim=16,
        attention_bias=True,
        rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        spec={**F32, "note": "post norms, half of each head rotated in adjacent pairs"},
    ),
    "chatglm": model(
        t.GlmConfig,
        head_dim=8,
        attention_bias=True,
        rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        published={"layernorm_epsilon": 0.03},
        spec={"drop_hf": True, "fuse_qkv": True, "note": "ChatGLM2/3 as GGUF: fused qkv with bias"},
    ),
    "mixtral": model(
        t.MixtralConfig,
        num_local_experts=4,
        sliding_window=None,
        intermediate_size=24,
        **EXPERTS,
        spec={"note": "2 of 4 experts"},
    ),
    "qwen3moe": model(
        t.Qwen3MoeConfig,
        num_experts=6,
        moe_intermediate_size=16,
        norm_topk_prob=True,
        head_dim=16,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        **EXPERTS,
        spec={"note": "2 of 6 experts, weights normalised, q/k norms"},
    ),
}
