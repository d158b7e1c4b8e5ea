"""Writes peft-semantics.json: which modules PEFT's own functions target, and which pattern key they take.

    pip download peft==0.21.2 --no-deps && unzip peft-*.whl
    python tests/adapters/peft-semantics.py peft > tests/adapters/peft-semantics.json

The two functions are taken out of PEFT's source, so that neither torch nor transformers is needed.
"""

import ast
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

LINEARS = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
           "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
NAMES = [f"model.layers.{layer}.{linear}" for layer in range(12) for linear in LINEARS]

TARGETS = [
    {"target_modules": ["q_proj", "v_proj"]},
    {"target_modules": ["proj"]},
    {"target_modules": ["mlp.up_proj", "model.layers.3.self_attn.o_proj"]},
    {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [0, 11]},
    {"target_modules": ["q_proj"], "layers_to_transform": 1},
    {"target_modules": ["q_proj"], "layers_to_transform": []},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"},
    {"target_modules": ["q_proj"], "layers_to_transform": [1, 2], "layers_pattern": ["h", "layers"]},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "blocks"},
    {"target_modules": ["q_proj"], "layers_to_transform": [2], "layers_pattern": ""},
    {"target_modules": ["q_proj", "model.layers.3.self_attn.o_proj"], "layers_to_transform": [1]},
    {"target_modules": ["q_proj", "k_proj"], "exclude_modules": ["layers.1.self_attn.q_proj", "k_proj"]},
    {"target_modules": ["q_proj", "k_proj"], "exclude_modules": r".*\.1\d?\..*"},
    {"target_modules": r".*\.(q|v)_proj"},
    {"target_modules": r"q_proj"},
    {"target_modules": r"model\.layers\.(?:0|1)\.(?P<part>mlp|self_attn)\.\w+_proj"},
    {"target_modules": r"q_proj|.*k_proj"},
    {"target_modules": r"^(?!.*\.1\.).*\.up_proj$"},
    {"target_modules": r"(?:.*?(?:language|text|model).*?(?:self_attn|mlp).*?(?:q_proj|down_proj).*?)|(?:\bmodel\.layers\.[\d]{1,}\.(?:mlp)\.(?:(?:up_proj)))"},
]

PATTERNS = [
    ["q_proj"],
    ["proj"],
    [r".*_proj"],
    ["layers.1.self_attn.q_proj"],
    ["model.layers.1.self_attn.q_proj", "q_proj"],
    ["q_proj", "layers.1.self_attn.q_proj"],
    [r"layers\.\d\.mlp\.(up|down)_proj"],
    ["up_proj|down_proj"],
    [r"1.self_attn.*"],
    [r"^model.layers.2.mlp.gate_proj$", r"mlp\..*"],
    ["ayers.3.mlp.up_proj"],
]


def take(path, name):
    tree = ast.parse(Path(path).read_text())
    function = next(node for node in tree.body if getattr(node, "name", "") == name)
    return ast.unparse(function)


root = Path(sys.argv[1])
scope = {"re": re, "_ExcludedModule": bool}
exec("from __future__ import annotations\nfrom typing import Optional, Sequence\n"
     + take(root / "utils/other.py", "match_target_against_key") + "\n"
     + take(root / "utils/other.py", "get_pattern_key") + "\n"
     + take(root / "tuners/tuners_utils.py", "check_target_module_exists"), scope)
DEFAULTS = {"exclude_modules": None, "layers_to_transform": None, "layers_pattern": None, "target_parameters": None}

print(json.dumps({
    "targets": [
        {"config": config,
         "names": [n for n in NAMES if scope["check_target_module_exists"](SimpleNamespace(**{**DEFAULTS, **config}), n)]}
        for config in TARGETS
    ],
    "patterns": [
        {"keys": keys, "chosen": {n: k for n in NAMES if (k := scope["get_pattern_key"](keys, n)) in keys}}
        for keys in PATTERNS
    ],
}, separators=(",", ":")))
