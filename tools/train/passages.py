"""Keys and values of texts and of questions about them, computed once by the base, without a gradient.

An activated adapter changes only the tokens from its invocation on, so a step of its training computes only those.
"""

from dataclasses import dataclass

import torch
from transformers import DynamicCache

from data import encode
from train import last_start

# Of what is kept, 23 KB a token; float32 gives the logits of a full pass to 1e-4, this one to 0.02.
KEPT = torch.float16


@dataclass
class Passage:
    """A text at the beginning of prompts. `kept`: keys and values [layers, 2, heads, tokens, head width]."""

    text: str
    tokens: list[int]
    isMessage: bool
    """Whether it is a message of its own, and the question the next one."""
    kept: torch.Tensor | None = None


@dataclass
class Asked:
    """A prompt about a passage. `kept`: as of a passage."""

    passage: Passage
    before: list[int]
    """Its tokens from the passage's end to the invocation."""
    tail: list[int]
    """Those from the invocation on, to which an activated adapter applies."""
    kept: torch.Tensor | None = None


def passage_of(tokenizer, text, is_message=False):
    """The tokens that all prompts share which go on after a text."""
    one, other = (prompt_tokens(tokenizer, text, next, is_message) for next in ("A", "B"))
    length = next(i for i, pair in enumerate(zip(one, other, strict=True)) if pair[0] != pair[1])
    return Passage(text, one[:length], is_message)


def prompt_tokens(tokenizer, text, question, is_message):
    contents = [text, question] if is_message else [f"{text}\n\n{question}"]
    turns = [{"role": "user", "content": content} for content in contents]
    return encode(tokenizer, tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def asked_of(tokenizer, passage, question, invocation):
    """A prompt about a passage, in which an adapter begins at the last `invocation`."""
    tokens = prompt_tokens(tokenizer, passage.text, question, passage.isMessage)
    length = len(passage.tokens)
    start = last_start(tokens, invocation)
    assert tokens[:length] == passage.tokens and start >= length
    return Asked(passage, tokens[length:start], tokens[start:])


def read(model, all_asked):
    """Keeps what the base computes of prompts, unless it is kept. `model`: the base with an adapter."""
    by_passage = {}
    for asked in all_asked:
        if asked.kept is None:
            by_passage.setdefault(id(asked.passage), []).append(asked)
    alone = [group[0] for group in by_passage.values() if len(group) == 1 and group[0].passage.kept is None]
    if alone:
        read_whole(model, alone)
    for group in by_passage.values():
        if group[0].kept is None:
            read_about_one(model, group)


def forget(all_asked):
    """Frees what is kept of prompts and their passages."""
    for asked in all_asked:
        asked.kept = asked.passage.kept = None


def read_whole(model, all_asked):
    """Keeps what the base computes of prompts about different passages, and of the passages."""
    rows = [asked.passage.tokens + asked.before for asked in all_asked]
    with torch.no_grad(), model.disable_adapter():
        # Padding is on the right, where causal attention never sees it.
        kept = kept_of(model.get_base_model().model(input_ids=padded(rows), use_cache=True).cache)
    for row, asked in enumerate(all_asked):
        length = len(asked.passage.tokens)
        asked.passage.kept = kept[:, :, row, :, :length].to(KEPT)
        asked.kept = kept[:, :, row, :, length : len(rows[row])].to(KEPT)


def read_about_one(model, all_asked):
    """Keeps what the base computes of prompts about one passage, and of the passage."""
    passage = all_asked[0].passage
    base = model.get_base_model().model
    with torch.no_grad(), model.disable_adapter():
        if passage.kept is None:
            passage.kept = kept_of(base(input_ids=torch.tensor([passage.tokens]), use_cache=True).cache)[:, :, 0].to(KEPT)
        length = len(passage.tokens)
        if not any(asked.before for asked in all_asked):
            for asked in all_asked:
                asked.kept = passage.kept[:, :, :, :0]
            return
        cache = cache_of(passage.kept.float()[:, :, None].expand(-1, -1, len(all_asked), -1, -1, -1))
        kept = kept_of(base(input_ids=padded([asked.before for asked in all_asked]), cache=cache, use_cache=True).cache)
        for row, asked in enumerate(all_asked):
            asked.kept = kept[:, :, row, :, length : length + len(asked.before)].to(KEPT)


def last_logits(model, all_asked):
    """The logits [prompts, vocabulary] after prompts to whose tails the adapter applies."""
    read(model, all_asked)
    lengths = [len(asked.passage.tokens) + len(asked.before) for asked in all_asked]
    tails = padded([asked.tail for asked in all_asked])
    longest = max(lengths)
    first = all_asked[0].kept
    kept = torch.zeros(*first.shape[:2], len(all_asked), first.shape[2], longest, first.shape[4])
    mask = torch.ones(len(all_asked), longest + tails.shape[1], dtype=torch.long)
    for row, (asked, length) in enumerate(zip(all_asked, lengths, strict=True)):
        kept[:, :, row, :, longest - length :] = torch.cat([asked.passage.kept.float(), asked.kept.float()], dim=3)
        mask[row, : longest - length] = 0
    positions = torch.tensor(lengths)[:, None] + torch.arange(tails.shape[1])
    base = model.get_base_model()
    given = {"attention_mask": mask, "position_ids": positions, "cache": cache_of(kept)}
    hidden = base.model(input_ids=tails, **given).last_hidden_state
    return base.lm_head(hidden[range(len(all_asked)), [len(asked.tail) - 1 for asked in all_asked]])


def whole_logits(model, all_asked):
    """The same for an ordinary adapter, which applies to the whole prompts. Prompts about one passage share its keys and values."""
    by_passage = {}
    for row, asked in enumerate(all_asked):
        by_passage.setdefault(id(asked.passage), []).append(row)
    base = model.get_base_model()
    found = {}
    for rows in by_passage.values():
        passage = all_asked[rows[0]].passage
        kept = kept_of(base.model(input_ids=torch.tensor([passage.tokens]), use_cache=True).cache)
        ends = [all_asked[row].before + all_asked[row].tail for row in rows]
        cache = cache_of(kept.expand(-1, -1, len(rows), -1, -1, -1))
        hidden = base.model(input_ids=padded(ends), cache=cache).last_hidden_state
        last = [len(end) - 1 for end in ends]
        found |= zip(rows, base.lm_head(hidden[range(len(rows)), last]), strict=True)
    return torch.stack([found[row] for row in range(len(all_asked))])


def padded(rows):
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


def kept_of(cache):
    return torch.stack([torch.stack([layer.keys, layer.values]) for layer in cache.layers])


def cache_of(kept):
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(kept):
        cache.update(keys, values, layer)
    return cache
