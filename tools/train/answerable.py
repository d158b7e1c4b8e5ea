"""Trains or measures `answerable`, an activated adapter that tells whether a text answers a question:

python tools/train/answerable.py train --out FOLDER
python tools/train/answerable.py measure [--adapter FOLDER]    without: the base

The question is that of `engine.decisions`: a predicate, answered with yes or no.
"""

import argparse
import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from base_model import ROOT, add_adapter, load_base, load_tokenizer, save_adapter, trained
from components import lora_modules, sort_components
from data import DATA, TRAIN_ARTICLES, encode
from functions import auc, questions
from passages import Asked, asked_of, last_logits, passage_of

INVOCATION = "<|im_start|>assistant\n"
QUESTION = "Question: Does the text answer this? {question}\nAnswer with yes or no only."
LABELS = {True: ["yes", "Yes"], False: ["no", "No"]}
RANK = 4
# Training passages: of the articles before the last four, which tune. A step takes the pairs of one passage.
TUNING_ARTICLES = 4
PASSAGES = 52
EPOCHS = 3
LEARNING_RATE = 6e-4
# Its largest components are the first weights: it finds answers already.
START = ROOT / "demo/public/adapters/squad-alora/adapter_model.safetensors"
RESAMPLES = 2000


@dataclass
class Pair:
    asked: Asked
    isOwn: bool
    """Whether the passage is the question's own, and so answers it."""
    margin: float = 0.0
    """Log-odds of yes."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer()
    invocation = encode(tokenizer, INVOCATION)
    torch.manual_seed(1)
    # B is zero: this is the base.
    model = add_adapter(load_base(), RANK, invocation=invocation)
    labels = {isYes: [encode(tokenizer, label)[0] for label in spellings] for isYes, spellings in LABELS.items()}
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"]
    if args.what == "train":
        learned = articles[: TRAIN_ARTICLES - TUNING_ARTICLES]
        train(model, batches(pairs(tokenizer, learned, invocation))[:PASSAGES], labels, invocation)
        save_adapter(model, args.out)
        return
    if args.adapter:
        set_peft_model_state_dict(model, load_file(args.adapter / "adapter_model.safetensors"))
    tuning, held_out = (
        measured(model, pairs(tokenizer, some, invocation), labels, invocation)
        for some in (articles[TRAIN_ARTICLES - TUNING_ARTICLES : TRAIN_ARTICLES], articles[TRAIN_ARTICLES:])
    )
    print(json.dumps(summary(tuning, held_out)))


def pairs(tokenizer, articles, invocation):
    """Each question with its own passage, and with one of its article that does not have its answer's words."""
    found = []
    for article in articles:
        passages = {each["context"]: passage_of(tokenizer, each["context"]) for each in article["paragraphs"]}
        for each in questions(article):
            other = random.Random(f"{each.question} 0").choice(each.others) if each.others else None
            for context in filter(None, (each.context, other)):
                question = QUESTION.replace("{question}", each.question)
                asked = asked_of(tokenizer, passages[context], question, invocation)
                found.append(Pair(asked, context == each.context))
    return found


def batches(all_pairs):
    """The pairs of each passage, the passages in random order."""
    by_passage = {}
    for pair in all_pairs:
        by_passage.setdefault(pair.asked.passage.text, []).append(pair)
    groups = list(by_passage.values())
    random.Random(0).shuffle(groups)
    return groups


def train(model, groups, labels, invocation):
    begin(model)
    optimizer = torch.optim.AdamW(trained(model), lr=LEARNING_RATE, weight_decay=0.0)
    steps = [group for epoch in range(EPOCHS) for group in random.Random(epoch).sample(groups, len(groups))]
    for step, group in enumerate(steps):
        for parameters in optimizer.param_groups:
            parameters["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / len(steps)))
        logits = last_logits(model, [pair.asked for pair in group], invocation)
        loss = F.cross_entropy(logits, torch.tensor([labels[pair.isOwn][0] for pair in group]))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained(model), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(json.dumps({"step": step + 1, "of": len(steps), "loss": round(loss.item(), 4), "pairs": len(group)}), flush=True)


def begin(model):
    """Sets the first weights: the largest components of an adapter that has more."""
    kept = load_file(START)
    names = {module: name for name, module in model.named_modules()}
    with torch.no_grad():
        for module in lora_modules(model):
            a, b = (kept[f"{names[module]}.lora_{part}.weight"].float() for part in "AB")
            sort_components(a, b)
            # A and B get equal shares of the singular values.
            sizes = b[:, :RANK].norm(dim=0).sqrt()
            module.lora_A["default"].weight.copy_(a[:RANK] * sizes[:, None])
            module.lora_B["default"].weight.copy_(b[:, :RANK] / sizes)


def measured(model, all_pairs, labels, invocation):
    with torch.no_grad():
        for group in batches(all_pairs):
            logits = last_logits(model, [pair.asked for pair in group], invocation)
            margins = logits[:, labels[True]].logsumexp(1) - logits[:, labels[False]].logsumexp(1)
            for pair, margin in zip(group, margins.tolist(), strict=True):
                pair.margin = margin
    return all_pairs


def summary(tuning, held_out):
    """Of held-out pairs; `temperature`: as `engine.decisions.calibrate` fits it, to the tuning pairs."""
    temperature = fit_temperature(tuning)
    own, other = ([pair.margin for pair in held_out if pair.isOwn == which] for which in (True, False))
    resampled = resampled_auc(own, other)
    return {
        "own": len(own), "other": len(other), "auc": auc(own, other),
        "interval95": [round(resampled[at], 3) for at in (RESAMPLES // 40, -RESAMPLES // 40)],
        "accuracy": round(sum(right(pair) for pair in held_out) / len(held_out), 3),
        "passed": [round(sum(margin > 0 for margin in some) / len(some), 3) for some in (own, other)],
        "temperature": round(temperature, 3), "tuningPairs": len(tuning),
        "ece": {"before": round(ece(held_out, 1), 4), "after": round(ece(held_out, temperature), 4)},
    }


def resampled_auc(own, other):
    """The AUC of samples drawn from both with replacement, in ascending order."""
    above = (torch.tensor(own)[:, None] - torch.tensor(other)).sign() / 2 + 0.5
    draw = torch.Generator().manual_seed(1)
    rows, columns = (torch.randint(len(some), (RESAMPLES, len(some)), generator=draw) for some in (own, other))
    return sorted(above[row][:, column].mean().item() for row, column in zip(rows, columns, strict=True))


def right(pair):
    return (pair.margin > 0) == pair.isOwn


def fit_temperature(all_pairs):
    """The temperature, of 0.05 to 20, with the smallest mean NLL, as src/api/decisions/distribution.ts finds it."""

    def nll(temperature):
        return sum(math.log1p(math.exp(min(500, (-1 if pair.isOwn else 1) * pair.margin / temperature))) for pair in all_pairs)

    return min((math.exp(i / 1000) for i in range(-2995, 2996)), key=nll)


def ece(all_pairs, temperature):
    """Expected calibration error of the likelier answer, in ten bins, as src/api/decisions/distribution.ts computes it."""
    bins = [[0.0, 0] for _ in range(10)]
    for pair in all_pairs:
        confidence = 1 / (1 + math.exp(-abs(pair.margin) / temperature))
        own = bins[min(9, int(confidence * 10))]
        own[0] += confidence
        own[1] += right(pair)
    return sum(abs(confidence - hits) for confidence, hits in bins) / len(all_pairs)


if __name__ == "__main__":
    main()
