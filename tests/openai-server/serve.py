"""llama.cpp's own server on loopback, in this process: serve.py PACKAGES MODEL KEY. Prints its address; ends with stdin."""

import sys

packages, model, key = sys.argv[1:]
sys.path.insert(0, packages)

import xllamacpp  # noqa: E402

params = xllamacpp.CommonParams()
params.model.path = model
params.n_ctx = 1024
params.n_parallel = 1
params.n_gpu_layers = 0
params.cpuparams.n_threads = 1
params.hostnames = ["127.0.0.1"]
params.port = 0
params.api_keys = [key]
server = xllamacpp.Server(params)
print("listening", server.listening_address, flush=True)
sys.stdin.read()
