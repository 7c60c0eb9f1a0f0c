"""Writes a trained checkpoint as GGUF: llama architecture, weights as Q8_0 (norms as F32), the tokenizer
and the chat template inside."""

import argparse

import gguf
import torch

import tokenizer


def main():
    args = argparse.ArgumentParser()
    args.add_argument("checkpoint")
    args.add_argument("out")
    args = args.parse_args()
    saved = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    shape, weights = saved["shape"], saved["weights"]

    out = gguf.GGUFWriter(args.out, "llama")
    out.add_name("dedi demo")
    out.add_organization("dedi")
    out.add_license("apache-2.0")
    out.add_description("Tiny demonstration model trained from scratch on generated dialogues.")
    out.add_context_length(shape["context"])
    out.add_embedding_length(shape["dim"])
    out.add_block_count(shape["layers"])
    out.add_feed_forward_length(shape["ffn"])
    out.add_head_count(shape["heads"])
    out.add_head_count_kv(shape["kv_heads"])
    out.add_layer_norm_rms_eps(shape["eps"])
    out.add_rope_freq_base(shape["rope_base"])
    out.add_rope_dimension_count(shape["dim"] // shape["heads"])
    out.add_vocab_size(shape["vocab"])
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)

    texts = tokenizer.tokens()
    kind = gguf.TokenType
    kinds = [kind.NORMAL] * 256 + [kind.CONTROL] * 3 + [kind.NORMAL]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(texts)
    out.add_token_types(kinds)
    out.add_token_merges([f"{texts[0]} {texts[0]}"])
    out.add_bos_token_id(tokenizer.END_OF_TEXT)
    out.add_eos_token_id(tokenizer.TURN_END)
    out.add_eot_token_id(tokenizer.TURN_END)
    out.add_add_bos_token(False)
    out.add_chat_template(tokenizer.CHAT_TEMPLATE)

    def add(name, tensor):
        values = tensor.float().numpy()
        if values.ndim == 1:
            out.add_tensor(name, values)
        else:
            packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q8_0)
            out.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    add("token_embd.weight", weights["embed.weight"])
    names = {"attn_norm": "attn_norm", "q": "attn_q", "k": "attn_k", "v": "attn_v", "o": "attn_output",
             "ffn_norm": "ffn_norm", "gate": "ffn_gate", "up": "ffn_up", "down": "ffn_down"}
    for layer in range(shape["layers"]):
        for ours, theirs in names.items():
            add(f"blk.{layer}.{theirs}.weight", weights[f"blocks.{layer}.{ours}.weight"])
    add("output_norm.weight", weights["norm.weight"])
    add("output.weight", weights["head.weight"])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


if __name__ == "__main__":
    main()
