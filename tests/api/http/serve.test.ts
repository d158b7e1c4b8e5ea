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
