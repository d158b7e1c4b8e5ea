import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  embedMany,
  experimental_decide as decide,
  generateText,
  isStepCount,
  jsonSchema,
  Output,
  rerank,
  streamText,
  tool,
} from 'ai';
import { afterAll, expect, test } from 'vitest';
import { decisionModel, embeddingModel, languageModel, LazyEngine, rerankingModel } from '../../src/ai-sdk/index.ts';
import type { Engine } from '../../src/api/engine-types.ts';
import { availability, createEngine } from '../../src/node/index.ts';
import { expectError } from '../support/expect-error.ts';
import { encoderFolder } from '../support/models/encoder-folder.ts';
import { scriptedToolChat } from '../support/models/scripted-model.ts';
import { temporaryFile } from '../support/temporary-file.ts';

const open: LazyEngine[] = [];
afterAll(async () => {
  for (const engine of open) await engine.dispose();
});

function scripted(): LazyEngine {
  const model = temporaryFile();
  writeFileSync(model, scriptedToolChat());
  const engine = new LazyEngine({ availability, createEngine }, { model, contextLength: 1024 });
  open.push(engine);
  return engine;
}

const getWeather = (asked: string[]) =>
  tool({
    description: 'The weather of a city',
    inputSchema: jsonSchema<{ city: string }>({
      type: 'object',
      properties: { city: { type: 'string' } },
      required: ['city'],
    }),
    execute: async ({ city }) => {
      asked.push(city);
      return { degrees: 21 };
    },
  });

test('a language model loads with its first call, and gives text, reasoning, tool calls, JSON and usage to the SDK', async () => {
  const engine = scripted();
  expect(await engine.availability()).toMatchObject({ status: 'available' });
  const phases: string[] = [];
  const model = languageModel(engine);
  const settings = { model, maxRetries: 0, temperature: 0 } as const;
  const [text] = await Promise.all([
    generateText({ ...settings, prompt: 'Hello' }),
    engine.load(({ phase }) => phases.push(phase)),
  ]);
  expect(phases).toContain('upload');
  expect([text.text, text.reasoningText, text.finishReason]).toEqual(['Good day.', 'Polite.', 'stop']);
  expect(text.usage.outputTokens).toBe(3);
  expect(text.usage.inputTokenDetails.cacheReadTokens).toBe(0);
  expect(text.usage.inputTokens).toBeGreaterThan(5);

  const asked: string[] = [];
  const tools = { get_weather: getWeather(asked) };
  const called = await generateText({ ...settings, tools, stopWhen: isStepCount(3), prompt: 'How is Paris' });
  expect([called.text, called.steps.length, asked]).toEqual(['It is 21 degrees in Paris.', 2, ['Paris']]);
  const { text: said, reasoningText, finishReason, toolCalls } = called.steps[0]!;
  expect([said.trim(), reasoningText?.trim(), finishReason]).toEqual(['Let me look.', 'Which city?', 'tool-calls']);
  expect(toolCalls).toMatchObject([{ toolName: 'get_weather', input: { city: 'Paris' } }]);

  const streamed = streamText({ ...settings, tools, stopWhen: isStepCount(3), prompt: 'How is Paris' });
  const types: string[] = [];
  for await (const part of streamed.fullStream) types.push(part.type);
  expect(types.filter((type) => /^(reasoning|text|tool)-(start|end|call|result)$/.test(type))).toEqual([
    ...['reasoning-start', 'reasoning-end', 'text-start', 'text-end', 'tool-call', 'tool-result'],
    ...['text-start', 'text-end'],
  ]);
  expect([await streamed.text, await streamed.finishReason]).toEqual(['It is 21 degrees in Paris.', 'stop']);

  const schema = jsonSchema<{ fine: boolean }>({
    type: 'object',
    properties: { fine: { const: true } },
    required: ['fine'],
    additionalProperties: false,
  });
  const { output } = await generateText({ ...settings, prompt: 'Hello', output: Output.object({ schema }) });
  expect(output).toEqual({ fine: true });

  const cut = await generateText({ ...settings, prompt: 'Hello', maxOutputTokens: 1 });
  expect(cut.finishReason).toBe('length');
  const prompt = [{ role: 'user' as const, content: [{ type: 'text' as const, text: 'Hello' }] }];
  const unfit = { prompt, providerOptions: { chunkwise: { min_p: 2 } } };
  await expectError(() => Promise.resolve(model.doGenerate(unfit)), 'bad_request', { field: 'min_p' });
  const { warnings } = await model.doGenerate({ prompt, reasoning: 'high' });
  expect(warnings).toMatchObject([{ type: 'unsupported', feature: 'reasoning' }]);
  const image = { type: 'file' as const, mediaType: 'image/png', data: { type: 'data' as const, data: 'AAAA' } };
  await expectError(() => model.doGenerate({ prompt: [{ role: 'user', content: [image] }] }), 'unsupported', {
    field: 'prompt[0].content[0]',
  });
  const aborted = streamText({
    ...settings,
    prompt: 'Hello',
    abortSignal: AbortSignal.abort(),
    onError: () => undefined,
  });
  const ends: string[] = [];
  for await (const { type } of aborted.fullStream) ends.push(type);
  expect(ends).toContain('abort');
});

test('decisions and embeddings of the same engine reach the SDK', async () => {
  const engine = scripted();
  const instructions = 'Which?';
  const { answers } = await decide({
    model: decisionModel(engine),
    state: 'My card was charged twice.',
    questions: { team: { type: 'choice', instructions, criteria: { billing: null, shipping: null } } },
    maxRetries: 0,
  });
  const decision = await (
    await engine.load()
  ).decisions.create({
    input: 'My card was charged twice.',
    questions: [{ type: 'choice', instructions, choices: [{ value: 'billing' }, { value: 'shipping' }] }],
  });
  const [answer] = decision.answers;
  expect(answers.team.choice).toBe(answer?.type === 'choice' && answer.choice);
  const values = ['One', 'Two', 'One'];
  const { embeddings, usage } = await embedMany({ model: embeddingModel(engine), values, maxRetries: 0 });
  const own = await (await engine.load()).embeddings.create({ input: values });
  expect(embeddings).toEqual(own.data.map(({ embedding }) => embedding));
  expect(usage.tokens).toBe(own.usage.prompt_tokens);
});

test('a cross-encoder ranks for the SDK, whose objects it reads as JSON', async () => {
  const folder = dirname(temporaryFile());
  for (const file of encoderFolder({}, 'cross')) writeFileSync(join(folder, file.name), await file.read(0, file.size));
  const engine = await createEngine({ model: folder });
  try {
    const documents = ['a sea', 'the wind', 'a hill in the sun'];
    const model = rerankingModel(engine);
    const { ranking } = await rerank({ model, query: 'wind', documents, topN: 2, maxRetries: 0 });
    const { results } = await engine.rerank({ query: 'wind', documents, top_n: 2 });
    expect(ranking.map(({ originalIndex, score }) => [originalIndex, score])).toEqual(
      results.map(({ index, relevance_score }) => [index, relevance_score]),
    );
    const objects = documents.map((about) => ({ about }));
    const ofObjects = await rerank({ model, query: 'wind', documents: objects, maxRetries: 0 });
    const texts = objects.map((each) => JSON.stringify(each));
    const [best] = (await engine.rerank({ query: 'wind', documents: texts })).results;
    expect(ofObjects.ranking[0]?.score).toBe(best?.relevance_score);
  } finally {
    await engine.dispose();
  }
});

test('a failed load is tried again by the next call, and progress goes to all who wait', async () => {
  let tries = 0;
  const engine = {
    chat: { completions: { create: () => Promise.reject(new Error('asked')) } },
    dispose: async () => undefined,
  };
  const lazy = new LazyEngine(
    {
      availability,
      async createEngine({ onProgress }) {
        if (++tries === 1) throw new Error('no network');
        await Promise.resolve(); // as a download begins after the call
        onProgress?.({ phase: 'download', bytes: 1, total: 2 });
        return engine as unknown as Engine;
      },
    },
    { model: 'owner/tiny' },
  );
  const model = languageModel(lazy);
  expect(model.modelId).toBe('owner/tiny');
  const ask = (): Promise<unknown> =>
    generateText({ model, prompt: 'Hello', maxRetries: 0 }).catch((error: unknown) => (error as Error).message);
  expect(await ask()).toBe('no network');
  const seen: number[] = [];
  await Promise.all([lazy.load(({ bytes }) => seen.push(bytes)), lazy.load(({ total }) => seen.push(total))]);
  expect([seen, tries]).toEqual([[1, 2], 2]);
  expect(await ask()).toBe('asked');
  expect(tries).toBe(2);
});
