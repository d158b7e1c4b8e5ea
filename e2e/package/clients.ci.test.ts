import type { Page } from 'playwright';
import { expect, it } from 'vitest';
import {
  describeWays,
  holdEngine,
  openClients,
  openPages,
  provideEngine,
  reachEngine,
} from '../support/clients-page.ts';

const pages = openPages();

/** The models that a page receives through the service worker, or its error. */
const modelsOf = (page: Page) =>
  page.evaluate(() =>
    globalThis.openai.models.list().then(
      ({ data }) => data.map(({ id }) => id),
      ({ status, code }: InstanceType<typeof globalThis.clients.OpenAI.APIError>) => ({
        status: status as number,
        code,
      }),
    ),
  );

it('is 503 if no page has an engine', async () => {
  await reachEngine(pages.other, 'service worker');
  expect(await modelsOf(pages.other)).toEqual({ status: 503, code: 'no_engine' });
});

it('serves the page on its first visit, and when it was loaded without the service worker', async () => {
  const context = await pages.other.context().browser()!.newContext();
  const page = await context.newPage();
  /** Status of the page's own request while it provides a stub that answers every request. */
  const status = async (): Promise<number> => {
    await page.waitForFunction(() => 'clients' in globalThis);
    return page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      if (navigator.serviceWorker.controller) throw new Error('the page is controlled already');
      await globalThis.clients.provideEngine({ fetch: async () => Response.json({ object: 'list', data: [] }) });
      return (await fetch('/v1/models')).status;
    });
  };
  await page.goto(`${pages.server.url()}?sw=bare-sw.js`);
  expect(await status()).toBe(200);
  const session = await context.newCDPSession(page);
  const reloaded = page.waitForEvent('load');
  await session.send('Page.reload', { ignoreCache: true }); // like a reload with Shift
  await reloaded;
  expect(await status()).toBe(200);
  await context.close();
});

async function loadTiny(page: Page): Promise<void> {
  await holdEngine(page, 'tiny.gguf');
  await page.evaluate(async () => void (await globalThis.held.adapters.load('poet', 'adapters/shakespeare/')));
}

describeWays(pages, loadTiny, (asking, way) => {
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
      const completion = await globalThis.openai.completions.create({
        model: 'tiny',
        prompt: 'One two',
        max_tokens: 3,
      });
      return {
        whole,
        text,
        pieces,
        usage,
        completion,
        by: response.headers.get('chunkwise-answered-by'),
        events: await raw.text(),
      };
    });
    expect(result.whole).toMatchObject({ object: 'chat.completion', model: 'tiny', usage: { completion_tokens: 12 } });
    expect(result.whole.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: result.text } });
    expect(result.pieces).toBeGreaterThan(2);
    expect(result.usage).toMatchObject({ completion_tokens: 12 });
    expect(result.completion).toMatchObject({ object: 'text_completion', usage: { completion_tokens: 3 } });
    expect(result.by).toBe('device');
    const events = result.events.split('\n\n');
    expect(events.slice(-2)).toEqual(['data: [DONE]', '']);
    for (const event of events.slice(0, -2))
      expect(JSON.parse(event.replace(/^data: /, ''))).toMatchObject({ model: 'tiny' });
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
    expect(result.coded.data.map(({ embedding }) => embedding)).toEqual(
      result.plain.data.map(({ embedding }) => embedding),
    );
    expect(result.plain.data.map(({ index }) => index)).toEqual([0, 1]);
    expect(result.plain.usage.prompt_tokens).toBe(result.plain.usage.total_tokens);
    expect(result.adapted.model).toBe('poet');
    expect(result.adapted.data[0]?.embedding).not.toEqual(result.plain.data[1]?.embedding);
    expect(result.tokens.usage.prompt_tokens).toBe(3);
  });

  it('the openai client, the AI SDK and vLLM’s own example make the same decisions, each question with its adapter', async () => {
    const result = await asking().evaluate(async () => {
      const { openai, reach } = globalThis;
      const { ai, decisionModel } = globalThis.clients;
      const input = 'My card was charged twice for one order.';
      const instructions = 'Which team should handle this ticket?';
      const criteria = { billing: 'payments and refunds', shipping: 'deliveries' };
      const choices = Object.entries(criteria).map(([value, description]) => ({ value, description }));
      const asked = [
        { type: 'choice' as const, name: 'team', instructions, choices },
        { type: 'choice' as const, name: 'own', instructions, choices, adapter: 'poet' },
        { type: 'predicate' as const, name: 'urgent', instructions: 'Is it urgent?' },
        {
          type: 'score' as const,
          name: 'tone',
          instructions: 'How upset?',
          levels: [{ label: 'calm' }, { label: 'furious' }],
        },
      ];
      const { data: decision, response } = await openai.decisions
        .create({ model: 'tiny', input, questions: asked })
        .withResponse();
      const own = await openai.decisions.create({ model: 'poet', input, questions: asked.slice(0, 1) });
      const refused = await openai.decisions.create({ model: 'tiny', input, questions: [] }).catch((error: unknown) => {
        const { status, param } = error as InstanceType<typeof globalThis.clients.OpenAI.APIError>;
        const told: unknown = status;
        return [told, param];
      });
      const body = JSON.stringify({
        model: 'tiny',
        state: input,
        questions: {
          team: { type: 'choice', instructions, criteria },
          urgent: { type: 'noul', instructions: 'Is it urgent?', criteria: { true: null } },
          tone: { type: 'score', instructions: 'How upset?', criteria: ['calm', 'furious'] },
        },
        chat_template_kwargs: { enable_thinking: false },
      });
      const systemOne = (await (
        await reach.fetch(`${reach.baseURL}/systemone`, { method: 'POST', body })
      ).json()) as object;
      type Create = typeof globalThis.held.decisions.create;
      const create = (request: object): Promise<object> =>
        openai.decisions.create({ model: 'tiny', ...request } as never);
      const model = decisionModel({
        model: 'tiny',
        decisions: { create } as unknown as { create: Create; calibrate: never },
      });
      const decided = await ai.decide({
        model,
        state: input,
        questions: {
          team: { type: 'choice', instructions, criteria },
          urgent: { type: 'boolean', instructions: 'Is it urgent?' },
          tone: { type: 'score', instructions: 'How upset?', criteria: ['calm', 'furious'] },
        },
        maxRetries: 0,
      });
      return {
        decision,
        by: response.headers.get('chunkwise-answered-by'),
        own,
        refused,
        systemOne,
        decided: decided.answers,
      };
    });
    const [team, own, urgent, tone] = result.decision.answers;
    expect(result.decision).toMatchObject({ model: 'tiny', usage: { output_tokens: 4 } });
    expect(result.by).toBe('device');
    expect(result.refused).toEqual([400, 'questions']);
    if (team?.type !== 'choice' || own?.type !== 'choice' || urgent?.type !== 'predicate' || tone?.type !== 'score')
      throw new Error('answers of other types');
    const shares = (answer: typeof team): Record<string, unknown> =>
      Object.fromEntries(
        answer.probabilities.map(({ value, probability }): [string, unknown] => [
          String(value),
          expect.closeTo(probability, 5),
        ]),
      );
    expect(own.probabilities).not.toEqual(team.probabilities);
    expect(result.own).toMatchObject({ model: 'poet', answers: [{ choice: own.choice }] });
    expect(result.systemOne).toMatchObject({
      object: 'structured_decision',
      answers: {
        team: { type: 'choice', choice: team.choice, probabilities: shares(team) },
        urgent: { type: 'noul', noul: expect.closeTo(urgent.probability, 5) as unknown },
        tone: { type: 'score', score: expect.closeTo(tone.score, 5) as unknown, legend: { 0: 'calm', 1: 'furious' } },
      },
      diagnostics: { team: { argmax_is_label: expect.any(Boolean) as unknown } },
    });
    expect(result.decided).toMatchObject({
      team: { choice: team.choice, probabilities: shares(team) },
      urgent: { probability: expect.closeTo(urgent.probability, 5) as unknown },
      tone: { score: expect.closeTo(tone.score, 5) as unknown },
    });
  });

  it('lists adapters as models and uses the named one', async () => {
    const result = await asking().evaluate(async () => {
      const { openai } = globalThis;
      const ask = async (model: string, fields: object = {}) => {
        const messages = [{ role: 'user' as const, content: 'Hi' }];
        const answer = await openai.chat.completions.create({
          model,
          messages,
          max_tokens: 12,
          temperature: 0,
          ...fields,
        });
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

  it('reports errors in OpenAI’s form', async () => {
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
      const status = async (path: string, init?: RequestInit) =>
        (await reach.fetch(`${reach.baseURL}/${path}`, init)).status;
      // Four run in parallel, and none may wait.
      const busy = await Promise.all(
        ['One.', 'Two.', 'Three.', 'Four.', 'Five.'].map((content) => ask({ messages: [{ role: 'user', content }] })),
      );
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

  it('stops when a stream is cancelled and when a signal aborts', async () => {
    let tokens = 0;
    const count = `clients-${way}`;
    await pages.holder.exposeFunction(count, () => void tokens++);
    await pages.holder.evaluate((name) => {
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
      const whole = openai.chat.completions.create(
        { ...request, max_tokens: 40 },
        { signal: AbortSignal.timeout(100) },
      );
      const failed = await whole.then(
        () => 'fine',
        () => 'aborted',
      );
      // Soon all pages are free again.
      const after = await Promise.all(
        [1, 2, 3, 4].map(() => openai.chat.completions.create({ ...request, max_tokens: 2 }, { maxRetries: 8 })),
      );
      return { name, failed, after: after.map((answer) => answer.usage?.completion_tokens) };
    });
    expect(result).toMatchObject({ failed: 'aborted', after: [2, 2, 2, 2] });
    // The streams stopped long before their ends, some thousand tokens away.
    expect(tokens).toBeLessThan(200);
  });
});

it('another page answers after the first one is closed', async () => {
  const { holder, other, server } = pages;
  const heir = await holder.context().newPage();
  await openClients(heir, server);
  await holdEngine(heir, 'scripted.gguf');
  expect(await modelsOf(other)).toEqual(['tiny', 'poet']);
  await holder.close();
  await expect.poll(() => modelsOf(other)).toEqual({ status: 503, code: 'no_engine' });
  await provideEngine(heir);
  expect(await modelsOf(other)).toEqual(['scripted']);
});
