import { expect, it } from 'vitest';
import { serve, type Served } from '../../../src/api/http/serve.ts';

it('answers with the adapter that model names, where adapter is null, as if it were absent', async () => {
  const asked: unknown[] = [];
  const engine = {
    model: 'tiny.gguf',
    contextLength: 512,
    adapters: { list: async () => [{ name: 'pirate' }] },
    completions: { create: async (fields: unknown) => (asked.push(fields), { choices: [] }) },
  } as unknown as Served;
  const body = JSON.stringify({ model: 'pirate', prompt: 'Hi', adapter: null });
  const { status } = await serve(engine, new Request('http://chunkwise/v1/completions', { method: 'POST', body }));
  expect(status).toBe(200);
  expect(asked).toEqual([{ prompt: 'Hi', adapter: 'pirate' }]);
});

it('an adapter that is named like the base can be reached, and the base by its other name', async () => {
  const asked: unknown[] = [];
  const engine = {
    model: 'models/tiny.gguf',
    contextLength: 512,
    adapters: { list: async () => [{ name: 'tiny' }] },
    completions: { create: async (fields: unknown) => (asked.push(fields), { choices: [] }) },
  } as unknown as Served;
  for (const model of ['tiny', 'models/tiny.gguf']) {
    await serve(engine, new Request('http://chunkwise/v1/completions', { method: 'POST', body: JSON.stringify({ model, prompt: 'Hi' }) }));
  }
  expect(asked).toEqual([{ prompt: 'Hi', adapter: 'tiny' }, { prompt: 'Hi' }]);
  const entry = (await (await serve(engine, new Request('http://chunkwise/v1/models/tiny'))).json()) as object;
  expect(entry).toEqual({ id: 'tiny', object: 'model', created: 0, owned_by: 'chunkwise', root: 'tiny', parent: 'tiny', max_model_len: 512 });
});
