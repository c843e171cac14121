"""Writes a demo model as a GGUF file of the "llama" architecture: matrices Q8_0, norms F32."""

import json
import os

import gguf
import numpy

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DESCRIPTION = "Knows a little about cooking, shopping lists, pot-lucks, kitchen units and small sums. Made to try Potluck without a download."


def add_tokenizer(writer, tokenizer, control):
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [None] * len(model["vocab"])
    for token, number in model["vocab"].items():
        tokens[number] = token
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if t in control else gguf.TokenType.NORMAL for t in tokens]
    )
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_pad_token_id(tokens.index("<|endoftext|>"))
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.add_chat_template(TEMPLATE)


def export(model, tokenizer, control, name, path):
    s = model.s
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(f"Potluck demo {name}")
    writer.add_description(DESCRIPTION)
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_float32("general.sampling.temp", 0.3)
    writer.add_float32("general.sampling.top_p", 0.95)
    writer.add_vocab_size(s.vocab_size)
    writer.add_context_length(s.context)
    writer.add_embedding_length(s.model_dim)
    writer.add_block_count(s.num_layers)
    writer.add_feed_forward_length(s.ffn_dim)
    writer.add_head_count(s.num_heads)
    writer.add_head_count_kv(s.num_kv_heads)
    writer.add_key_length(s.head_dim)
    writer.add_value_length(s.head_dim)
    writer.add_rope_dimension_count(s.head_dim)
    writer.add_rope_freq_base(s.rope_base)
    writer.add_layer_norm_rms_eps(s.eps)
    add_tokenizer(writer, tokenizer, control)
    for key, weight in model.state_dict().items():
        if key.endswith("norm"):
            key += ".weight"
        values = weight.float().numpy()
        if values.ndim == 1:
            writer.add_tensor(key, values.astype(numpy.float32))
        else:
            blocks = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(key, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    print(path, os.path.getsize(path), "bytes")
