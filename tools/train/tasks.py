"""Training tasks: data and duration."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from data import answer_examples, shakespeare, wikitext, windows

WINDOW = 1024


@dataclass
class Task:
    examples: Callable
    """tokenizer → examples to train on."""
    batch_size: int
    epochs: float
    learning_rate: float
    rank: int = 16
    invocation: str | None = None
    """Makes the adapter an activated one: it applies from the last occurrence of this text in an example."""
    dropout: float = 0.0
    """Share of A's inputs that a step drops."""
    averages: bool = False
    """Averages the weights along the run with a constant learning rate; for at most four epochs."""
    shrink: float = 1.0
    """Factor of an averaged adapter: below 1 it reproduces less of the training text."""
    nested: bool = False
    """Each step trains only the first k components, k sampled from 1 to the rank."""


SQUAD = Task(lambda t: answer_examples(t, "train"), batch_size=8, epochs=3, learning_rate=5e-4)
WIKITEXT = Task(lambda t: windows(t, wikitext("valid"), WINDOW), batch_size=2, epochs=0.6, learning_rate=1e-3)
TASKS = {
    "squad": SQUAD,
    "squad-64": replace(SQUAD, rank=64),
    # The text before a question in the prompt.
    "squad-alora": replace(SQUAD, invocation="Question:"),
    "wikitext": WIKITEXT,
    "wikitext-64": replace(WIKITEXT, rank=64),
    "wikitext-nested": replace(WIKITEXT, nested=True),
    "shakespeare": Task(
        lambda t: windows(t, shakespeare("train"), 2 * WINDOW),
        batch_size=1, epochs=3, learning_rate=7e-4, dropout=0.1, averages=True, shrink=0.94,
    ),
}
