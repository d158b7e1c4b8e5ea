import { describe, expect, it } from 'vitest';
import { type CallOrText, ToolCallReader } from '../../../src/api/chat/tool-calls.ts';
import type { ToolFormat } from '../../../src/tokenizer/chat-traits.ts';
import { cpuMs } from '../../support/cpu-time.ts';

const WEATHER = { name: 'get_weather', arguments: '{"city": "Paris", "days": 2}' };
const TIME = { name: 'get_time', arguments: '{}' };
const known = new Set(['get_weather', 'get_time']);

/** Joins text that came in pieces. */
function joined(parts: readonly CallOrText[]): CallOrText[] {
  const all: CallOrText[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (typeof part === 'string' && typeof last === 'string') all[all.length - 1] = last + part;
    else all.push(part);
  }
  return all;
}

/** Reads `answer` in pieces of every length, and expects the same result each time. */
function read(format: ToolFormat, answer: string): CallOrText[] {
  const results = Array.from({ length: answer.length }, (_, i) => {
    const reader = new ToolCallReader(format, known);
    const parts: CallOrText[] = [];
    for (let at = 0; at < answer.length; at += i + 1) parts.push(...reader.push(answer.slice(at, at + i + 1)));
    return joined([...parts, ...reader.flush()]);
  });
  for (const result of results) expect(result).toEqual(results[0]);
  return results[0] ?? [];
}

const leavesToTheLetter = (format: ToolFormat, answers: [what: string, answer: string][]): void =>
  it.each(answers)('leaves text unchanged: %s', (_, answer) => {
    expect(read(format, answer)).toEqual([answer]);
  });

const weather = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}';
const time = '{"arguments": {}, "name": "get_time"}';

describe('hermes', () => {
  it('reads calls between tags, and the text around them', () => {
    const call = `<tool_call>\n${weather}\n</tool_call>`;
    expect(read('hermes', call)).toEqual([WEATHER]);
    expect(read('hermes', `Let me see.\n\n${call}\n<tool_call>${time}</tool_call>\n`)).toEqual([
      'Let me see.',
      WEATHER,
      TIME,
    ]);
    expect(read('hermes', `${call}\nSo it is. `)).toEqual([WEATHER, '\nSo it is. ']);
  });

  it('reads a call at the end of the answer, with or without a closing tag', () => {
    expect(read('hermes', `<tool_call>\n${weather}`)).toEqual([WEATHER]);
  });

  it('keeps the notation of arguments: digits, escapes, tags in strings', () => {
    const text = '{"n": 12345678901234567890, "s": "a \\"</tool_call>\\" {b", "list": [1.50, {"name": "x"}]}';
    expect(read('hermes', `<tool_call>{"name":"get_time","arguments": ${text} }</tool_call>`)).toEqual([
      { name: 'get_time', arguments: text },
    ]);
  });

  it('reads on behind a quotation mark that is escaped, whatever brackets follow in its string', () => {
    const text = '{"width": "5\\" }", "n": 1}';
    expect(read('hermes', `<tool_call>{"name":"get_time","arguments": ${text}}</tool_call>`)).toEqual([
      { name: 'get_time', arguments: text },
    ]);
  });

  leavesToTheLetter('hermes', [
    ['an unknown tool', '<tool_call>{"name": "rm", "arguments": {}}</tool_call>'],
    ['no JSON', "<tool_call>{'name': 'get_time'}</tool_call>"],
    ['arguments of another kind', '<tool_call>{"name": "get_time", "arguments": "{}"}</tool_call>'],
    ['no arguments', '<tool_call>{"name": "get_time"}</tool_call>'],
    ['another tag at its end', `<tool_call>${time}</tool>`],
    ['an unfinished tag at its end', `<tool_call>${time}</tool_`],
    ['an unfinished object', '<tool_call>{"name": "get_time", "arguments": {'],
    ['a tag alone', 'The tag <tool_call>'],
    ['half a tag', 'Is 1 <tool_cal'],
    ['an empty call', '<tool_call></tool_call> and more'],
    ['plain text', ' Two < three.\n\n\tSo  what? '],
  ]);

  it('reads a call after one that never ends', () => {
    const broken = '<tool_call>{"name": "get_time"</tool_call>';
    expect(read('hermes', `${broken}<tool_call>${weather}</tool_call>`)).toEqual([broken, WEATHER]);
  });
});

describe('llama', () => {
  const call = '{"name": "get_weather", "parameters": {"city": "Paris", "days": 2}}';

  it('reads an answer that consists of calls', () => {
    expect(read('llama', call)).toEqual([WEATHER]);
    expect(read('llama', `\n<|python_tag|>${call}`)).toEqual([WEATHER]);
    expect(read('llama', `${call}; {"name": "get_time", "parameters": {}}`)).toEqual([WEATHER, TIME]);
  });

  leavesToTheLetter('llama', [
    ['JSON that is no call', '{"city": "Paris"} is it.'],
    ['an unknown tool', '{"name": "rm", "parameters": {}}'],
    ['a call in the middle of a text', `I would call ${call}`],
    ['half a tag', '<|python'],
    ['code', '<|python_tag|>print(1)'],
    ['a semicolon before anything', `;${call}`],
    ['an unfinished object', '{"name": "get_time", '],
  ]);
});

describe('mistral', () => {
  it('reads an array of calls after the marker', () => {
    expect(read('mistral', `[TOOL_CALLS] [${weather}, ${time}]`)).toEqual([WEATHER, TIME]);
    expect(read('mistral', `One moment.[TOOL_CALLS][${weather}]`)).toEqual(['One moment.', WEATHER]);
  });

  leavesToTheLetter('mistral', [
    ['an array with one that is no call', `[TOOL_CALLS][${weather}, 1]`],
    ['an empty array', '[TOOL_CALLS][]'],
    ['an unfinished array', `[TOOL_CALLS][${weather}`],
    ['other brackets', '[TOOL] [1, 2]'],
  ]);
});

describe('lfm2', () => {
  const block = (calls: string) => `<|tool_call_start|>${calls}<|tool_call_end|>`;

  it('reads calls in Python notation, and the text around them', () => {
    expect(read('lfm2', block('[get_weather(city="Paris", days=2)]'))).toEqual([WEATHER]);
    expect(
      read('lfm2', `Let me see.\n${block("[ get_weather ( city = 'Paris', days = 2, ) , get_time() ]")}So it is.`),
    ).toEqual(['Let me see.', WEATHER, TIME, 'So it is.']);
    expect(read('lfm2', '<|tool_call_start|>[get_time()]')).toEqual([TIME]);
  });

  it('reads JSON in the same place', () => {
    expect(read('lfm2', block(`[${weather}, ${time}]`))).toEqual([WEATHER, TIME]);
    expect(read('lfm2', block(weather))).toEqual([WEATHER]);
  });

  it.each([
    ['digits', '12345678901234567890, m=-1.50, o=1e-3', '12345678901234567890, "m": -1.50, "o": 1e-3'],
    ['constants', 'True, b=False, c=None, d=true, e=null', 'true, "b": false, "c": null, "d": true, "e": null'],
    [
      'lists, tuples and dictionaries',
      "[1, ('a', []), {'k': {}, 'l': [None,]}]",
      '[1, ["a", []], {"k": {}, "l": [null]}]',
    ],
    ['strings with the end and brackets', "'<|tool_call_end|>)]', s=\"it's\"", '"<|tool_call_end|>)]", "s": "it\'s"'],
    ['escapes', String.raw`'a\n\t\'\"\\\x41\u00e9\U0001F600\d'`, JSON.stringify('a\n\t\'"\\Aé😀\\d')],
  ])('passes on %s', (_, written, json) => {
    expect(read('lfm2', block(`[get_time(n=${written})]`))).toEqual([
      { name: 'get_time', arguments: `{"n": ${json}}` },
    ]);
  });

  leavesToTheLetter('lfm2', [
    ['an unknown tool', block('[rm()]')],
    ['one unknown tool of two', block('[get_time(), rm()]')],
    ['no calls', block('[]')],
    ['a value without a name', block('[get_time(1)]')],
    ['an expression', block('[get_time(n=1 + 1)]')],
    ['a name as a value', block('[get_time(n=now)]')],
    ['a number that JSON has not', block('[get_time(n=0x10)]')],
    ['keys that are no strings', block('[get_time(n={1: 2})]')],
    ['a broken escape', block(String.raw`[get_time(n='\x4g')]`)],
    ['nesting without end', block(`[get_time(n=${'['.repeat(200)}${']'.repeat(200)})]`)],
    ['an unfinished string', "<|tool_call_start|>[get_time(n='"],
    ['an unfinished list', '<|tool_call_start|>[get_time(), '],
    ['something behind the list', '<|tool_call_start|>[get_time()] now'],
  ]);
});

describe('gemma4', () => {
  const block = (call: string) => `<|tool_call>${call}<tool_call|>`;

  it('reads calls in its notation, and the text around them', () => {
    expect(read('gemma4', block('call:get_weather{city:<|"|>Paris<|"|>,days:2}'))).toEqual([WEATHER]);
    expect(
      read('gemma4', `Let me see.${block('call:get_weather{city:<|"|>Paris<|"|>,days:2}')}${block('call:get_time{}')}`),
    ).toEqual(['Let me see.', WEATHER, TIME]);
    expect(read('gemma4', '<|tool_call>call:get_time{}')).toEqual([TIME]);
  });

  it('keeps nested values, keys with and without quotes, and strings', () => {
    const written = 'a:{b:[true,None,{<|"|>c d<|"|>:-1.50}]},e:<|"|>say "hi" \\n, {x}<tool_call|><|"|>,f:"g"';
    const json = '"a": {"b": [true, null, {"c d": -1.50}]}, "e": "say \\"hi\\" \\\\n, {x}<tool_call|>", "f": "g"';
    expect(read('gemma4', block(`call:get_time{${written}}`))).toEqual([{ name: 'get_time', arguments: `{${json}}` }]);
  });

  leavesToTheLetter('gemma4', [
    ['an unknown tool', block('call:rm{}')],
    ['no call', block('get_time{}')],
    ['a word as a value', block('call:get_time{n:now}')],
    ['half a quote', block('call:get_time{n:<|x}')],
    ['a string without an end', '<|tool_call>call:get_time{n:<|"|>'],
    ['half a marker', 'Is 1 <|tool_c'],
  ]);
});

const times = (text: string) => (n: number) => text.repeat(n);

describe('an answer that is 16 times as long takes about 16 times as long, in pieces of few characters', () => {
  it.each<[string, ToolFormat, (n: number) => string]>([
    [
      'hermes',
      'hermes',
      (n) => `<tool_call>{"name": "get_time", "arguments": {"s": "${'ab]}'.repeat(n)}"}}</tool_call>`,
    ],
    ['llama', 'llama', (n) => `{"name": "get_time", "parameters": {"s": [${'[1], '.repeat(n)}1]}}`],
    ['mistral', 'mistral', (n) => `[TOOL_CALLS][${`${time}, `.repeat(n / 8)}${time}]`],
    ['lfm2, a string', 'lfm2', (n) => `<|tool_call_start|>[get_time(s='${'a] \\n'.repeat(n)}')]<|tool_call_end|>`],
    ['lfm2, a list', 'lfm2', (n) => `<|tool_call_start|>[get_time(s=[${'"b", '.repeat(n)}])]<|tool_call_end|>`],
    ['gemma4, a string', 'gemma4', (n) => `<|tool_call>call:get_time{s:<|"|>${'ab<|"'.repeat(n)}<|"|>}<tool_call|>`],
    ['gemma4, a name', 'gemma4', (n) => `<|tool_call>call:get_time{${'name'.repeat(n)}:12}<tool_call|>`],
    ['gemma4, a number', 'gemma4', (n) => `<|tool_call>call:get_time{n:${'1234'.repeat(n)}}<tool_call|>`],
    ['calls that never end', 'hermes', times('<tool_call>{')],
    ['calls in strings of calls that never end', 'lfm2', times(`<|tool_call_start|>[get_time(s="`)],
    ['calls that are none', 'hermes', times('<tool_call>{} ')],
    ['white space', 'hermes', times('    ')],
  ])('%s', (_, format, answer) => {
    const least = [Infinity, Infinity];
    for (let i = 0; i < 3; i++) {
      for (const [size, n] of [512, 16 * 512].entries()) {
        const text = answer(n);
        const reader = new ToolCallReader(format, known);
        const start = cpuMs();
        for (let at = 0; at < text.length; at += 4) reader.push(text.slice(at, at + 4));
        reader.flush();
        least[size] = Math.min(least[size]!, cpuMs() - start);
      }
    }
    // Reading all earlier text again with each piece would take 256 times as long.
    expect(least[1]! / Math.max(least[0]!, 200)).toBeLessThan(64);
  });
});
