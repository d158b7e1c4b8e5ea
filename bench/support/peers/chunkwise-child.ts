// Chunkwise in its own process, like llama.cpp, so that its memory is measured alone.
import { GREEDY } from '../../../src/config/sampling.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import { serveCalls } from '../../../tests/support/processes/serve-calls.mjs';
import { loadAdapter, openInNode } from '../engine.ts';

let engine: LocalEngine | undefined;
const adapters: { name: string; scale: number }[] = [];

const cpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

serveCalls({
  async load({ contextLength, adapter }: { contextLength: number; adapter?: string }) {
    const start = performance.now();
    engine = await openInNode({ contextLength });
    if (adapter !== undefined) {
      await loadAdapter(engine, 'adapter', adapter);
      adapters.push({ name: 'adapter', scale: 1 });
    }
    return { ms: performance.now() - start, device: engine.device };
  },

  async answer({ text, count }: { text: string; count: number }) {
    if (!engine) throw new Error('load first');
    // All ranks, the same computation as in other runtimes.
    const options = {
      maxTokens: count,
      sampling: GREEDY,
      stop: [],
      adapters,
      ranks: 'uniform' as const,
      recomputePrompt: true,
    };
    const began = { at: performance.now(), cpu: cpuMs() };
    let answer = '';
    const at: number[] = [];
    const cpu: number[] = [];
    for await (const event of engine.complete(text, options)) {
      answer += event.text;
      if (event.type === 'token') {
        at.push(performance.now());
        cpu.push(cpuMs());
        continue;
      }
      return {
        text: answer,
        promptTokens: event.usage.promptTokens,
        promptMs: (at[0] ?? NaN) - began.at,
        stepMs: at.slice(1).map((each, i) => each - (at[i] ?? NaN)),
        cpu: { promptMs: (cpu[0] ?? NaN) - began.cpu, stepsMs: (cpu.at(-1) ?? NaN) - (cpu[0] ?? NaN) },
      };
    }
    throw new Error('an answer without an end');
  },
});
