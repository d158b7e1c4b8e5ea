import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { JSHandle, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import {
  FIXTURES,
  encoderFolder,
  expectedScores,
  expectedStates,
  expectedTexts,
} from '../../tests/support/models/encoder-folder.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, servePackage } from '../support/package-page.ts';

const opened = openForTests(servePackage);
let page: Page;
beforeAll(async () => {
  page = await opened.browser.newPage();
  await importPackage(page, opened.server);
  for (const model of ['bert', 'cross'])
    cpSync(join(FIXTURES, model), join(opened.server.folder, model), { recursive: true });
});

/** Loads a fixture's encoder from its files into `globalThis.engine`. */
async function load(model: 'bert' | 'cross'): Promise<void> {
  const paths = encoderFolder({}, model).map(({ name }) => `models/${model}/${name}`);
  const files: JSHandle<File[]> = await page.evaluateHandle(
    (paths) =>
      Promise.all(
        paths.map(async (path) => new File([await (await fetch(path)).blob()], path.split('/').at(-1) ?? '')),
      ),
    paths,
  );
  await page.evaluate(
    async (model) => void (globalThis.engine = await globalThis.chunkwise.createEngine({ model, weights: 'stored' })),
    files,
  );
}

/** Response of the engine's server. */
const post = (route: string, body: object): Promise<{ status: number; answer: unknown }> =>
  page.evaluate(
    async ([route, body]) => {
      const response = await globalThis.engine.fetch(`/v1/${route}`, { method: 'POST', body: JSON.stringify(body) });
      return { status: response.status, answer: (await response.json()) as unknown };
    },
    [route, body] as const,
  );

const meanOf = (states: readonly Float32Array[]): number[] =>
  Array.from(states[0] ?? [], (_, i) => states.reduce((sum, row) => sum + (row[i] ?? 0), 0) / states.length);

it('/v1/embeddings of an encoder gives the vectors of transformers, and refuses chats', async () => {
  await load('bert');
  const { texts, ids } = expectedTexts();
  const { status, answer } = await post('embeddings', { input: texts });
  expect(status).toBe(200);
  expect(answer).toMatchObject({
    object: 'list',
    data: texts.map((_, index) => ({ object: 'embedding', index })),
    usage: { prompt_tokens: ids.flat().length },
  });
  const means = expectedStates().map(meanOf);
  const wrong = (answer as { data: { embedding: number[] }[] }).data.filter(({ embedding }, i) => {
    const mean = means[i] ?? [];
    return (
      embedding.length !== mean.length ||
      embedding.some((value, c) => Math.abs(value - (mean[c] ?? NaN) / Math.hypot(...mean)) > 1e-4)
    );
  });
  expect(wrong).toEqual([]);
  expect(await post('embeddings', { input: 'the '.repeat(60) })).toMatchObject({
    status: 400,
    answer: { error: { code: 'context_length_exceeded', param: 'input[0]' } },
  });
  expect(await post('chat/completions', { messages: [{ role: 'user', content: 'Hi' }] })).toMatchObject({
    status: 400,
    answer: { error: { code: 'unsupported', param: 'model' } },
  });
  expect(await post('rerank', { query: 'the', documents: ['a'] })).toMatchObject({
    status: 400,
    answer: { error: { code: 'unsupported', param: 'model' } },
  });
});

it('/v1/rerank of a cross-encoder gives the order and the scores of transformers, as engine.rerank does', async () => {
  await load('cross');
  const { queries, documents, scores } = expectedScores();
  for (const [i, query] of queries.entries()) {
    const expected = documents
      .map((_, index) => ({ index, score: scores[i]?.[index] ?? NaN }))
      .sort((a, b) => b.score - a.score);
    const { status, answer } = await post('rerank', { query, documents });
    const { results } = answer as { results: { index: number; relevance_score: number }[] };
    expect(status).toBe(200);
    expect(results.map(({ index }) => index)).toEqual(expected.map(({ index }) => index));
    expect(
      Math.max(
        ...results.map(({ relevance_score }, rank) => Math.abs(relevance_score - (expected[rank]?.score ?? NaN))),
      ),
    ).toBeLessThan(1e-4);
    const best = await page.evaluate(
      ([query, documents]) => globalThis.engine.rerank({ query, documents, top_n: 2, return_documents: true }),
      [query, documents] as const,
    );
    expect(best.results).toEqual(
      results.slice(0, 2).map((result) => ({ ...result, document: { text: documents[result.index] } })),
    );
    expect(best).toMatchObject({
      model: await page.evaluate(() => globalThis.engine.model),
      chunkwise: { answeredBy: 'device' },
    });
    expect(best.usage.total_tokens).toBe((answer as typeof best).usage.prompt_tokens);
  }
  expect(await post('rerank', { query: 'the', documents: ['a', 'the '.repeat(60)] })).toMatchObject({
    status: 400,
    answer: { error: { code: 'context_length_exceeded', param: 'documents[1]' } },
  });
  expect(await post('rerank', { query: 'the', documents: [] })).toMatchObject({
    status: 400,
    answer: { error: { code: 'bad_request', param: 'documents' } },
  });
  expect(await post('embeddings', { input: 'the' })).toMatchObject({
    status: 400,
    answer: { error: { code: 'unsupported', param: 'model' } },
  });
});
