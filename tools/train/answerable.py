"""Trains or measures `answerable`, an activated adapter that tells whether a text answers a question:

python tools/train/answerable.py train --out FOLDER                    from squad-alora, on whole paragraphs
python tools/train/answerable.py train --adapter FOLDER --out FOLDER   goes on, on short texts and on whole paragraphs
python tools/train/answerable.py measure [--adapter FOLDER]            without: the base

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
from functions import auc, questions, sentences
from passages import Asked, asked_of, last_logits, passage_of, read
from train import HAS_BFLOAT16

INVOCATION = "<|im_start|>assistant\n"
QUESTION = "Question: Does the text answer this? {question}\nAnswer with yes or no only."
LABELS = {True: ["yes", "Yes"], False: ["no", "No"]}
RANK = 4
# Training passages: of the articles before the last four, which tune. A step takes the pairs of one passage, or of short ones.
TUNING_ARTICLES = 4
PASSAGES = 52
EPOCHS = 3
LEARNING_RATE = 6e-4
# Going on: a step with a whole paragraph after each SHORT_RUN steps with short texts.
WHOLE_STEPS = 16
SHORT_RUN = 2
LATER_LEARNING_RATE = 3e-4
# A short text has at most so many sentences.
MOST_SENTENCES = 3
# Least pairs of a step with short texts.
PAIRS = 10
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
    if args.adapter:
        set_peft_model_state_dict(model, load_file(args.adapter / "adapter_model.safetensors"))
    cut = TRAIN_ARTICLES - TUNING_ARTICLES
    if args.what == "train":
        whole = batches(pairs(tokenizer, articles[:cut], invocation))
        if args.adapter:
            short = batches(pairs(tokenizer, articles[:cut], invocation, is_short=True), PAIRS)
            train(model, mixed(whole, short), LATER_LEARNING_RATE, labels, invocation)
        else:
            begin(model)
            epochs = [random.Random(epoch).sample(whole[:PASSAGES], PASSAGES) for epoch in range(EPOCHS)]
            train(model, sum(epochs, []), LEARNING_RATE, labels, invocation)
        save_adapter(model, args.out)
        return
    tuning, held_out = (
        {
            name: measured(model, pairs(tokenizer, some, invocation, is_short), labels, invocation)
            for name, is_short in (("whole", False), ("short", True))
        }
        for some in (articles[cut:TRAIN_ARTICLES], articles[TRAIN_ARTICLES:])
    )
    for name in held_out:
        print(json.dumps({"texts": name, **summary(tuning["whole"] + tuning["short"], held_out[name])}))


def pairs(tokenizer, articles, invocation, is_short=False):
    """Each question with a text that answers it, and with one of its article that does not have its answer's words."""
    found = []
    for article in articles:
        passages = {}
        for each in questions(article):
            own, other = (short_texts if is_short else whole_texts)(article, each)
            for text in filter(None, (own, other)):
                if text not in passages:
                    passages[text] = passage_of(tokenizer, text)
                question = QUESTION.replace("{question}", each.question)
                found.append(Pair(asked_of(tokenizer, passages[text], question, invocation), text == own))
    return found


def whole_texts(_, each):
    """The question's paragraph, and another one."""
    return each.context, random.Random(f"{each.question} 0").choice(each.others) if each.others else None


def short_texts(article, each):
    """One to three sentences with the question's answer, and as many or more or fewer elsewhere in the article."""
    draw = random.Random(f"{each.question} short")
    own_count, other_count = (draw.randint(1, MOST_SENTENCES) for _ in range(2))
    end = each.start + len(each.answer)
    own = [each.context[a:b] for a, b in windows(each.context, own_count) if a <= each.start and end <= b]
    other = [
        text[a:b]
        for text in (paragraph["context"] for paragraph in article["paragraphs"])
        for a, b in windows(text, other_count)
        if each.answer not in text[a:b]
    ]
    return draw.choice(own or [each.context]), draw.choice(other) if other else None


def windows(text, count):
    """The start and end of each `count` neighbouring sentences; of all, if there are fewer."""
    spans = sentences(text)
    count = min(count, len(spans))
    return [(spans[i][0], spans[i + count - 1][1]) for i in range(len(spans) - count + 1)]


def batches(all_pairs, least=1):
    """The pairs of each passage, the passages in random order. Passages with fewer than `least` pairs share a batch."""
    by_passage = {}
    for pair in all_pairs:
        by_passage.setdefault(pair.asked.passage.text, []).append(pair)
    groups = list(by_passage.values())
    random.Random(0).shuffle(groups)
    found = [[]]
    for group in groups:
        if len(found[-1]) >= least:
            found.append([])
        found[-1] += group
    return found


def mixed(whole, short):
    """Steps with the last paragraphs, which the first training leaves out, and with short texts."""
    runs = zip(whole[-WHOLE_STEPS:], *[iter(short)] * SHORT_RUN)
    return [group for one, *several in runs for group in (*several, one)]


def train(model, steps, learning_rate, labels, invocation):
    optimizer = torch.optim.AdamW(trained(model), lr=learning_rate, weight_decay=0.0)
    for step, group in enumerate(steps):
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / len(steps)))
        all_asked = [pair.asked for pair in group]
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BFLOAT16):
            read(model, all_asked)
        logits = last_logits(model, all_asked, invocation)
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
        for group in batches(all_pairs, PAIRS):
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
