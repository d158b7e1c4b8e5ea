"""Measures what the desk does with a text on SQuAD's held-out articles, in float32:

python tools/train/functions.py [--every 6]

The base reads each paragraph once, and every question goes on from there, as with an activated adapter in the engine.
Prints the figures so far after each article.
"""

import argparse
import contextlib
import copy
import json
import random
import re
from dataclasses import dataclass

import torch
from peft import PeftModel

from base_model import ROOT, load_base, load_tokenizer
from data import DATA, PROMPT, TRAIN_ARTICLES, encode, fill_prompt
from evaluate import normalize
from train import last_start

ADAPTER = ROOT / "demo/public/adapters/squad-alora"
CHOICES = 4
# As demo/desk/passages.ts splits a text.
SENTENCE = re.compile(
    r"\S.*?(?:(?<!\b[A-Z])(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)[.!?][\"'”’)\]]*(?=\s+[\"'“‘(\[]?[A-Z0-9])|(?=\n[^\S\n]*\n)|$)",
    re.DOTALL,
)


@dataclass
class Asked:
    question: str
    answer: str
    start: int
    context: str
    others: list[str]
    """The other paragraphs of the article that do not hold the answer."""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="measures every nth question")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"][TRAIN_ARTICLES:]
    every = [each for article in articles for each in questions(article)][:: args.every]
    titles = [article["title"].replace("_", " ") for article in articles]
    draw = random.Random(1)
    reader = Reader()
    rows, topics = [], []
    with torch.inference_mode():
        for article, title in zip(articles, titles, strict=True):
            for paragraph in article["paragraphs"]:
                context = paragraph["context"]
                reader.read(context)
                choices = draw.sample([each for each in titles if each != title], CHOICES - 1)
                choices.insert(draw.randrange(CHOICES), title)
                topics.append(reader.topic(choices) == title)
                rows += [reader.row(each) for each in every if context == each.context or context in each.others]
            print(json.dumps({**summary(rows), "classified": percentage(topics), "paragraphs": len(topics)}), flush=True)


def questions(article):
    contexts = [paragraph["context"] for paragraph in article["paragraphs"]]
    for paragraph in article["paragraphs"]:
        for qa in paragraph["qas"]:
            answer = qa["answers"][0]
            others = [each for each in contexts if each != paragraph["context"] and answer["text"] not in each]
            yield Asked(qa["question"], answer["text"], answer["answer_start"], paragraph["context"], others)


class Reader:
    def __init__(self):
        self.tokenizer = load_tokenizer()
        self.model = PeftModel.from_pretrained(load_base(), ADAPTER).eval()
        self.invocation = encode(self.tokenizer, "Question:")

    def read(self, text):
        """Computes the keys and values of a text, with the base."""
        prompt = self.prompt(text, "Question:")
        self.text = text
        self.start = last_start(prompt, self.invocation)
        with self.model.disable_adapter():
            self.cache = self.model(input_ids=torch.tensor([prompt[: self.start]]), use_cache=True).cache

    def row(self, each):
        """The base's probability of yes to whether the text answers the question, and the adapter's answer."""
        yes, _ = self.base_shares(f"Does the text above answer this question? {each.question}", [], "yes or no", YES_NO)
        isOwn = self.text == each.context
        sure, text = self.answer(each.question, PROMPT["maxTokens"] if isOwn else 0)
        spans = [self.text[start:end] for start, end in sentences(self.text)]
        return {
            "asked": each, "isOwn": isOwn, "yes": yes, "sure": sure, "given": text, "sentences": len(spans),
            "restsOn": rests_on(spans, each.question, text.strip()),
        }

    def answer(self, question, most):
        """The probability of the first token of the adapter's answer, and the answer's at most `most` tokens, greedily."""
        cache = copy.deepcopy(self.cache)
        logits = self.step(self.prompt(self.text, fill_prompt("", question).strip())[self.start :], cache)
        sure = torch.softmax(logits, 0).max().item()
        tokens = []
        while len(tokens) < most and int(logits.argmax()) != self.tokenizer.eos_token_id:
            tokens.append(int(logits.argmax()))
            logits = self.step(tokens[-1:], cache)
        return sure, self.tokenizer.decode(tokens, skip_special_tokens=True)

    def topic(self, choices):
        """The base's choice of a title for the text."""
        letters = [chr(65 + i) for i in range(len(choices))]
        lines = [f"{letter}: {choice}" for letter, choice in zip(letters, choices, strict=True)]
        ending = "the letter of one option"
        shares = self.base_shares("What is the text about?", lines, ending, [[letter] for letter in letters])
        return choices[shares.index(max(shares))]

    def base_shares(self, instructions, lines, ending, labels):
        """The labels' shares, with the base, in the layout of src/api/decisions/questions.ts. Spellings of a label add up."""
        question = "\n".join([f"Question: {instructions}", *lines, f"Answer with {ending} only."])
        with self.model.disable_adapter():
            logits = self.step(self.prompt(self.text, question)[self.start :], copy.deepcopy(self.cache))
        tokens = [[encode(self.tokenizer, spelling)[0] for spelling in label] for label in labels]
        return torch.softmax(torch.stack([logits[own].logsumexp(0) for own in tokens]), 0).tolist()

    def step(self, tokens, cache):
        """The logits after more tokens, which `cache` keeps."""
        # The adapter applies to all of them; PEFT would look for its invocation among them.
        applied = {"alora_offsets": [len(tokens)], "cache": cache, "logits_to_keep": 1}
        return self.model(input_ids=torch.tensor([tokens]), **applied).logits[0, -1]

    def prompt(self, text, question):
        turns = [{"role": "user", "content": f"{text}\n\n{question}"}]
        return encode(self.tokenizer, self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


YES_NO = [["yes", "Yes"], ["no", "No"]]


def sentences(text):
    """The start and end of each sentence."""
    return [(match.start(), match.start() + len(match[0].rstrip())) for match in SENTENCE.finditer(text)]


def rests_on(spans, question, answer):
    """The index of the sentence that has an answer's words and the most of the question's, as in demo/desk/passages.ts."""
    whole = re.compile(r"(?<![^\W_])" + re.escape(answer) + r"(?![^\W_])")
    having = [i for i, span in enumerate(spans) if answer and whole.search(span)]
    return max(having, key=lambda i: len(words(question) & words(spans[i])), default=None)


def words(text):
    return set(re.findall(r"[^\W_]+", text.lower()))


def summary(rows):
    """`auc`: the chance that a question gets more with its own paragraph than a question with another one of its article;
    of the base's yes, and of the adapter's sureness. `best`: the percentage of questions with the surest answer in their own
    paragraph. `answered`: the percentages of own and of other paragraphs with a sureness of at least 0.5. `cited`: of own
    paragraphs of several sentences, those where the answer rests on the sentence that holds the right one; `chance`: of a
    sentence drawn at random."""
    own = [row for row in rows if row["isOwn"]]
    other = [row for row in rows if not row["isOwn"]]
    surest = {}
    for row in rows:
        key = row["asked"].question
        if key not in surest or row["sure"] > surest[key]["sure"]:
            surest[key] = row
    several = [row for row in own if row["sentences"] > 1]
    given = [(normalize(row["given"]), normalize(row["asked"].answer)) for row in own]
    return {
        "own": len(own), "other": len(other), "aucOfBase": auc_by(own, other, "yes"), "auc": auc_by(own, other, "sure"),
        "best": percentage([row["isOwn"] for row in surest.values()]),
        "answered": [percentage([row["sure"] >= 0.5 for row in some]) for some in (own, other)],
        "exactMatch": percentage([text == right for text, right in given]),
        "f1": round(100 * sum(f1(*pair) for pair in given) / len(given), 1),
        "cited": percentage([row["restsOn"] is not None and row["restsOn"] == holding(row["asked"]) for row in several]),
        "chance": round(100 * sum(1 / row["sentences"] for row in several) / len(several), 1),
    }


def holding(asked):
    """The index of the sentence that holds the right answer; None if it spans several."""
    end = asked.start + len(asked.answer)
    spans = sentences(asked.context)
    return next((i for i, (first, last) in enumerate(spans) if first <= asked.start and end <= last), None)


def auc_by(own, other, field):
    return auc([row[field] for row in own], [row[field] for row in other])


def auc(own, other):
    """The chance that one of `own` is larger than one of `other`."""
    return round(sum((a > b) + (a == b) / 2 for a in own for b in other) / (len(own) * len(other)), 3)


def f1(given, right):
    """Harmonic mean of the shares of the words of each that the other has."""
    given, right = given.split(), right.split()
    both = sum(min(given.count(word), right.count(word)) for word in set(given))
    return 2 * both / (len(given) + len(right)) if both else 0.0


def percentage(found):
    return round(100 * sum(found) / len(found), 1)


if __name__ == "__main__":
    main()
