"""Byte-level tokenizer: 256 bytes, three marks of turns, and no merges to speak of.

Letters stay single tokens so that spelling backwards and carrying digits are visible to so small a model;
every text can be encoded. In GGUF it is a `gpt2` tokenizer whose one merge joins two NUL bytes.
"""

END_OF_TEXT, TURN_START, TURN_END, NUL_PAIR = 256, 257, 258, 259
VOCAB = 260
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def byte_letters():
    """The printable letter that stands for each byte in byte-level vocabularies."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters, n = {}, 0
    for byte in range(256):
        if byte in printable:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(0x100 + n)
            n += 1
    return [letters[byte] for byte in range(256)]


def tokens():
    """Texts of all tokens, in order of their ids."""
    letters = byte_letters()
    return [*letters, "<|endoftext|>", "<|im_start|>", "<|im_end|>", letters[0] * 2]


def encode_turn(role, content):
    """A whole turn, and for each token whether the model is to learn to say it."""
    head = [TURN_START, *f"{role}\n".encode()]
    body = [*content.encode(), TURN_END]
    said = role == "assistant"
    return head + body + [10], [False] * len(head) + [said] * len(body) + [False]


def encode_prompt(messages):
    """Messages and the opening of the answer."""
    ids = []
    for message in messages:
        ids += encode_turn(message["role"], message["content"])[0]
    return ids + [TURN_START, *b"assistant\n"]


def decode(ids):
    return bytes(i for i in ids if i < 256).decode(errors="replace")
