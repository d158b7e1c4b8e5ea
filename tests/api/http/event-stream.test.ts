import { expect, it } from 'vitest';
import { eventStream } from '../../../src/api/http/serve.ts';
import { ChunkwiseError } from '../../../src/errors/chunkwise-error.ts';

/** Counts up to a number, or ends with an error; `seen` and `ended` record how far it came. */
function counter(last: number | Error) {
  const state = { seen: 0, ended: false };
  async function* count(): AsyncGenerator<object, void> {
    try {
      for (let n = 1; typeof last !== 'number' || n <= last; n++) {
        if (typeof last !== 'number' && n === 3) throw last;
        state.seen = n;
        yield { n };
      }
    } finally {
      state.ended = true;
    }
  }
  return { state, items: count() };
}

const never = new AbortController().signal;

it('sends each item as an event, then [DONE]', async () => {
  const { items } = counter(2);
  expect(await new Response(eventStream(items, never)).text()).toBe(
    'data: {"n":1}\n\ndata: {"n":2}\n\ndata: [DONE]\n\n',
  );
});

it('sends an error as an event in OpenAI’s form', async () => {
  const { items } = counter(new ChunkwiseError('device_lost', { reason: 'gone' }));
  const events = (await new Response(eventStream(items, never)).text()).trim().split('\n\n');
  expect(events.slice(0, 2)).toEqual(['data: {"n":1}', 'data: {"n":2}']);
  expect(events).toHaveLength(3);
  expect(JSON.parse(events[2]?.slice('data: '.length) ?? '')).toEqual({
    error: { message: 'gone', type: 'server_error', param: null, code: 'device_lost' },
  });
});

it('pulls only what is read, and ends the iteration when it is cancelled', async () => {
  const { items, state } = counter(1000);
  const reader = eventStream(items, never).getReader();
  await reader.read();
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(state.seen).toBeLessThanOrEqual(3);
  await reader.cancel();
  expect(state.ended).toBe(true);
});

it('fails like the body of an aborted fetch, without being read', async () => {
  const { items, state } = counter(1000);
  const abort = new AbortController();
  const reader = eventStream(items, abort.signal).getReader();
  await reader.read();
  abort.abort(new DOMException('enough', 'AbortError'));
  await expect(reader.read()).rejects.toMatchObject({ name: 'AbortError', message: 'enough' });
  await expect.poll(() => state.ended).toBe(true);
});

it('fails the same way if the signal aborted before', async () => {
  const { items, state } = counter(1000);
  const reader = eventStream(items, AbortSignal.abort(new DOMException('enough', 'AbortError'))).getReader();
  await expect(reader.read()).rejects.toMatchObject({ name: 'AbortError', message: 'enough' });
  expect(state.seen).toBe(0);
});
