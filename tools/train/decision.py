"""Trains an activated adapter for questions of `engine.decisions`. It decides the first token of the reply."""

import json
import math
import random

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from base_model import ROOT, add_adapter, load_base, save_adapter, trained
from components import lora_modules, sort_components
from data import encode
from passages import last_logits, whole_logits
from train import HAS_BFLOAT16, resume, save_checkpoint

RANK = 4
# Where the adapters begin, as squad-alora does, with whose components they start.
INVOCATION = "Question:"
# Of a predicate's answers.
LABELS = {True: ["yes", "Yes"], False: ["no", "No"]}
# Articles at the end of those that train, to choose settings with.
TUNING_ARTICLES = 4
CHECKPOINT_EVERY = 10


def open_model(invocation, adapter=None):
    """The base with the adapter of a folder, or with one that changes nothing yet."""
    torch.manual_seed(1)
    model = add_adapter(load_base(), RANK, invocation=invocation)
    if adapter:
        set_peft_model_state_dict(model, load_file(adapter / "adapter_model.safetensors"))
    return model


def begin(model, name="squad-alora"):
    """Sets the first weights: the largest components of an adapter that finds answers already."""
    kept = load_file(ROOT / "demo/public/adapters" / name / "adapter_model.safetensors")
    names = {module: name for name, module in model.named_modules()}
    with torch.no_grad():
        for module in lora_modules(model):
            a, b = (kept[f"{names[module]}.lora_{part}.weight"].float() for part in "AB")
            sort_components(a, b)
            # A and B get equal shares of the singular values.
            sizes = b[:, :RANK].norm(dim=0).sqrt()
            module.lora_A["default"].weight.copy_(a[:RANK] * sizes[:, None])
            module.lora_B["default"].weight.copy_(b[:, :RANK] / sizes)


def batches(cases, least=1):
    """The cases of each passage, the passages in random order. Passages with fewer than `least` cases share a batch."""
    by_passage = {}
    for case in cases:
        by_passage.setdefault(case.passage.text, []).append(case)
    groups = list(by_passage.values())
    random.Random(0).shuffle(groups)
    found = [[]]
    for group in groups:
        if len(found[-1]) >= least:
            found.append([])
        found[-1] += group
    return found


def train(model, steps, learning_rate, out, loss_of):
    """A step per batch, with a learning rate that falls to 0. A killed run goes on from its last checkpoint.

    `loss_of(model, batch)`: computed in bfloat16 where the processor has it.
    """
    work = ROOT / "data" / "train" / out.name
    work.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(trained(model), lr=learning_rate, weight_decay=0.0)
    done, _ = resume(model, optimizer, work)
    for step in range(done, len(steps)):
        for parameters in optimizer.param_groups:
            parameters["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / len(steps)))
        with torch.autocast("cpu", torch.bfloat16, enabled=HAS_BFLOAT16):
            loss = loss_of(model, steps[step])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained(model), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(json.dumps({"step": step + 1, "of": len(steps), "loss": round(loss.item(), 4)}), flush=True)
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == len(steps):
            save_checkpoint(model, optimizer, work, step + 1, [])
    save_adapter(model, out)


def logits_of(model, all_asked, is_ordinary):
    return (whole_logits if is_ordinary else last_logits)(model, all_asked).float()


def margins(logits, tokenizer):
    """The log-odds of yes [prompts], as `engine.decisions` computes them."""
    yes, no = (logits[:, label_tokens(tokenizer)[answer]].logsumexp(1) for answer in (True, False))
    return yes - no


def label_tokens(tokenizer):
    return {answer: [encode(tokenizer, label)[0] for label in spellings] for answer, spellings in LABELS.items()}
