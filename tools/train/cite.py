"""Trains or measures `cite`, an activated adapter that tells which sentence of a text holds a question's answer:

python tools/train/cite.py train --out FOLDER           from squad-alora
python tools/train/cite.py measure [--adapter FOLDER]   without: the base

The question is that of `engine.decisions`: a choice between the letters that follow the text's sentences.
"""

import argparse
import json
import math
import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch

from data import DATA, PROMPT, TRAIN_ARTICLES, encode
from base_model import load_tokenizer
from decision import INVOCATION, TUNING_ARTICLES, Case, batches, begin, open_model, train
from functions import Reader, holding, questions, rests_on, sentences, words
from passages import asked_of, forget, last_logits, passage_of

EPOCHS = 8
LEARNING_RATE = 6e-4
# Least cases of a step.
CASES = 16
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Citing(Case):
    index: int
    """Of the sentence that holds the answer."""
    labels: list[int]
    """Each sentence's token."""
    question: str
    context: str


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
    model = open_model(invocation, args.adapter)
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"]
    cut = TRAIN_ARTICLES - TUNING_ARTICLES
    if args.what == "train":
        begin(model)
        cases = citings(tokenizer, articles[:cut], invocation)
        steps = [batch for epoch in range(EPOCHS) for batch in shuffled(batches(cases, CASES), epoch)]
        train(model, steps, LEARNING_RATE, invocation, args.out)
        return
    for name, some in ("tuning", articles[cut:TRAIN_ARTICLES]), ("held-out", articles[TRAIN_ARTICLES:]):
        cases = citings(tokenizer, some, invocation)
        figures = {**measured(model, cases, invocation), **controls(cases)}
        print(json.dumps({"articles": name, "questions": len(cases), **figures}), flush=True)


def shuffled(groups, seed):
    return random.Random(seed).sample(groups, len(groups))


def marked(text):
    """A text with a letter after each sentence."""
    ends = [end for _, end in sentences(text)]
    parts = [text[start:end] for start, end in zip([0, *ends], ends)]
    return "".join(f"{part} [{letter}]" for part, letter in zip(parts, LETTERS))


def question_of(question, count):
    lines = [f"{letter}: [{letter}]" for letter in LETTERS[:count]]
    return "\n".join([f"Question: Which sentence answers this? {question}", *lines, "Answer with the letter of one option only."])


def citings(tokenizer, articles, invocation):
    """The questions about paragraphs of several sentences of which one holds the answer."""
    found, passages = [], {}
    for article in articles:
        for each in questions(article):
            index, count = holding(each), len(sentences(each.context))
            if index is None or not 1 < count <= len(LETTERS):
                continue
            if each.context not in passages:
                passages[each.context] = passage_of(tokenizer, marked(each.context))
            asked = asked_of(tokenizer, passages[each.context], question_of(each.question, count), invocation)
            labels = [encode(tokenizer, letter)[0] for letter in LETTERS[:count]]
            found.append(Citing(asked, labels[index], index, labels, each.question, each.context))
    return found


def measured(model, cases, invocation):
    hits = []
    with torch.no_grad():
        for group in batches(cases, CASES):
            logits = last_logits(model, [case.asked for case in group], invocation)
            hits += [int(row[case.labels].argmax()) == case.index for case, row in zip(group, logits, strict=True)]
            forget(case.asked for case in group)
    return {"top1": share(hits)}


def controls(cases):
    """`fromAnswer`: the sentence that an answer of squad-alora rests on, as the desk finds it. `withWords`: if there is none,
    the sentence that shares most with the question. `chance`: of a sentence drawn at random; `first`: of the first one."""
    reader = Reader()
    rests, either = [], []
    with torch.inference_mode():
        for case in sorted(cases, key=lambda case: case.context):
            spans = sentences(case.context)
            if not rests or reader.text != case.context:
                reader.read(case.context)
            _, answer = reader.answer(case.question, PROMPT["maxTokens"])
            found = rests_on([case.context[start:end] for start, end in spans], case.question, answer.strip())
            rests.append(found == case.index)
            either.append((most_shared(case) if found is None else found) == case.index)
    return {
        "fromAnswer": share(rests), "withWords": share(either),
        "wordOverlap": share([most_shared(case) == case.index for case in cases]),
        "first": share([case.index == 0 for case in cases]),
        "chance": round(sum(1 / len(case.labels) for case in cases) / len(cases), 3),
    }


def most_shared(case):
    """The sentence that shares most with the question, rare words before common ones."""
    spans = sentences(case.context)
    found = [words(case.context[start:end]) for start, end in spans]
    counts = Counter(word for own in found for word in own)
    weights = {word: math.log((len(spans) + 1) / (counts[word] + 0.5)) for word in words(case.question)}
    return max(range(len(spans)), key=lambda i: math.fsum(weights.get(word, 0) for word in found[i]))


def share(hits):
    return round(sum(hits) / len(hits), 3)


if __name__ == "__main__":
    main()
