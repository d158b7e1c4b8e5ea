import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { serverEngine } from '../../src/api/fallback/server-engine.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

/** The model that a server is asked for in place of `model`. */
async function askedFor(model: string, named?: string): Promise<unknown> {
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part: Buffer) => (text += part.toString()));
    request.on('end', () => {
      const body = request.method === 'POST' ? (JSON.parse(text) as object) : { data: [] };
      response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const cause = new ChunkwiseError('no_webgpu', { reason: 'of the test' });
  const engine = await serverEngine({ baseURL, ...(named && { model: named }) }, model, cause);
  return engine.chat.completions.create({ messages: [{ role: 'user', content: 'Hi' }] });
}

it('does not wait for a silent server after an abort', async () => {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => server.closeAllConnections());
  onTestFinished(() => void server.close());
  const baseURL = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const control = new AbortController();
  const cause = new ChunkwiseError('no_webgpu', { reason: 'of the test' });
  const opening = serverEngine({ baseURL }, 'owner/repo', cause, control.signal);
  setTimeout(() => control.abort(), 20);
  await expect(opening).rejects.toMatchObject({ code: 'aborted' });
});

it('shows its key in no error, even if a stream ends with one', async () => {
  const apiKey = 'sk-of-the-app';
  const error = `data: ${JSON.stringify({ error: { message: `no credit for ${apiKey}` } })}\n\n`;
  const fetch = (_: unknown, { method }: RequestInit = {}): Promise<Response> =>
    Promise.resolve(method === 'POST' ? new Response(error) : Response.json({ data: [] }));
  const cause = new ChunkwiseError('no_webgpu', { reason: 'of the test' });
  const engine = await serverEngine({ baseURL: 'https://api.example/v1', apiKey, fetch }, 'owner/repo', cause);
  const messages = [{ role: 'user' as const, content: 'Hi' }];
  const stream = await engine.chat.completions.create({ messages, stream: true });
  await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({
    code: 'network',
    detail: { reason: 'no credit for …' },
  });
});

it.each([
  ['owner/repo', undefined, 'owner/repo'],
  ['owner/repo@v1:some/model-Q4_K_M.gguf', undefined, 'owner/repo'],
  ['https://host.example/models/tiny.gguf', undefined, 'tiny'],
  ['owner/repo', 'its-own-name', 'its-own-name'],
])('for %s, with the name %s, asks the server for %s', async (model, named, expected) => {
  expect(await askedFor(model, named)).toMatchObject({ model: expected });
});
