"""Measures which passages of a long text a question finds, by words as the desk does and by embeddings:

python tools/train/retrieval.py

The text is all paragraphs of SQuAD's held-out articles; a question's own paragraph should be among the first ones.
"""

import json
import math

import torch
from sentence_transformers import SentenceTransformer

from base_model import ROOT
from data import DATA, TRAIN_ARTICLES
from functions import percentage, questions, words

ENCODER = ROOT / "models/all-MiniLM-L6-v2"
# The desk reads six passages.
COUNTS = [1, 3, 6]


def main():
    torch.set_num_threads(1)
    articles = json.loads((DATA / "squad" / "squad-dev-subset.json").read_text())["data"][TRAIN_ARTICLES:]
    passages = [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]
    asked = [each for article in articles for each in questions(article)]
    right = torch.tensor([passages.index(each.context) for each in asked])
    texts = [each.question for each in asked]
    for name, scores in ("words", by_words(passages, texts)), ("embeddings", by_embeddings(passages, texts)):
        # Equal scores: in the text's order, as the desk sorts.
        order = scores.argsort(dim=1, descending=True, stable=True)
        ranks = (order == right[:, None]).int().argmax(dim=1)
        found = {f"first{count}": percentage((ranks < count).tolist()) for count in COUNTS}
        print(json.dumps({"by": name, "questions": len(asked), "passages": len(passages), **found}))


def by_words(passages, texts):
    """The sum of the weights of shared words, as `likeliest` in demo/desk/passages.ts."""
    known = [words(passage) for passage in passages]
    return torch.tensor([[sum(weight(word, known) for word in words(text) & own) for own in known] for text in texts])


def weight(word, known):
    return math.log((len(known) + 1) / (sum(word in own for own in known) + 1))


def by_embeddings(passages, texts):
    encoder = SentenceTransformer(str(ENCODER), device="cpu")
    vectors = [encoder.encode(some, normalize_embeddings=True, convert_to_tensor=True) for some in (texts, passages)]
    return vectors[0] @ vectors[1].T


if __name__ == "__main__":
    main()
