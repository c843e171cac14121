"""Logits of every position from llama.cpp, through llama-cpp-python's low-level API.

Used by the scripts beside it. The cache is f32 and flash attention is off unless asked otherwise, so
that what remains between llama.cpp and another engine is the order of additions.
"""

import ctypes

import llama_cpp as lc
import numpy as np


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _quiet(level, text, _):
    if level >= 4:
        print(text.decode(errors="replace"), end="")


_quiet_pointer = lc.llama_log_callback(ctypes.cast(_quiet, ctypes.c_void_p).value)
lc.llama_log_set(_quiet_pointer, ctypes.c_void_p(0))
lc.llama_backend_init()


class Model:
    """One GGUF file; contexts are made anew for every call."""

    def __init__(self, path):
        params = lc.llama_model_default_params()
        params.n_gpu_layers = 0
        self.model = lc.llama_model_load_from_file(str(path).encode(), params)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self.vocab = lc.llama_model_get_vocab(self.model)
        self.vocab_size = lc.llama_vocab_n_tokens(self.vocab)

    def close(self):
        lc.llama_model_free(self.model)

    def context(self, ctx, kv="f32"):
        params = lc.llama_context_default_params()
        params.n_ctx = ctx
        params.n_batch = params.n_ubatch = max(ctx, 512)
        params.n_threads = params.n_threads_batch = 2
        params.type_k = params.type_v = {"f32": lc.GGML_TYPE_F32, "f16": lc.GGML_TYPE_F16}[kv]
        params.flash_attn_type = lc.LLAMA_FLASH_ATTN_TYPE_DISABLED
        context = lc.llama_init_from_model(self.model, params)
        if not context:
            raise RuntimeError("llama.cpp cannot make a context")
        return context

    def decode(self, context, ids, position, want_all):
        batch = lc.llama_batch_init(len(ids), 0, 1)
        for i, token in enumerate(ids):
            batch.token[i] = token
            batch.pos[i] = position + i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = want_all or i == len(ids) - 1
        batch.n_tokens = len(ids)
        if lc.llama_decode(context, batch) != 0:
            raise RuntimeError("llama_decode failed")
        rows = range(len(ids)) if want_all else [len(ids) - 1]
        out = np.stack(
            [
                np.ctypeslib.as_array(
                    lc.llama_get_logits_ith(context, i), (self.vocab_size,)
                ).copy()
                for i in rows
            ]
        )
        lc.llama_batch_free(batch)
        return out

    def logits(self, ids, ctx=256, kv="f32"):
        """(T, V) float32."""
        context = self.context(ctx, kv)
        out = self.decode(context, ids, 0, True)
        lc.llama_free(context)
        return out


def relative_error(got, want):
    """The largest over rows of max|got - want| / max|want|: the measure that the tests use too."""
    return float(np.max(np.abs(got - want).max(axis=1) / np.abs(want).max(axis=1)))
