"""Tiny random models of every architecture and their logits.

Run by hand:  LLAMA_CPP_SOURCE=path/to/llama.cpp python make_architectures.py [NAME...]
Transformers makes the model and its logits; llama.cpp's own converter makes the GGUF file; llama.cpp
then says what it thinks of that file. Where the two agree the logits of transformers are the
expected ones for both files; where llama.cpp means something else by its file, it has a case of
its own. See ../README.md for the format of index.json.
"""

import argparse
import json
import os
import re
import shutil
import string
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers

HERE = Path(__file__).resolve().parent
SOURCE = Path(os.environ["LLAMA_CPP_SOURCE"])
sys.path[:0] = [str(HERE.parent), str(SOURCE / "gguf-py"), str(SOURCE)]

import gguf  # noqa: E402
import conversion  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from llama_cpp_logits import Model, relative_error  # noqa: E402
from specs import SPECS, VOCAB_SIZE  # noqa: E402

TRANSFORMERS = f"transformers {transformers.__version__}"
LLAMA_CPP = "llama.cpp in llama-cpp-python 0.3.36"
AGREE = 2e-4  # relative error up to which the two oracles are taken to say the same


def byte_level_tokens():
    """V tokens of a byte-level BPE: three special, space, newline, printable ASCII, one merge."""
    tokens = ["<s>", "</s>", "<unk>", "\u0120", "\u010a"]
    tokens += list(string.ascii_letters + string.digits + string.punctuation)[
        : VOCAB_SIZE - len(tokens) - 1
    ]
    return tokens + ["ab"], ["a b"]


def write_tokenizer(folder):
    tokens, merges = byte_level_tokens()
    special = [
        {
            "id": i,
            "content": t,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, t in enumerate(tokens[:3])
    ]
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": special,
                "normalizer": None,
                "pre_tokenizer": byte_level,
                "post_processor": None,
                "decoder": byte_level,
                "model": {
                    "type": "BPE",
                    "dropout": None,
                    "unk_token": None,
                    "continuing_subword_prefix": None,
                    "end_of_word_suffix": None,
                    "fuse_unk": False,
                    "byte_fallback": False,
                    "vocab": {t: i for i, t in enumerate(tokens)},
                    "merges": merges,
                },
            }
        )
    )
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<s>",
                "eos_token": "</s>",
                "unk_token": "<unk>",
                "add_bos_token": False,
            }
        )
    )


def set_vocab(self):
    """Stands in for the converter's vocabulary, which only knows published tokenizers."""
    tokens, merges = byte_level_tokens()
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer = self.gguf_writer
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([control] * 3 + [normal] * (len(tokens) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_unk_token_id(2)
    writer.add_add_bos_token(False)


def randomize(model, seed, post_norm_mean=0.0):
    """Matrices keep the size of what they multiply, so that attention and logits are lively."""
    generator = torch.Generator().manual_seed(seed)

    def normal(p, std, mean=0.0):
        p.copy_(mean + std * torch.randn(p.shape, generator=generator))

    embedding = model.get_input_embeddings().weight
    gain_mean = 0.0 if model.config.model_type.startswith("gemma") else 1.0
    scaled_embedding = model.config.model_type.startswith("gemma")
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            if p is embedding:
                tied = model.config.tie_word_embeddings
                normal(p, p.shape[1] ** -0.5 if scaled_embedding else 0.5 if tied else 1.0)
            elif p.ndim == 1:
                mean = gain_mean if name.endswith("weight") else 0.0
                normal(p, 0.25, mean + (post_norm_mean if "post_" in name else 0.0))
            elif "gate.weight" in name or "router" in name:
                normal(p, 3.0 * p.shape[-1] ** -0.5)
            else:
                normal(p, 1.3 * p.shape[-1] ** -0.5)


def published_config(config, spec):
    """The keys that folders published before transformers 5 have."""
    rope = config.pop("rope_parameters")
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.0"
    if "full_attention" in rope:
        scaling = dict(rope["full_attention"])
        config["rope_theta"] = scaling.pop("rope_theta")
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        config["sliding_window_pattern"] = 6
    else:
        scaling = dict(rope)
        config["rope_theta"] = scaling.pop("rope_theta")
        if (partial := scaling.pop("partial_rotary_factor", None)) is not None:
            config["partial_rotary_factor"] = partial
    if scaling.get("rope_type") == "default":
        scaling = None
    elif scaling["rope_type"] == "longrope":
        config["original_max_position_embeddings"] = scaling.pop("original_max_position_embeddings")
        scaling = {
            "type": "longrope",
            "long_factor": scaling["long_factor"],
            "short_factor": scaling["short_factor"],
        }
    config["rope_scaling"] = scaling
    config.pop("layer_types", None)
    config.pop("_sliding_window_pattern", None)
    config.update(spec.get("published", {}))
    return {k: v for k, v in config.items() if k not in spec.get("without", [])}


def save_hf(model, folder, spec):
    model.to(spec.get("dtype", torch.bfloat16))
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=0, eos_token_id=1, do_sample=True, temperature=0.7, top_k=20, top_p=0.9
    )
    model.save_pretrained(folder, max_shard_size=spec.get("shard", "1GB"))
    write_tokenizer(folder)
    if not spec.get("new_style"):
        path = folder / "config.json"
        path.write_text(json.dumps(published_config(json.loads(path.read_text()), spec), indent=2))


def load_hf(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    return model.eval()


def hf_logits(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


class HalfGelu(torch.nn.Module):
    """llama.cpp's CPU GELU: a table from f16 to f16."""

    def forward(self, x):
        y = torch.nn.functional.gelu(x.half().float(), approximate="tanh").half().float()
        return torch.where(x <= -10, 0.0, torch.where(x >= 10, x, y))


def logits_with_half_gelu(folder, ids):
    model = load_hf(folder)
    for layer in model.model.layers:
        layer.mlp.act_fn = HalfGelu()
    return hf_logits(model, ids)


def convert(folder, out, spec, kind):
    hparams = conversion.ModelBase.load_hparams(folder, False)
    cls = conversion.get_model_class(hparams["architectures"][0])
    cls.set_vocab = set_vocab
    cls(
        folder,
        kind,
        out,
        eager=True,
        model_name="tiny",
        fuse_qkv=spec.get("fuse_qkv", False),
        split_max_tensors=spec.get("gguf_split", 0),
    ).write()
    return gguf.MODEL_ARCH_NAMES[cls.model_arch]


def convert_to_f32(folder, spec):
    """The GGUF file that llama.cpp is asked about: it rounds activations to the type of 16-bit
    weights, which is no property of the model."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "model.gguf"
        convert(folder, out, {**spec, "gguf_split": 0}, gguf.LlamaFileType.ALL_F32)
        return Model(out)


def wrap_multimodal(folder):
    """What the larger Gemma 3 folders look like: the text model inside one that also sees."""
    path = folder / "config.json"
    text = json.loads(path.read_text())
    text.pop("architectures")
    path.write_text(
        json.dumps(
            {
                "architectures": ["Gemma3ForConditionalGeneration"],
                "model_type": "gemma3",
                "eos_token_id": [1, 2],
                "text_config": text,
                "torch_dtype": text.pop("dtype"),
                "vision_config": {"hidden_size": 8, "model_type": "siglip_vision_model"},
            },
            indent=2,
        )
    )
    path = folder / "model.safetensors"
    tensors = {f"language_model.{k}": v for k, v in load_file(path).items()}
    tensors["vision_tower.vision_model.post_layernorm.weight"] = torch.zeros(8)
    tensors["multi_modal_projector.mm_soft_emb_norm.weight"] = torch.zeros(8)
    save_file(tensors, path, metadata={"format": "pt"})


def make(name, spec):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    seed = zlib.crc32(name.encode())
    model = transformers.AutoModelForCausalLM.from_config(
        spec["config"], attn_implementation="eager", dtype=torch.float32
    )
    randomize(model, seed, spec.get("post_norm_mean", 0.0))
    save_hf(model, folder / "hf", spec)
    model = load_hf(folder / "hf")
    kind = spec.get("gguf", gguf.LlamaFileType.ALL_F32)
    architecture = convert(folder / "hf", folder / "model.gguf", spec, kind)
    ggufs = sorted(p.name for p in folder.glob("*.gguf"))
    Model(folder / ggufs[0]).close()
    cpp = convert_to_f32(folder / "hf", spec)
    rng = np.random.default_rng(seed)
    cases = []
    for number, want in enumerate(spec.get("prompts", [{"length": 24}])):
        ids = rng.integers(3, VOCAB_SIZE, want["length"]).tolist()
        ctx, first = want.get("ctx", 256), want.get("first_row", 0)
        expected, theirs = hf_logits(model, ids)[first:], cpp.logits(ids, ctx)[first:]
        error = relative_error(theirs, expected)
        explained = error
        if spec.get("half_gelu"):
            explained = relative_error(theirs, logits_with_half_gelu(folder / "hf", ids)[first:])
        agree = explained < (1e-3 if spec.get("half_gelu") else AGREE)
        agree = agree or spec.get("follow_transformers", False)
        print(
            f"{name} prompt {number} ({len(ids)} ids): llama.cpp differs by {error:.2e}, "
            f"unexplained {explained:.2e}; "
            f"logits std {expected.std():.2f}, row spread "
            f"{np.abs(expected[-1] - expected[-2]).max():.2f}"
        )
        case = {
            "prompt": ids,
            "ctx": ctx,
            "first_row": first,
            "vocab_size": VOCAB_SIZE,
            "oracles_differ_by": float(f"{error:.2g}"),
            "tolerance": 1e-3,
        }
        by_context = want.get("by_context", False)
        if not by_context:
            file = f"{name}/logits_{number}.f32"
            expected.astype("<f4").tofile(HERE / file)
            cases.append(
                {
                    **case,
                    "oracle": TRANSFORMERS,
                    "logits": file,
                    "files": ["hf"] + (["gguf"] if agree else []),
                }
            )
        if not agree:
            file = f"{name}/logits_{number}_llama_cpp.f32"
            theirs.astype("<f4").tofile(HERE / file)
            cases.append(
                {
                    **case,
                    "oracle": LLAMA_CPP,
                    "logits": file,
                    "tolerance": 5e-3 if spec.get("half_gelu") else 1e-3,
                    "files": ["gguf"] + (["hf"] if by_context else []),
                }
            )
    cpp.close()
    for path in (folder / "hf").glob("*.safetensors"):
        path.chmod(0o644)
    if spec.get("multimodal"):
        wrap_multimodal(folder / "hf")
    if spec.get("drop_hf"):
        shutil.rmtree(folder / "hf")
        for case in cases:
            case["files"] = [f for f in case["files"] if f != "hf"]
    return {
        "name": name,
        "architecture": architecture,
        "note": spec.get("note", ""),
        "hf": None if spec.get("drop_hf") else f"{name}/hf",
        "gguf": f"{name}/{ggufs[0]}",
        "cases": [c for c in cases if c["files"]],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names or sorted(SPECS)
    index = HERE / "index.json"
    old = json.loads(index.read_text())["models"] if index.exists() else []
    entries = {e["name"]: e for e in old}
    for name in names:
        entries[name] = make(name, SPECS[name])
    models = [entries[n] for n in sorted(entries) if n in SPECS]
    text = json.dumps({"models": models}, indent=1)
    one_line = re.sub(r"\[[\d,\s]*\]", lambda m: re.sub(r"\s+", "", m.group()), text)
    index.write_text(one_line + "\n")


if __name__ == "__main__":
    main()
