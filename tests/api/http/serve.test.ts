import { expect, it } from 'vitest';
import { serve, type Served } from '../../../src/api/http/serve.ts';

/** An engine with one adapter, which records its requests. */
function served(model: string, adapter: string): { engine: Served; asked: unknown[] } {
  const asked: unknown[] = [];
  const engine = {
    ...{ model, contextLength: 512, adapters: { list: async () => [{ name: adapter }] } },
    completions: { create: async (fields: unknown) => (asked.push(fields), { choices: [] }) },
  } as unknown as Served;
  return { engine, asked };
}

const complete = (engine: Served, body: object): Promise<Response> =>
  serve(engine, new Request('http://chunkwise/v1/completions', { method: 'POST', body: JSON.stringify(body) }));

it('answers with the adapter that model names if adapter is null', async () => {
  const { engine, asked } = served('tiny.gguf', 'pirate');
  const { status } = await complete(engine, { model: 'pirate', prompt: 'Hi', adapter: null });
  expect(status).toBe(200);
  expect(asked).toEqual([{ prompt: 'Hi', adapter: 'pirate' }]);
});

it('finds an adapter named like the base model, and the base model by its full name', async () => {
  const { engine, asked } = served('models/tiny.gguf', 'tiny');
  for (const model of ['tiny', 'models/tiny.gguf']) await complete(engine, { model, prompt: 'Hi' });
  expect(asked).toEqual([{ prompt: 'Hi', adapter: 'tiny' }, { prompt: 'Hi' }]);
  const entry = (await (await serve(engine, new Request('http://chunkwise/v1/models/tiny'))).json()) as object;
  expect(entry).toEqual({
    id: 'tiny',
    object: 'model',
    created: 0,
    owned_by: 'chunkwise',
    root: 'tiny',
    parent: 'tiny',
    max_model_len: 512,
  });
});
