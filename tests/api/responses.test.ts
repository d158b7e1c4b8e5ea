import { expect, it } from 'vitest';
import { AnswerReader } from '../../src/api/chat/answer-reader.ts';
import {
  chatChunks,
  collectAnswer,
  completionChunks,
  responseHead,
  wholeChat,
  type WholeAnswer,
  wholeCompletion,
} from '../../src/api/responses.ts';
import type { GenerateEvent } from '../../src/engine/types.ts';

const FORMS = { f16: 6, q8: 7, q4: 8, q3: 9, k3v2: 5, sparse: 10 };
const report = {
  ttftMs: 5,
  msPerToken: { median: 1, p95: 2 },
  tokensPerSecond: 3,
  tokensPerStep: 1,
  dispatchesPerToken: 4,
  dispatchesPerLayer: 5,
  kv: {
    pages: FORMS,
    bytes: FORMS,
    peakBytes: 0,
    layerErrors: [],
    mergedTokens: 0,
    droppedTokens: 0,
    memoryOverrode: false,
    formsRefused: false,
  },
};
const told = { answeredBy: 'device', ...report };
const usage = {
  ...{ prompt_tokens: 9, completion_tokens: 3, total_tokens: 12 },
  prompt_tokens_details: { cached_tokens: 6 },
  completion_tokens_details: { forced_tokens: 1 },
};

async function* answer(): AsyncGenerator<GenerateEvent, void> {
  yield { type: 'token', token: 1, text: 'Gr', ms: 1, contextUsed: 10 };
  yield { type: 'token', token: 2, text: '', ms: 1, contextUsed: 11 };
  yield { type: 'token', token: 3, text: 'ü', ms: 1, contextUsed: 12 };
  yield {
    type: 'end',
    text: 'ß',
    finishReason: 'length',
    usage: { promptTokens: 9, cachedTokens: 6, completionTokens: 3, forcedTokens: 1 },
    ignored: [],
    report,
  };
}

const reader = () => new AnswerReader({ opensReasoning: false }, new Set());

async function gather<T>(events: AsyncIterable<GenerateEvent>, write: (event: GenerateEvent) => T[]): Promise<T[]> {
  const all: T[] = [];
  for await (const event of events) all.push(...write(event));
  return all;
}

async function collect(events: AsyncIterable<GenerateEvent>): Promise<WholeAnswer> {
  const { write, answer: collected } = collectAnswer();
  for await (const event of events) write(event);
  return collected();
}

it('streams a chat as OpenAI does: role, text, finish reason; empty texts are left out', async () => {
  const head = responseHead('chatcmpl', 'm');
  const chunks = await gather(answer(), chatChunks(head, false, reader()));
  expect(chunks.map(({ choices }) => [choices[0]?.delta, choices[0]?.finish_reason])).toEqual([
    [{ role: 'assistant', content: '' }, null],
    [{ content: 'Gr' }, null],
    [{ content: 'ü' }, null],
    [{ content: 'ß' }, null],
    [{}, 'length'],
  ]);
  expect(chunks.every((chunk) => chunk.id === head.id && chunk.object === 'chat.completion.chunk')).toBe(true);
  expect(chunks.map((chunk) => chunk.chunkwise)).toEqual([undefined, undefined, undefined, undefined, told]);
  expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
});

it('adds the usage in a last chunk without choices if asked for', async () => {
  const chunks = await gather(answer(), chatChunks(responseHead('chatcmpl', 'm'), true, reader()));
  expect(chunks.at(-1)).toMatchObject({ choices: [], usage, chunkwise: told });
  expect(chunks.slice(0, -1).every((chunk) => chunk.usage === null && chunk.choices.length === 1)).toBe(true);
  const texts = await gather(answer(), completionChunks(responseHead('cmpl', 'm'), true));
  expect(texts.at(-1)).toMatchObject({ object: 'text_completion', choices: [], usage, chunkwise: told });
});

it('streams a completion: its text in order, the finish reason on the last', async () => {
  const chunks = await gather(answer(), completionChunks(responseHead('cmpl', 'm'), false));
  expect(chunks.map(({ choices }) => choices[0]?.text).join('')).toBe('Grüß');
  expect(chunks.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, 'length']);
});

it('makes whole answers', async () => {
  const choice = { index: 0, finish_reason: 'length', logprobs: null };
  expect(wholeChat(responseHead('chatcmpl', 'm'), await collect(answer()), reader())).toMatchObject({
    object: 'chat.completion',
    model: 'm',
    choices: [{ ...choice, message: { role: 'assistant', content: 'Grüß' } }],
    usage,
    chunkwise: told,
  });
  expect(wholeCompletion(responseHead('cmpl', 'm'), await collect(answer()))).toMatchObject({
    object: 'text_completion',
    choices: [{ ...choice, text: 'Grüß' }],
    usage,
    chunkwise: told,
  });
});

const chance = (token: string, logprob: number) => ({ token, logprob, bytes: [...Buffer.from(token)] });

async function* likely(): AsyncGenerator<GenerateEvent, void> {
  const end = { ...chance('', -3), token: '<end>' };
  const token = { type: 'token' as const, ms: 1, contextUsed: 10 };
  yield { ...token, token: 1, text: 'Gr', logprobs: { ...chance('Gr', -0.5), top: [chance('Gr', -0.5), end] } };
  yield { ...token, token: 2, text: '', logprobs: { token: '\ufffd', bytes: [195], logprob: -1, top: [] } };
  for await (const event of answer()) if (event.type === 'end') yield event;
}

it("gives log-probabilities like OpenAI's chats, whole and streamed, also for a token without text", async () => {
  const whole = wholeChat(responseHead('chatcmpl', 'm'), await collect(likely()), reader());
  expect(whole.choices[0]?.logprobs).toEqual({
    content: [
      {
        ...chance('Gr', -0.5),
        top_logprobs: [chance('Gr', -0.5), { token: '<end>', bytes: null, logprob: -3 }],
      },
      { token: '\ufffd', bytes: [195], logprob: -1, top_logprobs: [] },
    ],
    refusal: null,
  });
  const chunks = await gather(likely(), chatChunks(responseHead('chatcmpl', 'm'), false, reader()));
  const streamed = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []);
  expect(streamed).toEqual(whole.choices[0]?.logprobs?.content);
});

it('gives log-probabilities like OpenAI’s completions, with offsets in the text', async () => {
  const whole = wholeCompletion(responseHead('cmpl', 'm'), await collect(likely()));
  const logprobs = {
    tokens: ['Gr', '\ufffd'],
    token_logprobs: [-0.5, -1],
    top_logprobs: [{ Gr: -0.5, '<end>': -3 }, {}],
    text_offset: [0, 2],
  };
  expect(whole.choices[0]?.logprobs).toEqual(logprobs);
  const chunks = await gather(likely(), completionChunks(responseHead('cmpl', 'm'), false));
  const streamed = chunks.flatMap(({ choices }) => choices[0]?.logprobs ?? []);
  expect(streamed.flatMap(({ text_offset }) => text_offset)).toEqual(logprobs.text_offset);
  expect(streamed.flatMap(({ tokens }) => tokens)).toEqual(logprobs.tokens);
});

it('gives offsets after characters of several tokens and after control tokens, which have no text', async () => {
  const of = (text: string, bytes: number[]) => ({
    text,
    logprobs: {
      token: bytes.length > 0 ? new TextDecoder().decode(Uint8Array.from(bytes)) : '<call>',
      bytes,
      logprob: -1,
      top: [],
    },
  });
  const parts = [of('', [0xf0, 0x9f]), of('', [0x98]), of('😀', [0x80]), of('', []), of('a', [0x61])];
  async function* split(): AsyncGenerator<GenerateEvent, void> {
    for (const part of parts) yield { type: 'token', token: 1, ms: 1, contextUsed: 10, ...part };
    for await (const event of answer()) if (event.type === 'end') yield event;
  }
  const whole = wholeCompletion(responseHead('cmpl', 'm'), await collect(split()));
  expect(whole.choices[0]?.text).toBe('😀aß');
  expect(whole.choices[0]?.logprobs?.text_offset).toEqual([0, 0, 0, 2, 2]);
  const chunks = await gather(split(), completionChunks(responseHead('cmpl', 'm'), false));
  expect(chunks.flatMap(({ choices }) => choices[0]?.logprobs?.text_offset ?? [])).toEqual([0, 0, 0, 2, 2]);
});
