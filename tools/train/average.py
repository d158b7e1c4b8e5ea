"""Averages adapters of several seeds into one: python tools/train/average.py ADAPTER ADAPTER ... --out FOLDER"""

import argparse
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from components import mean_product


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapters", type=Path, nargs="+", help="folders in PEFT's format, of the same modules and rank")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    adapters = [load_file(folder / "adapter_model.safetensors") for folder in args.adapters]
    averaged = {}
    for name_a in (name for name in adapters[0] if "lora_A" in name):
        name_b = name_a.replace("lora_A", "lora_B")
        a, b = mean_product([each[name_a].float() for each in adapters], [each[name_b].float() for each in adapters])
        averaged |= {name_a: a.half().contiguous(), name_b: b.half().contiguous()}
    args.out.mkdir(parents=True, exist_ok=True)
    shutil.copy(args.adapters[0] / "adapter_config.json", args.out)
    save_file(averaged, args.out / "adapter_model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
