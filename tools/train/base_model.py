"""The default model with float32 weights, its tokenizer, and LoRA adapters on it."""

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load_tokenizer():
    """The GGUF file's tokenizer; transformers ignores that `smollm` splits off digits one by one."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "models", gguf_file=GGUF)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def load_base():
    """The dequantized weights an engine computes with, so that an adapter also compensates for the quantization.

    transformers undoes the permutation of q and k rows, so adapters fit transformers' own row order.
    """
    model = AutoModelForCausalLM.from_pretrained(ROOT / "models", gguf_file=GGUF, dtype=torch.float32)
    return model.eval()


def add_adapter(model, rank, dropout=0.0, invocation=None):
    """A new adapter on all seven linears. B is zero, so the model first equals its base.

    `invocation`: the tokens of an activated adapter, for its file. In this model it is an ordinary adapter, applied to every token.
    """
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=LINEARS, task_type="CAUSAL_LM", lora_dropout=dropout
    )
    model = get_peft_model(model, config)
    saved = model.peft_config["default"]
    # PEFT writes the folder of the GGUF file.
    saved.base_model_name_or_path = NAME
    saved.alora_invocation_tokens = invocation
    return model


def load_adapter(model, folder):
    return PeftModel.from_pretrained(model, folder).eval()


def save_adapter(model, folder):
    """PEFT's own format, F16. PEFT's model card is omitted: ours is written by hand."""
    for parameter in trained(model):
        parameter.data = parameter.data.half()
    folder = Path(folder)
    card = folder / "README.md"
    own = card.read_text() if card.exists() else None
    model.save_pretrained(folder)
    card.unlink() if own is None else card.write_text(own)


def trained(model):
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
