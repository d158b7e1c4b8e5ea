import { describe, expect, it, vi } from 'vitest';
import { AnswerReader } from '../../../src/api/chat/answer-reader.ts';
import { type AnswerMessage, joinDeltas } from '../../../src/api/responses.ts';
import type { ChatTraits } from '../../../src/tokenizer/chat-traits.ts';

/** Reads `answer` in pieces of every length, and expects the same message each time. */
function read(answer: string, traits: Partial<ChatTraits> = {}): AnswerMessage {
  const messages = Array.from({ length: answer.length }, (_, i) => {
    const reader = new AnswerReader(
      { opensReasoning: false, ...traits },
      new Set(traits.toolFormat ? ['get_time'] : []),
    );
    const deltas = [];
    for (let at = 0; at < answer.length; at += i + 1) deltas.push(...reader.push(answer.slice(at, at + i + 1)));
    deltas.push(...reader.flush());
    expect(deltas.flatMap((delta) => Object.values(delta) as unknown[])).not.toContain('');
    return joinDeltas(deltas);
  });
  const withoutIds = messages.map((message) =>
    JSON.stringify(message, (key, value: unknown) => (key === 'id' ? 'id' : value)),
  );
  for (const message of withoutIds) expect(message).toBe(withoutIds[0]);
  return messages[0] as AnswerMessage;
}

describe('reasoning', () => {
  it.each([
    ['in tags', '<think>\nWhat is it?\n\nAh. \n</think>\n\nIt is.', 'What is it?\n\nAh.', 'It is.', false],
    ['that the prompt opened', 'Hm.</think>Yes.', 'Hm.', 'Yes.', true],
    ['behind white space', '\n <think>a < b</think>c', 'a < b', 'c', false],
    ['without an end', '<think>Hm </thin', 'Hm </thin', '', false],
    ['empty', '<think>\n\n</think>\n\nYes', undefined, 'Yes', false],
    ['none', 'No <think>tag</think>. ', undefined, 'No <think>tag</think>. ', false],
    ['half a tag', ' <thin', undefined, ' <thin', false],
    ['a tag that ends nothing', 'a</think>b', undefined, 'a</think>b', false],
  ])('%s', (_, answer, reasoning, content, opensReasoning) => {
    const message = { role: 'assistant', content, ...(reasoning !== undefined && { reasoning_content: reasoning }) };
    expect(read(answer, { opensReasoning })).toEqual(message);
  });
});

it('gives calls ids, and null content if the answer only calls', () => {
  const call = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>';
  const { tool_calls: calls = [], ...message } = read(`<think>Late?</think>\n${call}\n${call}`, {
    toolFormat: 'hermes',
  });
  expect(message).toEqual({ role: 'assistant', content: null, reasoning_content: 'Late?' });
  expect(calls.map(({ type, function: called }) => [type, called])).toEqual([
    ['function', { name: 'get_time', arguments: '{}' }],
    ['function', { name: 'get_time', arguments: '{}' }],
  ]);
  for (const { id } of calls) expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
  expect(calls[0]?.id).not.toBe(calls[1]?.id);
});

it('finishes with tool_calls, unless the answer was cut off', () => {
  const reader = new AnswerReader({ opensReasoning: false, toolFormat: 'hermes' }, new Set(['get_time']));
  expect(reader.finishReason('stop')).toBe('stop');
  reader.push('<tool_call>{"name": "get_time", "arguments": {}}</tool_call>');
  expect([reader.finishReason('stop'), reader.finishReason('length')]).toEqual(['tool_calls', 'length']);
});

it('reads no calls without tools', () => {
  const answer = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>';
  expect(read(answer)).toEqual({ role: 'assistant', content: answer });
});

it.each(['', '<think>', '<think>a'])('reads white space once: after %j', (start) => {
  const spies = [vi.spyOn(String.prototype, 'trimStart'), vi.spyOn(String.prototype, 'trimEnd')];
  const reader = new AnswerReader({ opensReasoning: false, toolFormat: 'hermes' }, new Set(['get_time']));
  reader.push(start);
  for (let i = 0; i < 2000; i++) reader.push(' ');
  const deltas = reader.flush();
  const trimmed = spies.flatMap(({ mock }) => mock.contexts.map((text) => String(text).length));
  for (const spy of spies) spy.mockRestore();
  expect(trimmed.reduce((sum, length) => sum + length, 0)).toBeLessThan(3 * 2000);
  expect(trimmed.length).toBeGreaterThan(2000);
  expect(joinDeltas(deltas).content).toBe(start === '' ? ' '.repeat(2000) : '');
});
