"""Texts as examples. An example is its tokens and the index of the first one that the loss counts."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from base_model import ROOT

DATA = Path(os.environ.get("CHUNKWISE_DATA", ROOT.parent / "shared" / "data"))
PROMPT = json.loads((ROOT / "demo/public/adapters/squad/prompt.json").read_text())
TRAIN_ARTICLES = 24


@dataclass
class Example:
    tokens: list[int]
    first_target: int


@dataclass
class Question:
    prompt: str
    answers: list[str]


def wikitext(split):
    return (DATA / "wikitext-2" / f"{split}.txt").read_text()


def shakespeare(split):
    text = (DATA / "tinyshakespeare" / "train.txt").read_text()
    cut = len(text) * 9 // 10
    return text[:cut] if split == "train" else text[cut:]


def encode(tokenizer, text):
    return tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def windows(tokenizer, text, length):
    """Consecutive windows, each without a BOS, as the engine's perplexity takes them."""
    tokens = encode(tokenizer, text)
    return [Example(tokens[at : at + length], 1) for at in range(0, len(tokens) - length + 1, length)]


def questions(split):
    """SQuAD, split by article: questions of one article are never on both sides."""
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"]
    chosen = articles[:TRAIN_ARTICLES] if split == "train" else articles[TRAIN_ARTICLES:]
    return [
        Question(fill_prompt(paragraph["context"], qa["question"]), [answer["text"] for answer in qa["answers"]])
        for article in chosen
        for paragraph in article["paragraphs"]
        for qa in paragraph["qas"]
    ]


def fill_prompt(context, question):
    """Each placeholder occurs once; a filled-in text that contains the other placeholder is not filled again."""
    before, between = PROMPT["template"].split("{context}")
    middle, after = between.split("{question}")
    return before + context + middle + question + after


def prompt_tokens(tokenizer, question):
    turns = [{"role": "user", "content": question.prompt}]
    return encode(tokenizer, tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def answer_examples(tokenizer, split):
    examples = []
    for question in questions(split):
        prompt = prompt_tokens(tokenizer, question)
        answer = encode(tokenizer, question.answers[0]) + [tokenizer.eos_token_id]
        examples.append(Example(prompt + answer, len(prompt)))
    return examples
