"""Which tokens of a text should a cache keep below the floor of k3v2? Compares ways at equal bytes.

    python tools/sparse_cache.py perplexity|facts|questions --out FILE.jsonl [--texts drama,code] [--ways oldest,random]
    python tools/sparse_cache.py table --out FILE.jsonl

The default model in PyTorch, on one thread: linears, and attention while a text is read, in bfloat16. A text is read
with all tokens in memory. Then each way chooses once which entries stay, per layer and key head, and what follows (the next 256 tokens, or a
question that nobody knew of at that time) reads only these. Entries have the noise of k3v2, as the engine's
`quantize-page` computes it in the token's own page. The first page, and the latest 96 tokens, stay as they are.

Bytes are the engine's: pages of 32 tokens in q8 (the first, the latest full one but one), f16 (the latest two) and k3v2.
A way that keeps single tokens pays two bytes more for each entry, its position.

Needs tools/train/requirements.txt and the texts that tools/train/README.md names. docs/decisions/kv-cache.md has the figures.
"""

import argparse
import json
import math
import re
import string
import sys
import time
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).parent / "train"))
from base_model import ROOT, load_base, load_tokenizer
from data import DATA, PROMPT, TRAIN_ARTICLES, encode, shakespeare, wikitext

LAYERS, GROUPS, GROUP, WIDTH, THETA, EPS = 30, 3, 3, 64, 100_000.0, 1e-5
PAGE, CHUNK, FIRST, LATEST, NEXT, CONTEXT = 32, 512, 32, 96, 256, 4096
F16_BYTES, Q8_BYTES, K3V2_BYTES, POSITION_BYTES = 256, 4272 / 32, 46, 2  # an entry of one layer and key head
BATCH, REMEMBERED = 96, 32
SHARES = [0.10, 0.05]
SEED = 44
END = 2  # <|im_end|>


# The model.


class Weights:
    """bfloat16 matrices by layer; `adapter`: a folder, whose update is added."""

    def __init__(self, state, adapter=None):
        extra = {} if adapter is None else load_file(Path(adapter) / "adapter_model.safetensors")
        scale = 2.0  # alpha 32, rank 16

        def matrix(layer, name):
            weight = state[f"model.layers.{layer}.{name}.weight"]
            key = f"base_model.model.model.layers.{layer}.{name}"
            if extra:
                weight = weight + scale * extra[f"{key}.lora_B.weight"].float() @ extra[f"{key}.lora_A.weight"].float()
            return weight

        def joined(layer, *names):
            return torch.cat([matrix(layer, name) for name in names]).bfloat16()

        every = range(LAYERS)
        self.qkv = [joined(i, "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj") for i in every]
        self.out = [joined(i, "self_attn.o_proj") for i in every]
        self.up = [joined(i, "mlp.gate_proj", "mlp.up_proj") for i in every]
        self.down = [joined(i, "mlp.down_proj") for i in every]
        self.norms = [
            [state[f"model.layers.{i}.{name}.weight"] for name in ("input_layernorm", "post_attention_layernorm")]
            for i in every
        ]
        self.norm = state["model.norm.weight"]
        self.embedding = state["model.embed_tokens.weight"]
        self.head = self.embedding.bfloat16()


def times(x, matrix):
    return F.linear(x.bfloat16(), matrix).float()


def normed(x, weight):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPS) * weight


FREQUENCIES = THETA ** (-torch.arange(0, WIDTH, 2) / WIDTH)


def rotated(x, positions):
    """x [..., tokens, WIDTH], turned to positions [tokens]."""
    angle = positions[:, None].float() * FREQUENCIES
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., : WIDTH // 2], x[..., WIDTH // 2 :]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def run(weights, tokens, positions, attend):
    """The residual stream [tokens, 576] at the end. `attend(layer, x, q [9, T, 64], k [3, T, 64], v)`, not rotated → [9, T, 64]."""
    x = weights.embedding[torch.as_tensor(tokens)]
    for layer in range(LAYERS):
        qkv = times(normed(x, weights.norms[layer][0]), weights.qkv[layer]).view(len(x), -1, WIDTH).transpose(0, 1)
        q, k, v = qkv.split([GROUPS * GROUP, GROUPS, GROUPS])
        attended = attend(layer, x, q, k, v)
        x = x + times(attended.transpose(0, 1).reshape(len(x), -1), weights.out[layer])
        gate, up = times(normed(x, weights.norms[layer][1]), weights.up[layer]).chunk(2, -1)
        x = x + times(F.silu(gate) * up, weights.down[layer])
    return x


def logits_of(weights, x):
    return times(normed(x, weights.norm), weights.head)


# Quantizing, as shaders/pages/quantize-page.wgsl does.


def rounded_up(x):
    return torch.where(x == 0, x, (x * (1 + 2**-11)).half().float().clamp(min=2**-14))


def quantized_keys(k):
    """Keys [..., tokens, WIDTH], not rotated, with the noise of 4, 3 and 2 bits by the channels' variance in a page."""
    shape, pages = k.shape, k.reshape(-1, PAGE, WIDTH)
    low, high = pages.amin(1), pages.amax(1)
    pairs = (high - low).square().view(-1, 2, 8, 4).sum((1, 3))
    place = pairs.argsort(1, descending=True).argsort(1)  # of each pair of vectors
    bits = torch.tensor([4.0, 3.0, 3.0, 2.0])[place // 2].repeat_interleave(4, 1).repeat(1, 2)
    largest = 2**bits - 1
    lowest = low.amin(1, keepdim=True)
    span = rounded_up(low.amax(1, keepdim=True) - lowest)
    widest = rounded_up(((high - low) / largest).amax(1, keepdim=True) + span / 255 / 3)
    minimum = ((low - lowest) / (span / 255)).floor().clamp(0, 255) * span / 255 + lowest
    scale = ((high - minimum) / largest / (widest / 255)).ceil().clamp(0, 255) * widest / 255
    minimum, scale, largest = (x[:, None] for x in (minimum, scale, largest))
    codes = ((pages - minimum) / scale).round().clamp(min=0).minimum(largest)
    return (codes * scale + minimum).view(shape)


def hadamard():
    matrix = torch.ones(1, 1)
    while len(matrix) < WIDTH:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / math.sqrt(WIDTH)


HADAMARD = hadamard()


def quantized_values(v):
    """Values [..., tokens, WIDTH] with the noise of 2 bits after a Hadamard rotation."""
    pages = (v @ HADAMARD).reshape(-1, PAGE, WIDTH)
    step = 0.9957 * pages.square().mean(-1, keepdim=True).sqrt()
    centred = (pages / step + 1.5).round().clamp(0, 3) - 1.5
    scale = pages.square().sum(-1, keepdim=True) / (pages * centred).sum(-1, keepdim=True)
    largest = rounded_up(scale.amax(1, keepdim=True))
    scale = (scale * 255 / largest).round() * largest / 255
    return (centred * scale).reshape(v.shape) @ HADAMARD


# Reading a text.

class Text:
    """What was computed of tokens. Buffers [LAYERS, GROUPS, tokens, WIDTH]: `keys` and `quantized` are rotated.

    `repeated` [LAYERS, GROUPS, tokens]: the most attention of any query when the chunk is repeated.
    `queries`: by chunk and layer [9, sampled, WIDTH], not rotated, and the norm of the residual stream [sampled].
    """

    def __init__(self, tokens):
        self.tokens = tokens
        entries = (LAYERS, GROUPS, len(tokens), WIDTH)
        self.keys, self.values, self.quantized, self.raw, self.rough = (torch.zeros(entries) for _ in range(5))
        self.repeated = torch.zeros(entries[:3])
        self.surprisal = torch.zeros(len(tokens))
        self.queries = []
        self.latest = {}


def sampled(start, end):
    return torch.arange(start + 15, end, 16)


def read(weights, tokens, repeat, base=None):
    """Reads tokens in chunks of CHUNK. `repeat`: the request before a repeated chunk. `base`: a text, whose first chunks are
    copied as far as they are the same."""
    length = len(tokens)
    text = Text(tokens)
    first = 0
    if base is not None:
        same = next((i for i, (own, other) in enumerate(zip(tokens, base.tokens)) if own != other), 0)
        first = same // CHUNK * CHUNK
        for name in ("keys", "values", "quantized", "raw", "rough", "repeated"):
            getattr(text, name)[:, :, :first] = getattr(base, name)[:, :, :first]
        text.surprisal[:first] = base.surprisal[:first]
        text.queries = base.queries[: first // CHUNK]
    for start in range(first, length - LATEST, CHUNK):
        end = start + CHUNK if start + CHUNK < length - LATEST else length
        read_chunk(weights, text, start, end)
        read_again(weights, text, start, end, repeat)
    return text


def read_chunk(weights, text, start, end):
    positions = torch.arange(start, end)
    mask = (torch.arange(end) <= positions[:, None]).repeat(GROUP, 1)
    bias = torch.zeros(mask.shape).masked_fill(~mask, -math.inf).bfloat16()
    at = sampled(start, end) - start
    kept = []
    own = slice(start, end)

    def attend(layer, x, q, k, v):
        text.raw[layer, :, own], text.values[layer, :, own] = k, v
        text.keys[layer, :, own] = rotated(k, positions)
        kept.append((q[:, at].clone(), x[at].norm(dim=1)))
        if end == len(text.tokens):
            text.latest[layer] = (q[:, -64:].clone(), x[-64:].norm(dim=1))
        queries = rotated(q, positions).view(1, GROUPS, -1, WIDTH).bfloat16()
        keys, values = (each[layer, None, :, :end].bfloat16() for each in (text.keys, text.values))
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias).float().view(q.shape)

    x = run(weights, text.tokens[start:end], positions, attend)
    text.queries.append(kept)
    following = torch.tensor(text.tokens[start + 1 : end + 1])
    log_probs = logits_of(weights, x[: len(following)]).log_softmax(-1)
    lost = -log_probs.gather(1, following[:, None])[:, 0]
    text.surprisal[start + 1 : start + 1 + len(lost)] = lost
    whole = (end - start) // PAGE * PAGE
    pages = slice(start, start + whole)
    text.quantized[:, :, pages] = rotated(quantized_keys(text.raw[:, :, pages]), positions[:whole])
    text.rough[:, :, pages] = quantized_values(text.values[:, :, pages])


def read_again(weights, text, start, end, repeat):
    """The model repeats a chunk. It sees the first page, the chunk and what it repeated (after KVzip)."""
    tokens = [*repeat, *text.tokens[start:end]]
    positions = torch.arange(end, end + len(tokens))
    first = min(FIRST, start)
    shown = first + end - start
    hidden = torch.ones(len(tokens), len(tokens)).tril().bool().logical_not().repeat(GROUP, 1)

    def attend(layer, x, q, k, v):
        keys, values = (
            torch.cat([each[layer, :, :first], each[layer, :, start:end], own], 1)
            for each, own in ((text.keys, rotated(k, positions)), (text.values, v))
        )
        queries = rotated(q, positions).view(GROUPS, -1, WIDTH) / 8
        scores = queries.bfloat16() @ keys.bfloat16().transpose(1, 2)
        scores[:, :, shown:].masked_fill_(hidden, -math.inf)
        shares = scores.softmax(-1)
        text.repeated[layer, :, start:end] = shares[:, :, first:shown].amax(1).float()
        return (shares @ values.bfloat16()).float().view(q.shape)

    run(weights, tokens, positions, attend)


# Measures of entries [LAYERS, GROUPS, tokens]: more is kept first.


# The measures by attention, and the ways that use them.
ATTENTION = {
    "window": {"snapkv", "snapkv-all", "pyramid", "merge"},
    "sum": {"h2o"},
    "last": {"tova"},
    "residual": {"residual", "repeated-residual"},
    "expected": {"expected"},
}


def grouped(x):
    return x.view(GROUPS, GROUP, *x.shape[1:])


def attention_measures(weights, text, names):
    """Measures by the attention of every sixteenth query and of the latest 64; those that are not named are 0."""
    length = len(text.tokens)
    every = sampled(0, length)
    positions = torch.cat([every, torch.arange(length - 64, length)])
    found = {name: torch.zeros(LAYERS, GROUPS, length) for name in ATTENTION}
    distance = positions[:, None] - torch.arange(length)
    # The squared change of the residual stream without a token counts for queries that are at least 128 tokens away.
    later, near, asked = distance < 0, distance < 128, (distance >= 128).sum(0).clamp(min=1)
    future = torch.arange(length, length + 512)[:, None] * FREQUENCIES
    turn = torch.complex(future.cos().mean(0), future.sin().mean(0))
    for layer in range(LAYERS):
        raw = torch.cat([kept[layer][0] for kept in text.queries], 1)
        norms = torch.cat([kept[layer][1] for kept in text.queries] + [text.latest[layer][1]])
        q = rotated(torch.cat([raw, text.latest[layer][0]], 1), positions)
        keys, values = text.keys[layer], text.values[layer]
        scores = (q.view(GROUPS, -1, WIDTH) / 8).bfloat16() @ keys.bfloat16().transpose(1, 2)
        shares = scores.view(GROUPS * GROUP, -1, length).masked_fill_(later, -math.inf).softmax(-1)
        found["window"][layer] = grouped(shares[:, -64:].float().mean(1)).mean(1)
        found["last"][layer] = shares[:, -1].float().mean(0)
        if "sum" in names:
            found["sum"][layer] = grouped(shares[:, : len(every)].float().sum(1)).mean(1)
        if "residual" in names:
            out = weights.out[layer].float().view(-1, GROUPS * GROUP, WIDTH).transpose(0, 1)
            shared = values.repeat_interleave(GROUP, 0)
            lengths = ((shared @ (out.transpose(1, 2) @ out)) * shared).sum(-1)
            far = shares.masked_fill_(near, 0).float().square_() / norms[:, None].square()
            found["residual"][layer] = grouped(far.sum(1) * lengths).sum(1) / asked
        if "expected" in names:
            found["expected"][layer] = expected_attention(raw, keys, turn) * values.norm(dim=-1)
    found["window"] = F.max_pool1d(found["window"], 7, 1, 3)
    return found


class Later:
    """What later tokens of each chunk give to entries, by every sixteenth query that is at least 128 tokens away: "residual",
    the squared change of the residual stream, and "squares", squared attention times |v|^2. [chunks, LAYERS, GROUPS, tokens]"""

    def __init__(self, weights, text):
        length = len(text.tokens)
        every = sampled(0, length)
        count = len(text.queries)
        self.chunks = [slice(i * CHUNK // 16, (i + 1) * CHUNK // 16 if i + 1 < count else len(every)) for i in range(count)]
        distance = every[:, None] - torch.arange(length)
        self.asked = torch.stack([(distance[chunk] >= 128).sum(0) for chunk in self.chunks])
        self.sums = {name: torch.zeros(count, LAYERS, GROUPS, length) for name in ("residual", "squares")}
        for layer in range(LAYERS):
            queries = rotated(torch.cat([kept[layer][0] for kept in text.queries], 1), every).view(GROUPS, -1, WIDTH) / 8
            norms = torch.cat([kept[layer][1] for kept in text.queries])
            scores = queries.bfloat16() @ text.keys[layer].bfloat16().transpose(1, 2)
            shares = scores.view(GROUPS * GROUP, -1, length).masked_fill_(distance < 0, -math.inf).softmax(-1)
            squares = shares.masked_fill_(distance < 128, 0).float().square_()
            out = weights.out[layer].float().view(-1, GROUPS * GROUP, WIDTH).transpose(0, 1)
            values = text.values[layer].repeat_interleave(GROUP, 0)
            moved = ((values @ (out.transpose(1, 2) @ out)) * values).sum(-1)
            for i, chunk in enumerate(self.chunks):
                own = squares[:, chunk]
                relative = own / norms[chunk, None].square()
                self.sums["residual"][i, layer] = grouped(relative.sum(1) * moved).sum(1)
                self.sums["squares"][i, layer] = grouped(own.sum(1) * values.square().sum(-1)).sum(1)


def grown(text, later, name, entries, latest):
    """The choice of `best`, made after each chunk among the entries that are left. `name`: of Later's sums, added if given."""
    length = len(text.tokens)
    left = torch.ones(LAYERS, GROUPS, length, dtype=torch.bool)
    for i in range(len(later.chunks)):
        end = length if i + 1 == len(later.chunks) else (i + 1) * CHUNK
        old = slice(FIRST, end - LATEST)
        scores = text.repeated[..., old] / text.repeated[..., old].mean()
        if name:
            measure = (later.sums[name][: i + 1].sum(0) / later.asked[: i + 1].sum(0).clamp(min=1)).sqrt()[..., old]
            scores = scores + measure / measure.mean()
        if scores.numel() > entries:
            left[..., old] &= best(scores.masked_fill(~left[..., old], -1), entries, latest, together=True)
    return left[..., FIRST : length - LATEST]


class Batches:
    """What the engine measures of a text whose batches have BATCH tokens: the squared attention that every sixteenth query gives
    to entries which are at least 128 tokens before its batch. [batches, LAYERS, GROUPS, tokens]"""

    def __init__(self, text):
        length = len(text.tokens)
        every = sampled(0, length)
        starts = list(range(0, length, BATCH))
        self.batches = [(every >= start) & (every < start + BATCH) for start in starts]
        old = torch.arange(length) < torch.tensor(starts)[:, None] - 128
        self.asked = torch.stack([batch.sum() for batch in self.batches])[:, None] * old
        self.squares = torch.zeros(len(starts), LAYERS, GROUPS, length)
        hidden = every[:, None] < torch.arange(length)
        for layer in range(LAYERS):
            queries = rotated(torch.cat([kept[layer][0] for kept in text.queries], 1), every).view(GROUPS, -1, WIDTH) / 8
            scores = queries.bfloat16() @ text.keys[layer].bfloat16().transpose(1, 2)
            squares = scores.view(GROUPS * GROUP, -1, length).masked_fill_(hidden, -math.inf).softmax(-1).float().square_()
            for i, batch in enumerate(self.batches):
                self.squares[i, layer] = grouped(squares[:, batch].sum(1)).sum(1) * old[i]

    def chosen(self, text, entries):
        """The choice after each batch among the entries that are left, as src/cache/sparse-entries.ts scores them."""
        length = len(text.tokens)
        left = torch.ones(LAYERS, GROUPS, length, dtype=torch.bool)
        mean = torch.zeros(LAYERS, GROUPS, length)
        seen = torch.zeros(length, dtype=torch.bool)
        for i in range(len(self.batches)):
            asked = self.asked[i].float()
            weight = torch.where(seen, asked / (asked + REMEMBERED), (asked > 0).float())
            mean += (self.squares[i] / asked.clamp(min=1) - mean) * weight
            seen |= asked > 0
            old = slice(FIRST, min((i + 1) * BATCH, length) - LATEST)
            own = left[..., old]
            if own.sum() <= entries:
                continue
            shares, roots = text.repeated[..., old], mean[..., old].sqrt()
            scores = shares / shares[own].mean() + roots / roots[own].mean().clamp(min=1e-30)
            left[..., old] &= best(scores.masked_fill(~own, -1), entries, 0.25, together=True)
        return left[..., FIRST : length - LATEST]


def expected_attention(queries, keys, turn):
    """After Expected Attention: queries are normal, turned to the mean of the next 512 positions. [GROUPS, tokens]"""

    def turned(x):
        z = torch.complex(x[..., : WIDTH // 2], x[..., WIDTH // 2 :]) * turn
        return torch.cat([z.real, z.imag], -1)

    mean = queries.mean(1)
    middle, around = turned(mean), turned(queries - mean[:, None])
    covariance = around.transpose(1, 2) @ around / queries.shape[1]
    own = keys.repeat_interleave(GROUP, 0)
    scores = (own @ middle[:, :, None])[..., 0] / 8 + ((own @ covariance) * own).sum(-1) / 128
    return grouped(scores.softmax(-1)).mean(1)


def measures_of(weights, text, ways):
    """The measures that these ways need; none for all. Others may be 0."""
    names = {name for name, users in ATTENTION.items() if not ways or not users.isdisjoint(ways)}
    none = torch.zeros(text.repeated.shape)
    found = attention_measures(weights, text, names) if names else dict.fromkeys(ATTENTION, none)
    directions = F.normalize(text.keys, dim=-1)
    found["unlike keys"] = -F.cosine_similarity(directions, directions.mean(2, keepdim=True), dim=-1)
    found["short keys"] = -text.keys.norm(dim=-1)
    found["long values"] = text.values.norm(dim=-1)
    found["repeated"] = text.repeated
    whole = len(text.tokens) // 16 * 16
    chunks = text.surprisal[:whole].view(-1, 16).mean(1).repeat_interleave(16)
    found["surprisal"] = F.pad(chunks, (0, len(text.tokens) - whole)).expand(LAYERS, GROUPS, -1)
    generator = torch.Generator().manual_seed(SEED)
    found["random"] = torch.rand(text.repeated.shape, generator=generator)
    return found


def far_losses(weights):
    """What key heads lose on repeated random tokens if they see the first page and the latest eighth: [LAYERS, GROUPS]."""
    generator = torch.Generator().manual_seed(SEED)
    tokens = torch.randint(1000, 49_000, (128,), generator=generator).repeat(2)
    tokens = torch.cat([torch.randint(1000, 49_000, (FIRST,), generator=generator), tokens])
    positions = torch.arange(len(tokens))
    seen = positions <= positions[:, None]
    near = seen & ((positions < FIRST) | (positions[:, None] - positions < 32))
    lost = torch.zeros(LAYERS, GROUPS)

    def attend(layer, x, q, k, v):
        queries, keys = rotated(q, positions), rotated(k, positions).repeat_interleave(GROUP, 0)
        values = v.repeat_interleave(GROUP, 0)
        scores = queries @ keys.transpose(1, 2) / 8
        whole, less = (scores.masked_fill(~mask, -math.inf).softmax(-1) @ values for mask in (seen, near))
        out = weights.out[layer].float().view(-1, GROUPS * GROUP, WIDTH)
        moved = torch.einsum("htw,dhw->htd", (whole - less)[:, -128:], out)
        lost[layer] = (grouped(moved).sum(1).norm(dim=-1) / x[-128:].norm(dim=-1)).mean(-1)
        return whole

    run(weights, tokens.tolist(), positions, attend)
    return lost


# Ways to choose. Candidates are the tokens after the first page and before the latest. [LAYERS, GROUPS, candidates]: those that stay.


def entries_for(share, length, by_token, each=None):
    """Entries that fit beside the pages which always stay, in all layers and key heads. `each`: bytes of one."""
    fixed = 2 * PAGE * Q8_BYTES + 2 * PAGE * F16_BYTES
    each = each or K3V2_BYTES + (POSITION_BYTES if by_token else 0)
    return int((share * length * F16_BYTES - fixed) / each) * LAYERS * GROUPS


def best(scores, entries, latest=0.0, together=False, budgets=None):
    """The best entries of each key head; `together`: of all. `latest`: share of a head's entries which the latest tokens take."""
    heads = LAYERS * GROUPS
    scores = scores.clone()
    recent = int(latest * entries / heads)
    if recent:
        scores[..., -recent:] = math.inf
    keep = torch.zeros(scores.shape, dtype=torch.bool)
    if together:
        return keep.view(-1).index_fill(0, scores.view(-1).topk(entries).indices, True).view(scores.shape)
    for layer in range(LAYERS):
        count = int(entries / heads if budgets is None else budgets[layer])
        keep[layer].scatter_(1, scores[layer].topk(min(count, scores.shape[-1])).indices, True)
    return keep


def pyramid(entries, most):
    """PyramidKV's budgets: they fall linearly, the first layer's is 1.9 times the mean and the last one's 0.1."""
    mean = entries / LAYERS / GROUPS
    slope = min(0.9, most / mean - 1)
    return [mean * (1 + slope * (1 - 2 * layer / (LAYERS - 1))) for layer in range(LAYERS)]


def by_page(score):
    """The mean of each page, for its tokens."""
    count = score.shape[-1]
    padded = F.pad(score, (0, -count % PAGE)).view(*score.shape[:2], -1, PAGE)
    return padded.mean(-1).repeat_interleave(PAGE, -1)[..., :count]


def by_loss(lost, entries, count, length):
    """All entries where most is lost without them, elsewhere the latest eighth of the text; one place gives up its oldest."""
    least = min(length // 8 - LATEST, int(entries / lost.numel()))
    order = lost.flatten().argsort(descending=True)
    places = torch.full((lost.numel(),), least)
    each = entries // lost.numel()
    spare = (each - least) * lost.numel()
    for place in order.tolist():
        more = min(count - least, spare)
        places[place] += more
        spare -= more
    return torch.arange(count) >= count - places.view(*lost.shape, 1)


# Ways whose entries have no noise: bytes of an entry in a form, with its position.
NOISELESS = {"noiseless-k3v2": 48, "noiseless-q3": 56, "noiseless-q4": 72}
GROWN = {"grown", "grown-latest", "grown-residual", "grown-residual-latest", "grown-squares-latest"}


def ways_of(text, found, lost, later, batches):
    """Name → (by token, choice by entries)."""
    length = len(text.tokens)
    count = length - FIRST - LATEST
    candidates = slice(FIRST, length - LATEST)
    score = {name: each[..., candidates] for name, each in found.items()}
    layers = lost.square().sum(1, keepdim=True).sqrt()
    chunks = torch.arange(count) // 16
    tie = torch.linspace(0, 1e-6, count)
    nearest = torch.arange(count).float().expand(LAYERS, GROUPS, -1)
    pages = by_page(score["repeated"])
    both = score["repeated"] / score["repeated"].mean() + score["residual"].sqrt() / score["residual"].sqrt().mean()
    return {
        "oldest": (False, lambda n: best(nearest, n)),
        "random": (True, lambda n: best(score["random"], n)),
        "snapkv": (True, lambda n: best(score["window"], n)),
        "pyramid": (True, lambda n: best(score["window"], n, budgets=pyramid(n, count))),
        "snapkv-all": (True, lambda n: best(score["window"], n, together=True)),
        "h2o": (True, lambda n: best(score["sum"], n, latest=0.5)),
        "tova": (True, lambda n: best(score["last"], n)),
        "keydiff": (True, lambda n: best(score["unlike keys"], n)),
        "short-keys": (True, lambda n: best(score["short keys"], n)),
        "long-values": (True, lambda n: best(score["long values"], n)),
        "expected": (True, lambda n: best(score["expected"], n)),
        "residual": (True, lambda n: best(score["residual"], n, latest=0.25, together=True)),
        "surprisal": (False, lambda n: best(score["surprisal"] + tie * chunks / chunks[-1], n, latest=0.5)),
        "layers": (False, lambda n: by_loss(layers, n // GROUPS, count, length).expand(-1, GROUPS, -1)),
        "heads": (False, lambda n: by_loss(lost, n, count, length)),
        "repeated": (True, lambda n: best(score["repeated"], n)),
        "repeated-latest": (True, lambda n: best(score["repeated"], n, latest=0.5)),
        "repeated-all": (True, lambda n: best(score["repeated"], n, together=True)),
        "repeated-all-latest": (True, lambda n: best(score["repeated"], n, latest=0.5, together=True)),
        "repeated-pages": (False, lambda n: best(pages, n, together=True)),
        "repeated-layer-pages": (False, lambda n: best(pages.mean(1, keepdim=True).expand_as(pages), n, together=True)),
        "repeated-residual": (True, lambda n: best(both, n, latest=0.25, together=True)),
        "merge": (True, lambda n: best(score["window"], n, latest=0.5)),
        "adapted": (True, lambda n: best(score["adapted"], n, together=True)),
        "adapted-or-base": (True, lambda n: best(torch.maximum(score["adapted"], score["repeated"]), n, together=True)),
        **dict.fromkeys(NOISELESS, (True, lambda n: best(score["repeated"], n, together=True))),
        "grown": (True, lambda n: grown(text, later, None, n, 0)),
        "grown-latest": (True, lambda n: grown(text, later, None, n, 0.125)),
        "grown-residual": (True, lambda n: grown(text, later, "residual", n, 0)),
        "grown-residual-latest": (True, lambda n: grown(text, later, "residual", n, 0.125)),
        "grown-squares-latest": (True, lambda n: grown(text, later, "squares", n, 0.25)),
        "engine": (True, lambda n: batches.chosen(text, n)),
    }


def memory_of(text, keep, form="k3v2", merge=False):
    """Keys, values and what is added to scores, by layer and key head. `keep`: of the candidates, None for all."""
    length = len(text.tokens)
    ends = torch.cat([torch.arange(FIRST), torch.arange(length - LATEST, length)])
    keys, values = (text.quantized, text.rough) if form == "k3v2" else (text.keys, text.values)
    memory = []
    for layer in range(LAYERS):
        heads = []
        for head in range(GROUPS):
            inside = torch.arange(FIRST, length - LATEST) if keep is None else keep[layer, head].nonzero()[:, 0] + FIRST
            k, v, bias = keys[layer, head, inside], values[layer, head, inside], torch.zeros(len(inside))
            if merge:
                gone = (~keep[layer, head]).nonzero()[:, 0] + FIRST
                k, v, bias = merged(k, v, keys[layer, head, gone], values[layer, head, gone])
            k, v = torch.cat([k, text.keys[layer, head, ends]]), torch.cat([v, text.values[layer, head, ends]])
            heads.append((k, v, F.pad(bias, (0, len(ends))) if merge else None))
        memory.append(heads)
    return memory


def merged(keys, values, gone_keys, gone_values):
    """Tokens that go are merged into the entry with the most similar key, if it is more similar than most (after D2O)."""
    similar = F.normalize(gone_keys, dim=-1).bfloat16() @ F.normalize(keys, dim=-1).bfloat16().T
    likeness, nearest = similar.max(1)
    likeness = likeness.float()
    close = likeness > likeness.mean()
    to = nearest[close]
    counts = torch.ones(len(keys)).index_add(0, to, torch.ones(len(to)))
    keys = keys.index_add(0, to, gone_keys[close]) / counts[:, None]
    values = values.index_add(0, to, gone_values[close]) / counts[:, None]
    return keys, values, counts.log()


class Tails:
    """Tokens after a text, in several texts that each go on from it."""

    def __init__(self, weights, memory, length):
        self.weights, self.memory, self.length = weights, memory, length
        self.owners = torch.zeros(0, dtype=torch.long)
        self.entries = [None] * LAYERS

    def run(self, tokens, owners):
        """Logits [tokens, vocabulary]. `owners`: the text of each token."""
        owners = torch.as_tensor(owners)
        every = torch.cat([self.owners, owners])
        own = torch.arange(len(self.owners), len(every))
        before = (every == owners[:, None]) & (torch.arange(len(every)) <= own[:, None])
        positions = before.sum(1) - 1 + self.length
        mask = before.repeat(GROUP, 1)
        self.owners = every

        def attend(layer, x, q, k, v):
            entry = (rotated(k, positions), v)
            if self.entries[layer] is not None:
                entry = tuple(torch.cat(pair, 1) for pair in zip(self.entries[layer], entry))
            self.entries[layer] = entry
            queries = rotated(q, positions).view(GROUPS, -1, WIDTH) / 8
            heads = []
            for head, (keys, values, bias) in enumerate(self.memory[layer]):
                old = queries[head] @ keys.T
                if bias is not None:
                    old += bias
                new = (queries[head] @ entry[0][head].T).masked_fill_(~mask, -math.inf)
                shares = torch.cat([old, new], 1).softmax(-1)
                heads.append(shares[:, : len(keys)] @ values + shares[:, len(keys) :] @ entry[1][head])
            return torch.stack(heads).view(q.shape)

        return logits_of(self.weights, run(self.weights, tokens, positions, attend))


# Texts and tasks.


def chat(tokenizer, turns, generate):
    return tokenizer.apply_chat_template(turns, add_generation_prompt=generate, tokenize=False)


def paragraphs():
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"][TRAIN_ARTICLES:]
    return [paragraph for article in articles for paragraph in article["paragraphs"]]


def text_tokens(tokenizer, name, count):
    """The same texts as bench/support/texts.ts."""
    if name == "wikitext":
        text = wikitext("test")
    elif name == "drama":
        text = shakespeare("test")
    elif name == "code":
        files = sorted(str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*.ts"))
        text = "\n".join((ROOT / "src" / file).read_text() for file in files)
    else:
        chats = [
            [
                {"role": "user", "content": filled(paragraph["context"], paragraph["qas"][0]["question"])},
                {"role": "assistant", "content": paragraph["qas"][0]["answers"][0]["text"]},
            ]
            for paragraph in paragraphs()
        ]
        text = "".join(chat(tokenizer, turns, False) for turns in chats)
    return encode(tokenizer, text[: 10 * count])[:count]


def filled(context, question):
    return PROMPT["template"].replace("{context}", context).replace("{question}", question)


PLACES = "Aldmouth Brackwater Corvenna Dunlisk Eskerry Farrowgate Gullhaven Hestrand Inverloe Jorvath".split()


def fact_cases(tokenizer, filler, depths):
    """As cli/evaluations/retrieval.ts, but with the same filler at all depths: (depth, text, question, answer), in tokens."""
    before, after = chat(tokenizer, [{"role": "user", "content": "\0"}], True).split("\0")
    head = encode(tokenizer, before)
    cases = []
    for i in range(depths):
        subject = f"he secret code of the harbour of {PLACES[i]}"
        code = str(10_000 + (48_213 + i * 27_644_437) % 90_000)
        fact = encode(tokenizer, f"\nT{subject} is {code}.\n")
        question = encode(tokenizer, f"\n\nWhat is t{subject}?{after}T{subject} is ")
        answer = encode(tokenizer, code)
        room = CONTEXT - len(head) - len(fact) - len(question) - len(answer)
        at = room * (2 * i + 1) // (2 * depths)
        while not re.search(r"[.!?\n]\s*$", tokenizer.decode(filler[at - 1])):
            at -= 1
        cases.append((round(at / room, 3), [*head, *filler[:at], *fact, *filler[at:room]], question, answer))
    return cases


class Study:
    def __init__(self, out, ways, shares):
        self.out, self.ways, self.shares = out, ways, shares
        self.tokenizer = load_tokenizer()
        state = load_base().state_dict()
        self.weights = Weights(state)
        self.adapted = Weights(state, ROOT / "demo/public/adapters/squad-alora") if "questions" in sys.argv else None
        turn = "<|im_end|>\n<|im_start|>user\nRepeat the text above.<|im_end|>\n<|im_start|>assistant\n"
        self.repeat = encode(self.tokenizer, turn)
        self.lost = far_losses(self.weights)

    def is_done(self, *key):
        """Whether the file has all ways and budgets of a case; if not, all that are asked for are computed."""
        known = next((row["found"] for row in rows_of(self.out) if (row["task"], row["text"], row["case"]) == key), None)
        return known is not None and all(f"{way} {share}" in known for way in self.ways for share in self.shares)

    def record(self, **row):
        with open(self.out, "a") as file:
            file.write(json.dumps(row) + "\n")

    def memories(self, text):
        """(way, share of bytes, memory) of every way and budget."""
        length = len(text.tokens)
        progress("read")
        found = measures_of(self.weights, text, self.ways)
        found["adapted"] = self.repeated_by_adapted(text) if self.adapted and self.asks("adapted", "adapted-or-base") else text.repeated
        later = Later(self.weights, text) if self.asks(*GROWN) else None
        batches = Batches(text) if self.asks("engine") else None
        ways = ways_of(text, found, self.lost, later, batches)
        progress("measured")
        yield "full", 1, memory_of(text, None, form="f16")
        yield "k3v2", 0.18, memory_of(text, None)
        for share in self.shares:
            for name, (by_token, choose) in ways.items():
                if self.ways and name not in self.ways or name.startswith("adapted") and not self.adapted:
                    continue
                entries = entries_for(share, length, by_token, NOISELESS.get(name))
                keep = choose(entries)
                assert keep.sum() <= entries, name
                yield name, share, memory_of(text, keep, "f16" if name in NOISELESS else "k3v2", merge=name == "merge")

    def asks(self, *names):
        return not self.ways or not set(names).isdisjoint(self.ways)

    def repeated_by_adapted(self, text):
        """The attention when the model with the adapter repeats a text that the base has read."""
        length, base = len(text.tokens), text.repeated
        text.repeated = base.clone()
        for start in range(0, length - LATEST, CHUNK):
            end = start + CHUNK if start + CHUNK < length - LATEST else length
            read_again(self.adapted, text, start, end, self.repeat)
        found, text.repeated = text.repeated, base
        return found

    def perplexity(self, names, windows):
        for name in names:
            tokens = text_tokens(self.tokenizer, name, windows * CONTEXT)
            for window in range(windows):
                if self.is_done("perplexity", name, window):
                    continue
                own = tokens[window * CONTEXT : (window + 1) * CONTEXT]
                if len(own) < CONTEXT:
                    break  # the text has fewer windows
                text = read(self.weights, own[:-NEXT], self.repeat)
                following, targets = own[-NEXT:-1], torch.tensor(own[-NEXT + 1 :])
                found = {}
                for way, share, memory in self.memories(text):
                    logits = Tails(self.weights, memory, len(text.tokens)).run(following, [0] * len(following))
                    log_probs = logits.log_softmax(-1).gather(1, targets[:, None])[:, 0]
                    found[f"{way} {share}"] = [round(x, 4) for x in log_probs.tolist()]
                    progress(name, window, way, share, f"{-log_probs.mean():.4f}")
                self.record(task="perplexity", text=name, case=window, found=found)

    def facts(self, names, depths):
        for name in names:
            filler = text_tokens(self.tokenizer, name, CONTEXT)
            base = None
            # The deepest first: the next text begins as it does.
            for case, (depth, tokens, question, answer) in reversed(list(enumerate(fact_cases(self.tokenizer, filler, depths)))):
                if self.is_done("facts", name, case):
                    continue
                text = base = read(self.weights, tokens, self.repeat, base)
                asked = [*question, *answer[:-1]]
                found = {}
                for way, share, memory in self.memories(text):
                    logits = Tails(self.weights, memory, len(tokens)).run(asked, [0] * len(asked))[-len(answer) :]
                    log_prob = logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).mean().item()
                    found[f"{way} {share}"] = [logits.argmax(-1).tolist() == answer, round(log_prob, 4)]
                    progress(name, depth, way, share, *found[f"{way} {share}"])
                self.record(task="facts", text=name, case=case, depth=depth, found=found)

    def questions(self, count, between=3000):
        """Five questions about each of four paragraphs, after which `between` tokens of wikitext-2 come, answered by squad-alora."""
        other = text_tokens(self.tokenizer, "wikitext", count * between)
        every = paragraphs()
        step = len(every) // (4 * count)
        for case in range(count):
            if self.is_done("questions", "squad", case):
                continue
            own = [every[(4 * case + i) * step] for i in range(4)]
            context = "\n\n".join(paragraph["context"] for paragraph in own)
            before, after = chat(self.tokenizer, [{"role": "user", "content": filled(context, "\0")}], True).split("\0")
            before = before.removesuffix("Question: ")
            tokens = [*encode(self.tokenizer, before), *other[case * between : (case + 1) * between]]
            text = read(self.weights, tokens, self.repeat)
            questions = [qa for paragraph in own for qa in paragraph["qas"][:5]]
            asked = [encode(self.tokenizer, f"\n\nQuestion: {qa['question']}{after}") for qa in questions]
            found = {}
            for way, share, memory in self.memories(text):
                answers = self.answers(memory, len(tokens), asked)
                scores = [max(f1(answer, right["text"]) for right in qa["answers"]) for answer, qa in zip(answers, questions)]
                found[f"{way} {share}"] = [round(x, 4) for x in scores]
                progress("questions", case, way, share, f"{sum(scores) / len(scores):.3f} of {len(scores)}", answers[:4])
            self.record(task="questions", text="squad", case=case, found=found)

    def answers(self, memory, length, asked):
        """Greedy answers, of all questions at once."""
        tails = Tails(self.adapted, memory, length)
        logits = tails.run(sum(asked, []), sum(([i] * len(each) for i, each in enumerate(asked)), []))
        ends = torch.tensor([len(each) for each in asked]).cumsum(0) - 1
        latest, going = logits[ends].argmax(-1).tolist(), list(range(len(asked)))
        answers = [[] for _ in asked]
        for _ in range(16):
            pairs = [(owner, token) for owner, token in zip(going, latest) if token != END]
            if not pairs:
                break
            for owner, token in pairs:
                answers[owner].append(token)
            going = [owner for owner, _ in pairs]
            latest = tails.run([token for _, token in pairs], going).argmax(-1).tolist()
        return [self.tokenizer.decode(answer) for answer in answers]


def f1(answer, right):
    """SQuAD's F1."""

    def words(text):
        text = "".join(c for c in text.lower() if c not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    own, given = words(answer), words(right)
    same = sum((Counter(own) & Counter(given)).values())
    return 2 * same / (len(own) + len(given)) if same else 0.0


def progress(*what):
    print(time.strftime("%H:%M:%S"), f"{time.process_time():.0f} s", *what, flush=True)


# The tables.


def rows_of(out):
    """Rows of a file; those of one case are joined."""
    rows = {}
    for line in open(out) if Path(out).exists() else []:
        row = json.loads(line)
        key = (row["task"], row["text"], row["case"])
        rows.setdefault(key, row)["found"].update(row["found"])
    return list(rows.values())


def interval(differences, block=15):
    """Mean and 95 % by a bootstrap over blocks of neighbouring tokens, 17 a window."""
    x = torch.tensor(differences)
    parts = x.view(-1, block).mean(1)
    generator = torch.Generator().manual_seed(SEED)
    means = parts[torch.randint(len(parts), (4000, len(parts)), generator=generator)].mean(1)
    return x.mean().item(), means.quantile(0.025).item(), means.quantile(0.975).item()


def table(out):
    rows = rows_of(out)
    for name in dict.fromkeys(row["text"] for row in rows if row["task"] == "perplexity"):
        own = [row["found"] for row in rows if row["task"] == "perplexity" and row["text"] == name]
        print(f"perplexity, {name}, {len(own)} windows")
        for way in own[0]:
            share = way.split()[1]

            def beside(control):
                return [b - a for found in own for a, b in zip(found[way], found[control])]

            percent = [100 * (math.exp(x) - 1) for x in interval(beside("full 1"))]
            line = f"  {way:26} {percent[0]:+6.1f} % ({percent[1]:.1f} to {percent[2]:.1f})"
            if f"oldest {share}" in own[0]:
                percent = [100 * (math.exp(x) - 1) for x in interval(beside(f"oldest {share}"))]
                line += f"; beside oldest {percent[0]:+6.1f} % ({percent[1]:.1f} to {percent[2]:.1f})"
            print(line)
    for name in dict.fromkeys(row["text"] for row in rows if row["task"] == "facts"):
        every = [row["found"] for row in rows if row["task"] == "facts" and row["text"] == name]
        own = [found for found in every if found["full 1"][0]]
        print(f"facts, {name}: with full memory {len(own)} of {len(every)}")
        for way in own[0] if own else []:
            mean = sum(found[way][1] for found in own) / len(own)
            print(f"  {way:26} {sum(found[way][0] for found in own)}, log p {mean:.2f}")
    own = [row["found"] for row in rows if row["task"] == "questions"]
    if own:
        print(f"questions: {sum(len(found['full 1']) for found in own)} after {len(own)} texts")
    for way in own[0] if own else []:
        share = way.split()[1]
        scores = [x for found in own for x in found[way]]
        line = f"  {way:26} F1 {100 * sum(scores) / len(scores):.1f}"
        if f"oldest {share}" in own[0]:
            control = [x for found in own for x in found[f"oldest {share}"]]
            middle, low, high = interval([a - b for a, b in zip(scores, control)], 1)
            line += f"; beside oldest {100 * middle:+.1f} ({100 * low:.1f} to {100 * high:.1f})"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("task", choices=["perplexity", "facts", "questions", "table"])
    parser.add_argument("--out", required=True)
    parser.add_argument("--texts", default="drama,code,wikitext,chats")
    parser.add_argument("--ways", default="")
    parser.add_argument("--shares", default="0.1,0.05")
    parser.add_argument("--count", type=int, help="windows (2), depths (10) or texts with questions (3)")
    given = parser.parse_args()
    if given.task == "table":
        table(given.out)
        return
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    shares = [float(share) for share in given.shares.split(",")]
    study = Study(given.out, [way for way in given.ways.split(",") if way], shares)
    with torch.no_grad():
        if given.task == "perplexity":
            study.perplexity(given.texts.split(","), given.count or 2)
        elif given.task == "facts":
            study.facts(given.texts.split(","), given.count or 10)
        else:
            study.questions(given.count or 3)


if __name__ == "__main__":
    main()
