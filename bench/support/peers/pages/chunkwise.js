import { createEngine } from '../../../../dist/index.js';
import { timed } from './timed.js';

let engine;
let adapter;

globalThis.peer = {
  async open({ model, adapters, contextLength }) {
    engine = await createEngine({ model, contextLength });
    if (adapters) {
      await engine.adapters.load('adapter', adapters.peft);
      adapter = 'adapter';
    }
    return engine.device;
  },
  // All ranks, the same computation as in other runtimes.
  answer: (prompt, count) =>
    timed(async () => {
      const body = { prompt, max_tokens: count, temperature: 0, stream: true, adapter, ranks: 'uniform' };
      const stream = await engine.completions.create(body);
      return (async function* () {
        for await (const { choices } of stream) if (choices[0]) yield choices[0].text;
      })();
    }),
};
