"""Trains or measures `cite`, an activated adapter that tells which sentence of a text holds a question's answer:

python tools/train/cite.py train --adapter FOLDER --out FOLDER   from answerable
python tools/train/cite.py measure [--adapter FOLDER]            without: the base

--ordinary: the same as an ordinary adapter, which applies to the text too
The questions are those of `engine.decisions`: a predicate for each sentence, which its first words name. The sentence
with the highest probability is cited.
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
from decision import INVOCATION, TUNING_ARTICLES, batches, logits_of, margins, open_model, train
from functions import Reader, holding, questions, rests_on, sentences, words
from passages import Asked, Passage, asked_of, forget, passage_of

QUESTION = f"{INVOCATION} Does the sentence that begins with “{{words}}” answer this? {{question}}\nAnswer with yes or no only."
# Words of a sentence that name it.
WORDS = 8
EPOCHS = 2
LEARNING_RATE = 3e-4
# Questions of a step.
LEAST, MOST = 4, 6


@dataclass
class Citing:
    passage: Passage
    asked: list[Asked]
    """A prompt for each sentence."""
    index: int
    """Of the sentence that holds the answer."""
    question: str


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "measure"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--ordinary", action="store_true")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = load_tokenizer()
    model = open_model(None if args.ordinary else encode(tokenizer, INVOCATION), args.adapter)
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"]
    cut = TRAIN_ARTICLES - TUNING_ARTICLES

    def scores_of(model, batch):
        logits = logits_of(model, [asked for case in batch for asked in case.asked], args.ordinary)
        return margins(logits, tokenizer).split([len(case.asked) for case in batch])

    if args.what == "train":
        groups = [group[i : i + MOST] for group in batches(citings(tokenizer, articles[:cut]), LEAST) for i in range(0, len(group), MOST)]
        steps = [batch for epoch in range(EPOCHS) for batch in random.Random(epoch).sample(groups, len(groups))]
        train(model, steps, LEARNING_RATE, args.out, lambda model, batch: loss(scores_of(model, batch), batch))
        return
    for name, some in ("tuning", articles[cut:TRAIN_ARTICLES]), ("held-out", articles[TRAIN_ARTICLES:]):
        cases = citings(tokenizer, some)
        print(json.dumps({"articles": name, "questions": len(cases), **measured(model, cases, scores_of)}), flush=True)


def loss(scores, batch):
    """Cross-entropy of the sentence that holds the answer, by the softmax of the sentences' scores."""
    return -sum(own.log_softmax(0)[case.index] for own, case in zip(scores, batch, strict=True)) / len(batch)


def citings(tokenizer, articles):
    """The questions about paragraphs of several sentences of which one holds the answer."""
    invocation = encode(tokenizer, INVOCATION)
    found, passages = [], {}
    for article in articles:
        for each in questions(article):
            index = holding(each)
            spans = spans_of(each.context)
            if index is None or len(spans) == 1:
                continue
            if each.context not in passages:
                passages[each.context] = passage_of(tokenizer, each.context)
            passage = passages[each.context]
            asked = [asked_of(tokenizer, passage, question_of(each.question, span), invocation) for span in spans]
            found.append(Citing(passage, asked, index, each.question))
    return found


def question_of(question, span):
    return QUESTION.replace("{words}", " ".join(span.split()[:WORDS])).replace("{question}", question)


def spans_of(text):
    return [text[start:end] for start, end in sentences(text)]


def measured(model, cases, scores_of):
    """`top1`: by the adapter's scores; `scoresAndWords`: by their sum with the words that a sentence shares. `fromAnswer`: the
    sentence that an answer of squad-alora rests on, as the desk finds it; `withWords` and `withScores`: if there is none,
    the sentence that shares the most words, or with the highest score. `chance`: of a sentence drawn at random."""
    reader = Reader()
    hits = {}

    def count(name, case, index):
        hits.setdefault(name, []).append(index == case.index)

    with torch.inference_mode():
        for group in batches(cases, LEAST):
            for case, scores in zip(group, scores_of(model, group), strict=True):
                spans = spans_of(case.passage.text)
                shared = words_shared(case.question, spans)
                if not hits or reader.text != case.passage.text:
                    reader.read(case.passage.text)
                _, answer = reader.answer(case.question, PROMPT["maxTokens"])
                rests = rests_on(spans, case.question, answer.strip())
                count("top1", case, highest(scores.tolist()))
                count("scoresAndWords", case, highest((scores + torch.tensor(shared)).tolist()))
                count("fromAnswer", case, rests)
                count("withWords", case, highest(shared) if rests is None else rests)
                count("withScores", case, highest(scores.tolist()) if rests is None else rests)
                count("words", case, highest(shared))
                count("first", case, 0)
            forget(asked for case in group for asked in case.asked)
    chance = sum(1 / len(case.asked) for case in cases) / len(cases)
    return {**{name: share(found) for name, found in hits.items()}, "chance": round(chance, 3)}


def words_shared(question, spans):
    """What each sentence shares with a question, rare words before common ones."""
    found = [words(span) for span in spans]
    counts = Counter(word for own in found for word in own)
    weights = {word: math.log((len(spans) + 1) / (counts[word] + 0.5)) for word in words(question)}
    return [math.fsum(weights.get(word, 0) for word in own) for own in found]


def highest(scores):
    return max(range(len(scores)), key=lambda i: scores[i])


def share(hits):
    return round(sum(hits) / len(hits), 3)


if __name__ == "__main__":
    main()
