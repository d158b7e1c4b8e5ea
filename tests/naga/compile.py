"""Compiles modules with naga, by way of wgpu-native: compile.py PACKAGES < {"features": [...], "modules": [...]}.

A module has its code and, to create its pipeline as well, "pipeline": true. Prints a list with null or naga's error for
each.
"""
import json
import sys

sys.path.insert(0, sys.argv[1])

import wgpu  # noqa: E402

asked = json.load(sys.stdin)
adapter = wgpu.gpu.request_adapter_sync()
device = adapter.request_device_sync(
    required_features=[name for name in asked["features"] if name in adapter.features],
    required_limits={"max-storage-buffers-per-shader-stage": adapter.limits["max-storage-buffers-per-shader-stage"]},
)


def refusal(module):
    try:
        shader = device.create_shader_module(code=module["code"])
        if module["pipeline"]:
            device.create_compute_pipeline(layout="auto", compute={"module": shader, "entry_point": "main"})
    except wgpu.GPUError as error:
        return str(error)
    return None


print(json.dumps([refusal(module) for module in asked["modules"]]))
