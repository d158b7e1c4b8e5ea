import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from './browser.ts';
import { holdEngine, openClients, reachEngine, serveClients } from './clients-page.ts';
import type { DemoServer } from './demo-server.ts';

let server: DemoServer;
let browser: Browser;
/** Holds an engine with a random model. */
let holder: Page;
/** Holds one whose model says what it is told to, with tools and reasoning. */
let scripted: Page;
/** Holds none. */
let other: Page;

beforeAll(async () => {
  server = await serveClients();
  browser = await launchBrowser('swiftshader');
  const context = await browser.newContext();
  [holder, scripted, other] = [await context.newPage(), await context.newPage(), await context.newPage()];
  for (const page of [holder, scripted, other]) await openClients(page, server);
});
afterAll(async () => {
  await browser.close();
  await server.close();
});

it('is 503 where no page holds an engine', async () => {
  await reachEngine(other, 'service worker');
  const error = await other.evaluate(async () => {
    const failed = globalThis.openai.models.list();
    return failed.then(() => undefined, (reason: InstanceType<typeof globalThis.clients.OpenAI.APIError>) => {
      return { status: reason.status as number, code: reason.code };
    });
  });
  expect(error).toEqual({ status: 503, code: 'no_engine' });
});

describe.each(['engine.fetch', 'service worker'] as const)('through %s', (way) => {
  const asking = (): Page => (way === 'engine.fetch' ? holder : other);

  beforeAll(async () => {
    if (way === 'engine.fetch') {
      await holdEngine(holder, 'tiny.gguf');
      await holder.evaluate(async () => void (await globalThis.held.adapters.load('poet', 'adapters/shakespeare/')));
    } else {
      await holder.evaluate(async () => void (await globalThis.clients.provideEngine(globalThis.held)));
    }
    await reachEngine(asking(), way);
  });

  it('the openai client chats, whole and in a stream', async () => {
    const result = await asking().evaluate(async () => {
      const request = {
        model: 'tiny',
        messages: [{ role: 'user' as const, content: 'Hi' }],
        max_completion_tokens: 12,
        temperature: 0,
        user: 'me',
      };
      const { data: whole, response } = await globalThis.openai.chat.completions.create(request).withResponse();
      const stream = await globalThis.openai.chat.completions.create({
        ...request,
        stream: true,
        stream_options: { include_usage: true },
      });
      let text = '';
      let pieces = 0;
      let usage;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? '';
        if (chunk.choices[0]?.delta.content) pieces++;
        usage = chunk.usage ?? usage;
      }
      const raw = await globalThis.reach.fetch(`${globalThis.reach.baseURL}/chat/completions`, {
        method: 'POST',
        body: new Blob([JSON.stringify({ ...request, max_completion_tokens: 2, stream: true })]),
      });
      const completion = await globalThis.openai.completions.create({ model: 'tiny', prompt: 'One two', max_tokens: 3 });
      return { whole, text, pieces, usage, completion, by: response.headers.get('chunkwise-answered-by'), events: await raw.text() };
    });
    expect(result.whole).toMatchObject({ object: 'chat.completion', model: 'tiny', usage: { completion_tokens: 12 } });
    expect(result.whole.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: result.text } });
    expect(result.pieces).toBeGreaterThan(2);
    expect(result.usage).toMatchObject({ completion_tokens: 12 });
    expect(result.completion).toMatchObject({ object: 'text_completion', usage: { completion_tokens: 3 } });
    expect(result.by).toBe('device');
    const events = result.events.split('\n\n');
    expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
    for (const event of events.slice(0, -2)) expect(JSON.parse(event.replace(/^data: /, ''))).toMatchObject({ model: 'tiny' });
  });

  it('the AI SDK generates, streams and embeds', async () => {
    const result = await asking().evaluate(async () => {
      const { createOpenAICompatible, ai } = globalThis.clients;
      const provider = createOpenAICompatible({ name: 'chunkwise', ...globalThis.reach });
      const request = { model: provider('tiny'), prompt: 'Hi', maxOutputTokens: 12, temperature: 0, maxRetries: 0 };
      const whole = await ai.generateText(request);
      const stream = ai.streamText(request);
      let text = '';
      for await (const piece of stream.textStream) text += piece;
      const { embedding } = await ai.embed({ model: provider.embeddingModel('tiny'), value: 'Hi' });
      return { whole: whole.text, reason: whole.finishReason, tokens: whole.usage.outputTokens, text, embedding };
    });
    expect(result).toMatchObject({ whole: result.text, reason: 'length', tokens: 12 });
    expect(result.text.length).toBeGreaterThan(2);
    expect(Math.hypot(...result.embedding)).toBeCloseTo(1, 5);
  });

  it('embeds, in base64 unasked and as numbers, one text or many, or tokens', async () => {
    const result = await asking().evaluate(async () => {
      const { embeddings } = globalThis.openai;
      const input = ['One two.', 'Three.'];
      const coded = await embeddings.create({ model: 'tiny', input });
      const plain = await embeddings.create({ model: 'tiny', input, encoding_format: 'float' });
      const adapted = await embeddings.create({ model: 'poet', input: 'Three.', encoding_format: 'float' });
      const tokens = await embeddings.create({ model: 'tiny', input: [[5, 6], [7]] });
      return { coded, plain, adapted, tokens };
    });
    expect(result.coded.data.map(({ embedding }) => embedding)).toEqual(result.plain.data.map(({ embedding }) => embedding));
    expect(result.plain.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(result.plain.usage.prompt_tokens).toBe(result.plain.usage.total_tokens);
    expect(result.adapted.model).toBe('poet');
    expect(result.adapted.data[0]?.embedding).not.toEqual(result.plain.data[1]?.embedding);
    expect(result.tokens.usage.prompt_tokens).toBe(3);
  });

  it('lists adapters as models, and answers with the one that is named', async () => {
    const result = await asking().evaluate(async () => {
      const { openai } = globalThis;
      const ask = async (model: string, fields: object = {}) => {
        const messages = [{ role: 'user' as const, content: 'Hi' }];
        const answer = await openai.chat.completions.create({ model, messages, max_tokens: 12, temperature: 0, ...fields });
        return [answer.model, answer.choices[0]?.message.content];
      };
      const listed = (await openai.models.list()).data;
      return {
        listed,
        one: await openai.models.retrieve('poet'),
        texts: [await ask('tiny'), await ask('poet'), await ask('tiny', { adapter: 'poet' })],
      };
    });
    expect(result.listed).toMatchObject([
      { id: 'tiny', object: 'model', parent: null },
      { id: 'poet', object: 'model', parent: 'tiny' },
    ]);
    expect(result.one).toMatchObject(result.listed[1] ?? {});
    const [base, named, given] = result.texts;
    expect([base?.[0], named?.[0]]).toEqual(['tiny', 'poet']);
    expect(named?.[1]).not.toBe(base?.[1]);
    expect(given?.[1]).toBe(named?.[1]);
  });

  it('holds both clients\' answers to a JSON schema', async () => {
    const result = await asking().evaluate(async () => {
      const { openai, clients } = globalThis;
      const schema = {
        type: 'object' as const,
        properties: { colour: { type: 'string' as const, enum: ['red', 'green'] }, count: { type: 'integer' as const, minimum: 1, maximum: 9 } },
        required: ['colour', 'count'],
        additionalProperties: false,
      };
      const request = { model: 'tiny', messages: [{ role: 'user' as const, content: 'How many?' }], max_tokens: 200 };
      const format = { type: 'json_schema' as const, json_schema: { name: 'answer', schema, strict: true } };
      const whole = await openai.chat.completions.create({ ...request, response_format: format });
      const stream = openai.chat.completions.stream({ ...request, response_format: format });
      const streamed = (await stream.finalChatCompletion()).choices[0]?.message.content;
      const provider = clients.createOpenAICompatible({ name: 'chunkwise', supportsStructuredOutputs: true, ...globalThis.reach });
      const { output } = await clients.ai.generateText({
        model: provider('tiny'),
        prompt: 'How many?',
        output: clients.ai.Output.object({ schema: clients.ai.jsonSchema<{ colour: string; count: number }>(schema) }),
        maxRetries: 0,
      });
      return [whole.choices[0]?.message.content ?? '', streamed ?? '', JSON.stringify(output)];
    });
    for (const text of result) {
      const { colour, count, ...rest } = JSON.parse(text) as { colour: string; count: number };
      expect(['red', 'green']).toContain(colour);
      expect([1, 2, 3, 4, 5, 6, 7, 8, 9]).toContain(count);
      expect(rest).toEqual({});
    }
  });

  it('says what is wrong as OpenAI does', async () => {
    const errors = await asking().evaluate(async () => {
      const { openai, reach } = globalThis;
      const messages = [{ role: 'user' as const, content: 'Hi' }];
      const ask = async (fields: object) => {
        try {
          await openai.chat.completions.create({ model: 'tiny', messages, max_tokens: 60, ...fields });
          return 'fine';
        } catch (error) {
          const { status, code, param } = error as InstanceType<typeof globalThis.clients.OpenAI.APIError>;
          return [status as number, code, param];
        }
      };
      const status = async (path: string, init?: RequestInit) => (await reach.fetch(`${reach.baseURL}/${path}`, init)).status;
      // Four are answered side by side, and none may wait.
      const busy = await Promise.all(['One.', 'Two.', 'Three.', 'Four.', 'Five.'].map((content) => ask({ messages: [{ role: 'user', content }] })));
      return {
        model: await ask({ model: 'gpt-4' }),
        field: await ask({ temperature: -1 }),
        streamed: await ask({ temperature: -1, stream: true }),
        overflow: await ask({ messages: [{ role: 'user', content: '😀'.repeat(5000) }], stream: true }),
        tools: await ask({ tools: [{ type: 'function', function: { name: 'f' } }] }),
        dimensions: await status('embeddings', { method: 'POST', body: '{"input": "a", "dimensions": 8}' }),
        json: await status('chat/completions', { method: 'POST', body: '{' }),
        method: await status('chat/completions'),
        route: await status('images/generations', { method: 'POST', body: '{}' }),
        unknown: await status('models/nothing'),
        busy,
      };
    });
    expect(errors).toEqual({
      model: [404, 'model_not_found', 'model'],
      field: [400, 'bad_request', 'temperature'],
      streamed: [400, 'bad_request', 'temperature'],
      overflow: [400, 'context_length_exceeded', 'prompt'],
      tools: [400, 'unsupported', 'tools'],
      dimensions: 400,
      json: 400,
      method: 405,
      route: 404,
      unknown: 404,
      busy: expect.arrayContaining(['fine', [429, 'queue_full', 'queueLimit']]) as unknown,
    });
  });

  it('stops when a stream is left, and when a signal aborts', async () => {
    let tokens = 0;
    const count = `clients-${way}`;
    await holder.exposeFunction(count, () => void tokens++);
    await holder.evaluate((name) => {
      const tell = (globalThis as unknown as Record<string, () => void>)[name];
      globalThis.held.on('token', () => tell?.());
    }, count);
    const result = await asking().evaluate(async () => {
      const { openai } = globalThis;
      const request = { model: 'tiny', messages: [{ role: 'user' as const, content: 'A long story.' }] };
      const stream = await openai.chat.completions.create({ ...request, stream: true });
      let seen = 0;
      for await (const chunk of stream) if (chunk.choices.length > 0 && ++seen === 5) break;
      const abort = new AbortController();
      const aborted = openai.chat.completions.create({ ...request, stream: true }, { signal: abort.signal });
      let name = 'none';
      try {
        for await (const chunk of await aborted) if (chunk.choices.length > 0) abort.abort();
        name = 'ended';
      } catch (error) {
        name = (error as Error).constructor.name;
      }
      const whole = openai.chat.completions.create({ ...request, max_tokens: 40 }, { signal: AbortSignal.timeout(100) });
      const failed = await whole.then(() => 'fine', () => 'aborted');
      // Soon everything is free again.
      const after = await Promise.all([1, 2, 3, 4].map(() => openai.chat.completions.create({ ...request, max_tokens: 2 }, { maxRetries: 8 })));
      return { name, failed, after: after.map((answer) => answer.usage?.completion_tokens) };
    });
    expect(result).toMatchObject({ failed: 'aborted', after: [2, 2, 2, 2] });
    // The streams came nowhere near their ends, which are some thousand tokens away.
    expect(tokens).toBeLessThan(200);
  });

  it('serves tools and reasoning to both clients', async () => {
    if (way === 'engine.fetch') await holdEngine(scripted, 'scripted.gguf');
    else {
      await holder.close();
      await scripted.evaluate(async () => void (await globalThis.clients.provideEngine(globalThis.held)));
    }
    const page = way === 'engine.fetch' ? scripted : other;
    await reachEngine(page, way);
    const result = await page.evaluate(async () => {
      const { openai, clients } = globalThis;
      const { ai, createOpenAICompatible } = clients;
      const parameters = { type: 'object' as const, properties: { city: { type: 'string' as const, maxLength: 12 } } };
      const description = 'Degrees.';
      const tools = [{ type: 'function' as const, function: { name: 'get_weather', description, parameters } }];
      const question = { role: 'user' as const, content: 'How warm is it in Paris?' };
      const request = { model: 'scripted', messages: [question], tools };
      const asked = await openai.chat.completions.create(request);
      const message = asked.choices[0]?.message;
      if (!message) throw new Error('no message');
      const given = { role: 'tool' as const, tool_call_id: message.tool_calls?.[0]?.id ?? '', content: '21' };
      const told = await openai.chat.completions.create({ ...request, messages: [question, message, given] });
      const runner = openai.chat.completions.stream(request);
      const streamed = (await runner.finalChatCompletion()).choices[0];
      const plain = await openai.chat.completions.create({ ...request, tool_choice: 'none' });
      // The model would say something else.
      const demanded = await openai.chat.completions.create({ ...request, tool_choice: 'required', max_tokens: 200 });

      const provider = createOpenAICompatible({ name: 'chunkwise', ...globalThis.reach });
      const cities: string[] = [];
      const weather = ai.tool({
        description,
        inputSchema: ai.jsonSchema<{ city: string }>(parameters),
        execute: async ({ city }) => {
          cities.push(city);
          return 21;
        },
      });
      const sdk = { model: provider('scripted'), prompt: question.content, tools: { get_weather: weather }, stopWhen: ai.isStepCount(3), maxRetries: 0 };
      const whole = await ai.generateText(sdk);
      const stream = ai.streamText(sdk);
      const text = await stream.text;
      return { asked: asked.choices[0], told: told.choices[0], streamed, plain: plain.choices[0], demanded: demanded.choices[0], whole: whole.text, thought: whole.steps[0]?.reasoningText, text, cities };
    });
    const call = { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Paris"}' } };
    const message = { content: 'Let me look.', reasoning_content: 'Which city?', tool_calls: [call] };
    expect(result.asked).toMatchObject({ finish_reason: 'tool_calls', message });
    expect(result.streamed).toMatchObject({ finish_reason: 'tool_calls', message: { content: 'Let me look.', tool_calls: [call] } });
    expect(result.told).toMatchObject({ finish_reason: 'stop', message: { content: 'It is 21 degrees in Paris.' } });
    expect(result.plain).toMatchObject({ finish_reason: 'stop', message: { content: 'Good day.', reasoning_content: 'Polite.' } });
    expect(result.demanded).toMatchObject({ message: { content: null, tool_calls: [{ function: { name: 'get_weather' } }] } });
    expect(result).toMatchObject({ whole: 'It is 21 degrees in Paris.', text: 'It is 21 degrees in Paris.', thought: 'Which city?' });
    expect(result.cities).toEqual(['Paris', 'Paris']);
  });
});
