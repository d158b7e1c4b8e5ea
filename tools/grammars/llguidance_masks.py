"""Masks of llguidance for masks.ts: one process per vocabulary.

    python llguidance_masks.py WHEELS VOCABULARY.json

The vocabulary is {"tokens": [base64], "eos": [id]}. Each line of standard input is {"schema": JSON text} or {"lark": text},
and "paths": lists of tokens. The answer to a line is, for each path, a frame: the length of a header (uint32), the header
(JSON: "masks", the number of masks; "error", if it refuses or stops; "ends", whether the answer may end there; "compile_ms";
"mask_ms", of each) and the masks before each token and after the last, each with a bit per token, lowest first, in whole words
of 32 bits. A path ends at a refused token.
"""

import base64
import json
import struct
import sys
import time

sys.path.insert(0, sys.argv[1])
import llguidance  # noqa: E402


class Vocabulary:
    """The tokenizer interface that LLTokenizer requires."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens, eos):
        self.tokens = tokens
        self.eos_token_id = eos[0]
        self.special_token_ids = []
        self._bytes = {token: i for i, token in enumerate(tokens) if len(token) == 1}

    def __call__(self, text):
        return [self._bytes[bytes([byte])] for byte in text.encode() if bytes([byte]) in self._bytes]


with open(sys.argv[2]) as file:
    vocabulary = json.load(file)
tokens = [base64.b64decode(token) for token in vocabulary["tokens"]]
tokenizer = llguidance.LLTokenizer(Vocabulary(tokens, vocabulary["eos"]), eos_token=vocabulary["eos"])
# compute_bitmask may return an extra word.
MASK_BYTES = (len(tokens) + 31) // 32 * 4


def grammar_of(request):
    # Without no_forcing a mask for forced text has only the token that the tokenizer would give.
    text = request["lark"] if "lark" in request else "start: %json " + request["schema"]
    return '%llguidance { "no_forcing": true }\n' + text


def frame(header, masks=()):
    text = json.dumps({**header, "masks": len(masks)}).encode()
    sys.stdout.buffer.write(struct.pack("<I", len(text)) + text + b"".join(masks))


def follow(matcher, path, compile_ms):
    masks, times, error = [], [], None
    for token in [*path, None]:
        start = time.process_time()
        mask = matcher.compute_bitmask()
        times.append((time.process_time() - start) * 1000)
        if matcher.is_error():
            error = matcher.get_error()[:500]
            break
        masks.append(mask[:MASK_BYTES])
        if token is not None and not (mask[token >> 3] >> (token & 7)) & 1:
            break
        if token is not None and not matcher.consume_token(token):
            error = matcher.get_error()[:500]
            break
    ends = error is None and len(masks) == len(path) + 1 and matcher.is_accepting()
    frame({"error": error, "ends": ends, "compile_ms": compile_ms, "mask_ms": times}, masks)


for line in sys.stdin:
    request = json.loads(line)
    start = time.process_time()
    made = llguidance.LLMatcher(tokenizer, grammar_of(request), log_level=0)
    compile_ms = (time.process_time() - start) * 1000
    for path in request["paths"]:
        if made.is_error():
            frame({"error": made.get_error()[:500], "ends": False, "compile_ms": compile_ms, "mask_ms": []})
        else:
            follow(made.deep_copy(), path, compile_ms)
    sys.stdout.buffer.flush()
