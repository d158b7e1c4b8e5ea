import { expect, it } from 'vitest';
import { faultsOf } from '../../tests/support/grammars/validate.ts';
import { describeWays, holdEngine, openPages } from '../support/clients-page.ts';

const pages = openPages();

describeWays(
  pages,
  (page) => holdEngine(page, 'scripted.gguf'),
  (asking) => {
    it("holds both clients' answers to a JSON schema", async () => {
      const result = await asking().evaluate(async () => {
        const { openai, clients } = globalThis;
        const schema = {
          type: 'object' as const,
          properties: {
            colour: { type: 'string' as const, enum: ['red', 'green'] },
            count: { type: 'integer' as const, minimum: 1, maximum: 9 },
          },
          required: ['colour', 'count'],
          additionalProperties: false,
        };
        const request = {
          model: 'scripted',
          messages: [{ role: 'user' as const, content: 'How many?' }],
          max_tokens: 200,
        };
        const format = { type: 'json_schema' as const, json_schema: { name: 'answer', schema, strict: true } };
        const whole = await openai.chat.completions.create({ ...request, response_format: format });
        const stream = openai.chat.completions.stream({ ...request, response_format: format });
        const streamed = (await stream.finalChatCompletion()).choices[0]?.message.content;
        const provider = clients.createOpenAICompatible({
          name: 'chunkwise',
          supportsStructuredOutputs: true,
          ...globalThis.reach,
        });
        const { output } = await clients.ai.generateText({
          model: provider('scripted'),
          prompt: 'How many?',
          output: clients.ai.Output.object({
            schema: clients.ai.jsonSchema<{ colour: string; count: number }>(schema),
          }),
          maxRetries: 0,
        });
        const { object } = await clients.ai.generateObject({
          model: provider('scripted'),
          prompt: 'How many?',
          schema: clients.ai.jsonSchema<{ colour: string; count: number }>(schema),
          maxRetries: 0,
        });
        const texts = [whole.choices[0]?.message.content ?? '', streamed ?? ''];
        return [...texts, JSON.stringify(output), JSON.stringify(object)];
      });
      for (const text of result) {
        const { colour, count, ...rest } = JSON.parse(text) as { colour: string; count: number };
        expect(['red', 'green']).toContain(colour);
        expect([1, 2, 3, 4, 5, 6, 7, 8, 9]).toContain(count);
        expect(rest).toEqual({});
      }
    });

    it('serves tools and reasoning to both clients', async () => {
      const result = await asking().evaluate(async () => {
        const { openai, clients } = globalThis;
        const { ai, createOpenAICompatible } = clients;
        const parameters = {
          type: 'object' as const,
          properties: { city: { type: 'string' as const, maxLength: 12 } },
        };
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
        // Without the demand the model would say something else.
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
        const sdk = {
          model: provider('scripted'),
          prompt: question.content,
          tools: { get_weather: weather },
          stopWhen: ai.isStepCount(3),
          maxRetries: 0,
        };
        const whole = await ai.generateText(sdk);
        const stream = ai.streamText(sdk);
        const text = await stream.text;
        return {
          asked: asked.choices[0],
          told: told.choices[0],
          streamed,
          plain: plain.choices[0],
          demanded: demanded.choices[0],
          whole: whole.text,
          thought: whole.steps[0]?.reasoningText,
          text,
          cities,
        };
      });
      const call = { type: 'function', function: { name: 'get_weather', arguments: '{"city": "Paris"}' } };
      const message = { content: 'Let me look.', reasoning_content: 'Which city?', tool_calls: [call] };
      expect(result.asked).toMatchObject({ finish_reason: 'tool_calls', message });
      expect(result.streamed).toMatchObject({
        finish_reason: 'tool_calls',
        message: { content: 'Let me look.', tool_calls: [call] },
      });
      expect(result.told).toMatchObject({ finish_reason: 'stop', message: { content: 'It is 21 degrees in Paris.' } });
      expect(result.plain).toMatchObject({
        finish_reason: 'stop',
        message: { content: 'Good day.', reasoning_content: 'Polite.' },
      });
      expect(result.demanded).toMatchObject({
        message: { content: null, tool_calls: [{ function: { name: 'get_weather' } }] },
      });
      expect(result).toMatchObject({
        whole: 'It is 21 degrees in Paris.',
        text: 'It is 21 degrees in Paris.',
        thought: 'Which city?',
      });
      expect(result.cities).toEqual(['Paris', 'Paris']);
    });

    it("constrains a demanded call to the tool's schema, which is the root of its references", async () => {
      const spot = { $ref: '#/$defs/spot' };
      const parameters = {
        type: 'object',
        properties: { from: spot, to: spot },
        required: ['from', 'to'],
        $defs: { spot: { enum: ['here', 'there'] } },
      };
      const calls = await asking().evaluate(async (parameters) => {
        const tools = [{ type: 'function' as const, function: { name: 'move', parameters } }];
        const request = {
          model: 'scripted',
          messages: [{ role: 'user' as const, content: 'Move it.' }],
          tools,
          max_tokens: 200,
        };
        const answers = [];
        for (const tool_choice of ['required' as const, { type: 'function' as const, function: { name: 'move' } }]) {
          answers.push(await globalThis.openai.chat.completions.create({ ...request, tool_choice }));
        }
        return answers.map(({ choices }) => choices[0]?.message.tool_calls?.[0]);
      }, parameters);
      for (const call of calls)
        expect(faultsOf(call?.type === 'function' ? call.function.arguments : '', parameters)).toEqual([]);
    });
  },
);
