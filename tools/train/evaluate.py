"""Measures a base or an adapter on held-out text, in float32:

python tools/train/evaluate.py squad|wikitext|shakespeare [--adapter FOLDER]
    [--ranks 1 2 4 8 16 [--order svd|own]]    the adapter truncated to each rank
"""

import argparse
import json
import math
import re
import string
from pathlib import Path

import torch
import torch.nn.functional as F

from base_model import load_adapter, load_base, load_tokenizer
from components import truncate
from data import PROMPT, encode, prompt_tokens, questions, shakespeare, wikitext

CONTEXT = 2048
WIKITEXT_TOKENS = 4 * CONTEXT
QUESTIONS_AT_ONCE = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=MEASURES)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--ranks", type=int, nargs="+")
    parser.add_argument("--order", choices=["svd", "own"], default="svd")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer()
    model = load_base()
    if args.adapter:
        model = load_adapter(model, args.adapter)
    # In descending order: a truncation in place can only remove components.
    for rank in sorted(args.ranks or [None], reverse=True):
        if rank is not None:
            truncate(model, rank, args.order)
        label = {"task": args.task, "adapter": args.adapter and str(args.adapter), "rank": rank}
        with torch.inference_mode():
            print(json.dumps({**label, **MEASURES[args.task](model, tokenizer)}), flush=True)


def perplexity(model, tokens):
    """Perplexity over consecutive windows without a BOS: every token after a window's first is scored."""
    nll = 0.0
    count = 0
    for at in range(0, len(tokens), CONTEXT):
        window = torch.tensor(tokens[at : at + CONTEXT])
        logits = model(input_ids=window[None], use_cache=False).logits[0, :-1]
        nll += F.cross_entropy(logits, window[1:], reduction="sum").item()
        count += len(window) - 1
    return {"perplexity": round(math.exp(nll / count), 4), "tokens": count}


def exact_match(model, tokenizer):
    """Percentage of questions answered greedily with one of the reference answers, by SQuAD's normalization.

    `contained` also counts answers that contain a reference among other words, and so separates form from knowledge.
    """
    asked = questions("held-out")
    order = sorted(range(len(asked)), key=lambda i: len(asked[i].prompt))
    hits = contained = 0
    for at in range(0, len(order), QUESTIONS_AT_ONCE):
        batch = [asked[i] for i in order[at : at + QUESTIONS_AT_ONCE]]
        for question, answer in zip(batch, answers(model, tokenizer, batch), strict=True):
            given = normalize(answer)
            references = [normalize(reference) for reference in question.answers]
            hits += given in references
            contained += any(f" {reference} " in f" {given} " for reference in references)
    percentage = {"exactMatch": round(100 * hits / len(asked), 2), "contained": round(100 * contained / len(asked), 2)}
    return {**percentage, "questions": len(asked)}


def answers(model, tokenizer, batch):
    prompts = [prompt_tokens(tokenizer, question) for question in batch]
    length = max(map(len, prompts))
    pad = tokenizer.eos_token_id
    tokens = torch.tensor([[pad] * (length - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (length - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    generated = model.generate(
        input_ids=tokens, attention_mask=mask, max_new_tokens=PROMPT["maxTokens"], do_sample=False,
        eos_token_id=pad, pad_token_id=pad,
    )
    return tokenizer.batch_decode(generated[:, length:], skip_special_tokens=True)


def normalize(answer):
    """SQuAD's normalization: lower case, no punctuation, no articles, single spaces."""
    kept = "".join(character for character in answer.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


MEASURES = {
    "squad": exact_match,
    "wikitext": lambda model, tokenizer: perplexity(model, encode(tokenizer, wikitext("test"))[:WIKITEXT_TOKENS]),
    "shakespeare": lambda model, tokenizer: perplexity(model, encode(tokenizer, shakespeare("held-out"))),
}

if __name__ == "__main__":
    main()
