import { Wllama } from '@wllama/wllama';
import wasm from '@wllama/wllama/esm/wasm/wllama.wasm?url';
import { timed } from './timed.js';

let wllama;

globalThis.peer = {
  async open({ model, adapters, contextLength, gpu }) {
    wllama = new Wllama({ default: new URL(wasm, location.href).href }, { suppressNativeLog: true });
    if (gpu && !wllama.isSupportWebGPU()) throw new Error('wllama.isSupportWebGPU() is false');
    const options = {
      n_ctx: contextLength,
      n_threads: navigator.hardwareConcurrency,
      n_gpu_layers: gpu ? 999 : 0,
      n_ubatch: 128, // required on lavapipe
    };
    if (adapters) {
      // wllama treats numbered parts as the files of one model.
      const blobs = await Promise.all([model, adapters.gguf].map(async (url) => (await fetch(url)).blob()));
      await wllama.loadModel(blobs, { ...options, lora_adapters: [{ path: 'models/model-00002-of-00002.gguf' }] });
    } else await wllama.loadModelFromUrl(new URL(model, location.href).href, options);
    return gpu ? 'WebGPU' : `CPU, ${wllama.getNumThreads()} threads`;
  },
  answer: (prompt, count) =>
    timed(async () => {
      const stream = await wllama.createCompletion({ prompt, max_tokens: count, temperature: 0, stream: true });
      return (async function* () {
        for await (const { choices } of stream) if (choices[0]?.text) yield choices[0].text;
      })();
    }),
};
