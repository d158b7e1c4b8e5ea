"""Trains or measures `answerable`, an activated adapter that tells whether a text answers a question:

python tools/train/answerable.py train --out FOLDER                    from squad-alora, on whole paragraphs
python tools/train/answerable.py train --adapter FOLDER --out FOLDER   goes on, on short texts and on whole paragraphs
python tools/train/answerable.py measure [--adapter FOLDER]            without: the base

--ordinary: the same as an ordinary adapter, from squad, which applies to the text too
--function: measures what function.yaml asks, the question as a message of its own and the answer in quotes
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

from base_model import load_tokenizer
from data import DATA, TRAIN_ARTICLES, encode
from decision import INVOCATION, TUNING_ARTICLES, batches, begin, label_tokens, logits_of, margins, open_model, train
from functions import auc, questions, sentences
from passages import Asked, Passage, asked_of, forget, passage_of

QUESTION = f"{INVOCATION} Does the text answer this? {{question}}\nAnswer with yes or no only."
# Training passages. A step takes the pairs of one passage, or of short ones.
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
RESAMPLES = 2000


@dataclass
class Pair:
    passage: Passage
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
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="over whole paragraphs; default: %(default)s")
    parser.add_argument("--ordinary", action="store_true")
    parser.add_argument("--function", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer()
    invocation = encode(tokenizer, INVOCATION)
    model = open_model(None if args.ordinary else invocation, args.adapter)

    def loss_of(model, batch):
        logits = logits_of(model, [pair.asked for pair in batch], args.ordinary)
        labels = label_tokens(tokenizer)
        return F.cross_entropy(logits, torch.tensor([labels[pair.isOwn][0] for pair in batch]))

    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"]
    cut = TRAIN_ARTICLES - TUNING_ARTICLES
    if args.what == "train":
        whole = batches(pairs(tokenizer, articles[:cut], invocation))
        if args.adapter:
            short = batches(pairs(tokenizer, articles[:cut], invocation, is_short=True), PAIRS)
            train(model, mixed(whole, short), LATER_LEARNING_RATE, args.out, loss_of)
        else:
            begin(model, "squad" if args.ordinary else "squad-alora")
            epochs = [random.Random(epoch).sample(whole[:PASSAGES], PASSAGES) for epoch in range(args.epochs)]
            train(model, sum(epochs, []), LEARNING_RATE, args.out, loss_of)
        return
    tuning, held_out = (
        {
            name: measured(model, pairs(tokenizer, some, invocation, is_short, args.function), tokenizer, args.ordinary)
            for name, is_short in (("whole", False), ("short", True))
        }
        for some in (articles[cut:TRAIN_ARTICLES], articles[TRAIN_ARTICLES:])
    )
    for name in held_out:
        print(json.dumps({"texts": name, **summary(tuning["whole"] + tuning["short"], held_out[name])}))


def pairs(tokenizer, articles, invocation, is_short=False, is_function=False):
    """Each question with a text that answers it, and with one of its article that does not have its answer's words."""
    found = []
    for article in articles:
        passages = {}
        for each in questions(article):
            own, other = (short_texts if is_short else whole_texts)(article, each)
            for text in filter(None, (own, other)):
                if text not in passages:
                    passages[text] = passage_of(tokenizer, text, is_function)
                question = QUESTION.replace("{question}", each.question)
                asked = asked_of(tokenizer, passages[text], question, invocation)
                if is_function:
                    asked.tail += encode(tokenizer, '"')
                found.append(Pair(passages[text], asked, text == own))
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


def mixed(whole, short):
    """Steps with the last paragraphs, which the first training leaves out, and with short texts."""
    runs = zip(whole[-WHOLE_STEPS:], *[iter(short)] * SHORT_RUN)
    return [group for one, *several in runs for group in (*several, one)]


def measured(model, all_pairs, tokenizer, is_ordinary):
    with torch.no_grad():
        for group in batches(all_pairs, PAIRS):
            logits = logits_of(model, [pair.asked for pair in group], is_ordinary)
            for pair, margin in zip(group, margins(logits, tokenizer).tolist(), strict=True):
                pair.margin = margin
            forget(pair.asked for pair in group)
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
