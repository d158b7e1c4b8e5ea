"""Trains one adapter: python tools/train/train.py squad|wikitext|wikitext-nested|shakespeare [--out FOLDER]

A killed run goes on from its last checkpoint when it is started again.
"""

import argparse
import json
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from base_model import RANK, ROOT, add_adapter, load_base, load_tokenizer, save_adapter, trained
from components import lora_modules, mean_product
from tasks import TASKS

WARM_UP_STEPS = 10
POOL_BATCHES = 8
# Of every run: its own seed draws what follows, which is batches, what dropout leaves out, and nested ranks.
FIRST_WEIGHTS_SEED = 1


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--out", type=Path, help="default: data/train/TASK/SEED/adapter")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint-every", type=int, default=20, help="steps")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    work = ROOT / "data" / "train" / args.task / str(args.seed)
    work.mkdir(parents=True, exist_ok=True)
    model = train(TASKS[args.task], args.seed, work, args.checkpoint_every)
    save_adapter(model, args.out or work / "adapter")


def train(task, seed, work, checkpoint_every):
    torch.manual_seed(FIRST_WEIGHTS_SEED)
    examples = task.examples(load_tokenizer())
    model = add_adapter(load_base(), task.dropout)
    optimizer = torch.optim.AdamW(trained(model), lr=task.learning_rate, weight_decay=0.0)
    components = limit_components(model) if task.nested else None
    batches = all_batches(examples, task, seed)
    done, kept = resume(model, optimizer, work)
    keeps = averaged_steps(task, math.ceil(len(examples) / task.batch_size))
    model.train()
    for step in range(done, len(batches)):
        started = time.monotonic()
        # A step's own, so that what is left out is the same in a resumed run.
        torch.manual_seed(seed * 1_000_000 + step)
        for group in optimizer.param_groups:
            group["lr"] = task.learning_rate * schedule(step, len(batches), bool(keeps))
        if components is not None:
            components["count"] = random.Random(f"{seed} {step}").randint(1, RANK)
        loss = batch_loss(model, [examples[i] for i in batches[step]])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained(model), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        report(work, step + 1, len(batches), loss.item(), time.monotonic() - started)
        if step + 1 in keeps:
            kept.append([parameter.detach().clone() for parameter in trained(model)])
        if (step + 1) % checkpoint_every == 0 or step + 1 == len(batches):
            save_checkpoint(model, optimizer, work, step + 1, kept)
    if kept:
        average(model, kept, task.shrink)
    return model


def averaged_steps(task, epoch_steps):
    """After which steps the weights are kept: every quarter of an epoch behind the first."""
    kept = range(5, round(4 * task.epochs) + 1) if task.averages else []
    return {round(i / 4 * epoch_steps) for i in kept}


def average(model, kept, shrink):
    """Gives every module the mean of its products over what was kept, times `shrink`.

    Stochastic weight averaging (Izmailov et al. 2018).
    """
    weights = iter(zip(*kept, strict=True))
    with torch.no_grad():
        for module in lora_modules(model):
            a, b = mean_product(next(weights), next(weights))
            module.lora_A["default"].weight.copy_(a)
            module.lora_B["default"].weight.copy_(b * shrink)


def all_batches(examples, task, seed):
    """Indices of every step. They follow from the seed alone, so a resumed run takes the same ones.

    Examples of like length share a batch, within a shuffled pool, so that little is padding.
    """
    order = random.Random(seed)
    batches = []
    for _ in range(math.ceil(task.epochs)):
        indices = list(range(len(examples)))
        order.shuffle(indices)
        epoch = []
        pool = POOL_BATCHES * task.batch_size
        for at in range(0, len(indices), pool):
            near = sorted(indices[at : at + pool], key=lambda i: len(examples[i].tokens))
            epoch += [near[i : i + task.batch_size] for i in range(0, len(near), task.batch_size)]
        order.shuffle(epoch)
        batches += epoch
    return batches[: round(task.epochs * math.ceil(len(examples) / task.batch_size))]


def schedule(step, steps, is_constant):
    """Linear warm-up, then half a cosine down to zero, or where weights are averaged no change."""
    warm_up = min(1.0, (step + 1) / WARM_UP_STEPS)
    return warm_up if is_constant else warm_up * 0.5 * (1 + math.cos(math.pi * step / steps))


def batch_loss(model, examples):
    """Mean cross-entropy of the targets. Padding is on the right, where causal attention never sees it.

    Only positions with a target go through the output matrix, a fifth of the model's work.
    """
    length = max(len(example.tokens) for example in examples)
    tokens = torch.zeros(len(examples), length, dtype=torch.long)
    targets = torch.full((len(examples), length), -1)
    for row, example in enumerate(examples):
        ids = torch.tensor(example.tokens)
        tokens[row, : len(ids)] = ids
        targets[row, example.first_target - 1 : len(ids) - 1] = ids[example.first_target :]
    base = model.get_base_model()
    with torch.autocast("cpu", torch.bfloat16):
        hidden = base.model(input_ids=tokens, use_cache=False).last_hidden_state
        logits = base.lm_head(hidden[targets >= 0])
    return F.cross_entropy(logits.float(), targets[targets >= 0])


def limit_components(model):
    """Zeroes all but the first `count` outputs of every A, so that only those components are used and trained."""
    limit = {"count": RANK}

    def keep_first(_module, _inputs, output):
        return output * (torch.arange(RANK) < limit["count"]).to(output.dtype)

    for name, module in model.named_modules():
        if name.endswith("lora_A.default"):
            module.register_forward_hook(keep_first)
    return limit


def save_checkpoint(model, optimizer, work, step, kept):
    state = {"step": step, "optimizer": optimizer.state_dict(), "parameters": trained(model), "kept": kept}
    torch.save(state, work / "checkpoint.new")
    os.replace(work / "checkpoint.new", work / "checkpoint.pt")


def resume(model, optimizer, work):
    path = work / "checkpoint.pt"
    if not path.exists():
        return 0, []
    state = torch.load(path, weights_only=False)
    for parameter, value in zip(trained(model), state["parameters"], strict=True):
        parameter.data = value.data
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["kept"]


def report(work, step, steps, loss, seconds):
    line = json.dumps({"step": step, "of": steps, "loss": round(loss, 4), "seconds": round(seconds, 2)})
    print(line, flush=True)
    with (work / "log.jsonl").open("a") as log:
        log.write(line + "\n")


if __name__ == "__main__":
    main()
