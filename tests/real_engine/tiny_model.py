"""Write a tiny llama model with random weights: python tiny_model.py FILE. Runs in the engine's environment.

One token is one byte, and there are no merges, so a text has one tokenization only and a continued answer
can equal an unbroken one. Only letters, digits and blanks can be said: the output rows of all other tokens
are zero, below the largest of the rest. What it says is nonsense, but the same nonsense each time.
"""

import string
import sys

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, FEED_FORWARD, CONTEXT = 64, 2, 4, 128, 4096
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_letters() -> list[str]:
    """The letters by which GPT-2's tokenizer writes the 256 bytes."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    letters = {byte: chr(byte) for byte in plain} | {byte: chr(256 + at) for at, byte in enumerate(rest)}
    return [letters[byte] for byte in range(256)]


SPECIAL = ("<|end|>", "<|user|>", "<|assistant|>", "<|system|>")
TOKENS = 256 + len(SPECIAL)


def describe(writer: gguf.GGUFWriter) -> None:
    """The model's shape and its tokenizer."""
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(TOKENS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    tokens = [*byte_letters(), *SPECIAL]
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(SPECIAL))
    writer.add_token_merges([f"{tokens[0]} {tokens[1]}"])  # two bytes that no text has
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(256)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def add_weights(writer: gguf.GGUFWriter) -> None:
    """Random numbers, the same each time."""
    rng = np.random.default_rng(7)

    def add(name: str, *shape: int, scale: float) -> None:
        writer.add_tensor(name, (rng.standard_normal(shape) * scale).astype(np.float32))

    add("token_embd.weight", TOKENS, WIDTH, scale=1.0)
    output = rng.standard_normal((TOKENS, WIDTH)).astype(np.float32)
    sayable = [ord(letter) for letter in string.ascii_letters + string.digits] + [0x20]
    output[[token for token in range(TOKENS) if token not in sayable]] = 0.0
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, dtype=np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, dtype=np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", WIDTH, WIDTH, scale=0.25)
        add(f"blk.{layer}.ffn_gate.weight", FEED_FORWARD, WIDTH, scale=0.15)
        add(f"blk.{layer}.ffn_up.weight", FEED_FORWARD, WIDTH, scale=0.15)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, FEED_FORWARD, scale=0.15)


def write(path: str) -> None:
    """Write the model."""
    writer = gguf.GGUFWriter(path, "llama")
    describe(writer)
    add_weights(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    write(sys.argv[1])
