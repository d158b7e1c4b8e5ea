"""Trains one adapter: python tools/train/train.py TASK [--out FOLDER]

A killed run goes on from its last checkpoint when it is started again.
"""

import argparse
import copy
import json
import math
import os
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from base_model import ROOT, add_adapter, load_base, load_tokenizer, save_adapter, trained
from components import lora_modules, mean_product
from data import encode
from tasks import TASKS

WARM_UP_STEPS = 10
POOL_BATCHES = 8
# A CPU without AVX512-BF16 emulates bfloat16, many times slower than float32.
HAS_BFLOAT16 = torch.cpu.get_capabilities().get("avx512_bf16", False)
# Equal for every run. The seed of a run determines only its batches, dropout and nested ranks.
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
    tokenizer = load_tokenizer()
    examples = task.examples(tokenizer)
    invocation = task.invocation and encode(tokenizer, task.invocation)
    model = add_adapter(load_base(), task.rank, task.dropout, invocation)
    loss_of = ActivatedLoss(invocation) if invocation else batch_loss
    optimizer = torch.optim.AdamW(trained(model), lr=task.learning_rate, weight_decay=0.0)
    components = limit_components(model, task.rank) if task.nested else None
    batches = all_batches(examples, task, seed)
    done, kept = resume(model, optimizer, work)
    keeps = averaged_steps(task, math.ceil(len(examples) / task.batch_size))
    model.train()
    for step in range(done, len(batches)):
        started = time.monotonic()
        # A seed per step, so that dropout is the same in a resumed run.
        torch.manual_seed(seed * 1_000_000 + step)
        for group in optimizer.param_groups:
            group["lr"] = task.learning_rate * schedule(step, len(batches), bool(keeps))
        if components is not None:
            components["count"] = random.Random(f"{seed} {step}").randint(1, task.rank)
        loss = loss_of(model, [examples[i] for i in batches[step]])
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
    """Steps after which the weights are kept: every quarter of an epoch after the first."""
    kept = range(5, round(4 * task.epochs) + 1) if task.averages else []
    return {round(i / 4 * epoch_steps) for i in kept}


def average(model, kept, shrink):
    """Gives every module the mean of its products over the kept weights, times `shrink`.

    Stochastic weight averaging (Izmailov et al. 2018).
    """
    weights = iter(zip(*kept, strict=True))
    with torch.no_grad():
        for module in lora_modules(model):
            a, b = mean_product(next(weights), next(weights))
            module.lora_A["default"].weight.copy_(a)
            module.lora_B["default"].weight.copy_(b * shrink)


def all_batches(examples, task, seed):
    """Indices of every step. They depend on the seed only, so a resumed run uses the same ones.

    Examples of similar length share a batch, within a shuffled pool, so that little is padding.
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
    """Linear warm-up, then half a cosine down to zero, or a constant rate if weights are averaged."""
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
    with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BFLOAT16):
        hidden = base.model(input_ids=tokens, use_cache=False).last_hidden_state
        logits = base.lm_head(hidden[targets >= 0])
    return F.cross_entropy(logits.float(), targets[targets >= 0])


class ActivatedLoss:
    """The same for an adapter that applies only from the last occurrence of its invocation.

    The tokens before it are computed by the base alone, without a gradient. So their keys and values are computed once
    and kept: 46 KB a token.
    """

    def __init__(self, invocation):
        self.invocation = invocation
        self.kept = {}

    def __call__(self, model, examples):
        return sum(self.sum_of(model, example) for example in examples) / sum(
            len(example.tokens) - example.first_target for example in examples
        )

    def sum_of(self, model, example):
        start = last_start(example.tokens, self.invocation)
        tokens = torch.tensor(example.tokens)
        base = model.get_base_model()
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BFLOAT16):
            if id(example) not in self.kept:
                with torch.no_grad(), model.disable_adapter():
                    self.kept[id(example)] = base.model(input_ids=tokens[None, :start], use_cache=True).cache
            # A copy, because the pass adds to its cache.
            before = copy.deepcopy(self.kept[id(example)])
            hidden = base.model(input_ids=tokens[None, start:], cache=before).last_hidden_state
            logits = base.lm_head(hidden[0, example.first_target - 1 - start : -1])
        return F.cross_entropy(logits.float(), tokens[example.first_target :], reduction="sum")


def last_start(tokens, part):
    """Index at which PEFT activates an adapter: the first token of the invocation's last occurrence."""
    return max(at for at in range(len(tokens)) if tokens[at : at + len(part)] == part)


def limit_components(model, rank):
    """Zeroes all but the first `count` outputs of every A, so that only those components are used and trained."""
    limit = {"count": rank}

    def keep_first(_module, _inputs, output):
        return output * (torch.arange(rank) < limit["count"]).to(output.dtype)

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
