import { GREEDY } from '../../../src/config/sampling.ts';
import { anyTokens } from '../../../src/measure/steps.ts';
import {
  type KernelTiming,
  measureDecode,
  measureKernels,
  measurePrefill,
  type Timing,
} from '../../../cli/measure/timings.ts';
import { openEngine } from '../../../src/engine/open-engine.ts';
import type { Adaptation } from '../../../src/engine/adapters.ts';
import { BlobSource } from '../../../src/weights/byte-source.ts';
import { ADAPTERS_HERE } from '../../../tests/support/adapters/adapters-here.ts';

/**
 * Functions that benchmarks and a browser test call in the page. The engine runs in the page itself, which has nothing
 * else to do.
 */
export interface EnginePage {
  open(modelUrl: string): Promise<string>;
  /** Loads a PEFT adapter from a folder. */
  adapt(folderUrl: string): Promise<void>;
  /** `ranks`: with the adapter loaded last. */
  decode(context: number, steps: number, ranks?: 'chunkwise' | 'uniform'): Promise<Timing>;
  prefill(context: number, repeats: number): Promise<{ tokensPerSecond: number }>;
  kernels(context: number): Promise<KernelTiming[]>;
  /** Tokens of the greedy answer to one user message. */
  greedy(prompt: string, maxTokens: number): Promise<number[]>;
}

declare global {
  interface Window {
    enginePage: EnginePage;
  }
}

let engine: Awaited<ReturnType<typeof openEngine>> | undefined;
let adaptations: Record<'chunkwise' | 'uniform', Adaptation> | undefined;

async function session() {
  if (!engine) throw new Error('no model is open');
  return engine.session();
}

window.enginePage = {
  async open(modelUrl) {
    const source = new BlobSource(modelUrl, await (await fetch(modelUrl)).blob());
    engine = await openEngine({ gpu: navigator.gpu, sources: [source], ...ADAPTERS_HERE });
    return engine.device;
  },
  async adapt(folderUrl) {
    if (!engine) throw new Error('no model is open');
    const read = async (name: string): Promise<BlobSource> =>
      new BlobSource(name, await (await fetch(`${folderUrl}/${name}`)).blob());
    const [config, weights] = await Promise.all([read('adapter_config.json'), read('adapter_model.safetensors')]);
    await engine.loadAdapter('adapter', { config, weights });
    const uses = [{ name: 'adapter', scale: 1 }];
    adaptations = { chunkwise: await engine.adapt(uses), uniform: await engine.adapt(uses, { ranks: 'uniform' }) };
  },
  async decode(context, steps, ranks) {
    if (ranks && !adaptations) throw new Error('no adapter is loaded');
    return measureDecode(await session(), context, steps, ranks && adaptations && [adaptations[ranks]]);
  },
  kernels: async (context) => measureKernels(await session(), context, 1),
  async greedy(prompt, maxTokens) {
    if (!engine) throw new Error('no model is open');
    const tokens: number[] = [];
    const options = { maxTokens, sampling: GREEDY, stop: [] };
    for await (const event of engine.chat([{ role: 'user', content: prompt }], options)) {
      if (event.type === 'token') tokens.push(event.token);
    }
    return tokens;
  },
  prefill: async (context, repeats) => measurePrefill(await session(), anyTokens(await session(), context), repeats),
};
