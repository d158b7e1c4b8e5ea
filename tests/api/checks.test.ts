import { describe, expect, it } from 'vitest';
import { checked, checkFunction, checkInteger, checkNumber, checkSignal } from '../../src/api/checks.ts';
import { parseFallback } from '../../src/api/fallback/server-engine.ts';
import { Listeners } from '../../src/api/events.ts';
import { parseMessages } from '../../src/api/chat/parse-chat.ts';
import { parseEngineOptions } from '../../src/api/options.ts';
import { type ToUrl } from '../../src/api/names.ts';
import { parseCompletionRequest, withDefaults, parseCall } from '../../src/api/requests.ts';

const refusal = (field: string): Error =>
  expect.objectContaining({ code: 'bad_request', detail: { field, reason: expect.any(String) as string } }) as Error;

const inApp: ToUrl = (text) => new URL(text, 'https://app.example/');

const likeSignal = { aborted: false, addEventListener: () => undefined, removeEventListener: () => undefined };

it.each([[{}], [5], ['abort'], [[]], [() => undefined], [likeSignal], [new AbortController()]])(
  'refuses %j as a signal',
  (signal) => {
    expect(() => parseCall({ signal })).toThrow(refusal('signal'));
  },
);

it.each([
  [-1, 0, undefined, 'must be at least 0, but is -1'],
  [1e300, 0, undefined, 'must be at most 9007199254740991, but is a huge number'],
  [-1e300, 0, undefined, 'must be at least 0, but is a huge negative number'],
  [NaN, 0, undefined, 'must be a number, but is NaN'],
  [5, 0, 2, 'must be from 0 to 2, but is 5'],
  [1.5, 0, undefined, 'must be a whole number, but is 1.5'],
])('refuses %d as a whole number from %d to %s, in plain words', (value, least, most, reason) => {
  expect(() => checkInteger(value, 'n', least, most)).toThrow(`n: ${reason}`);
});

it('names no Infinity as the end of a range', () => {
  expect(() => checkNumber(-1, 'n', 0, Infinity)).toThrow('n: must be at least 0, but is -1');
});

it('accepts signals, and calls without one', () => {
  const { signal } = new AbortController();
  expect([parseCall({ signal }), parseCall({}), parseCall(undefined), parseCall({ signal: null })]).toEqual([
    signal,
    undefined,
    undefined,
    undefined,
  ]);
  expect(checkSignal(AbortSignal.abort())?.aborted).toBe(true);
});

it.each([[5], ['signal'], [[]], [() => undefined]])('refuses %j as the options of a call', (options) => {
  expect(() => parseCall(options)).toThrow(refusal('options'));
});

describe('Listeners', () => {
  const add = (event: unknown, fn: unknown) => (): unknown => new Listeners().add(event as 'token', fn as () => void);
  const fn = (): void => undefined;

  it.each([['nothing'], [undefined], [5], [null], ['toString'], ['__proto__']])('refuses the event %j', (event) => {
    expect(add(event, fn)).toThrow(refusal('event'));
  });

  it.each([[5], [undefined], [null], ['fn'], [{}]])('refuses %j as a function', (listener) => {
    expect(add('token', listener)).toThrow(refusal('listener'));
    if (listener !== undefined && listener !== null)
      expect(() => checkFunction(listener, 'listener')).toThrow(refusal('listener'));
  });

  it('calls listeners until they are removed', () => {
    const listeners = new Listeners();
    const told: string[] = [];
    const remove = listeners.add('devicelost', ({ reason }) => told.push(reason));
    listeners.tell('devicelost', { reason: 'one' });
    remove();
    listeners.tell('devicelost', { reason: 'two' });
    expect(told).toEqual(['one']);
  });
});

describe('values that throw when they are read', () => {
  const broken = (): never => {
    throw new RangeError('broken');
  };
  const getter = (name: string): object => Object.defineProperty({}, name, { enumerable: true, get: broken });
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const request = (value: unknown) => (): unknown =>
    checked('request', () => parseCompletionRequest(withDefaults(value as never, {})));

  it.each<[string, string, () => unknown]>([
    ['a field', 'request', request(getter('prompt'))],
    ['a revoked proxy', 'request', request(proxy)],
    ['a part of a message', 'messages', () => checked('messages', () => parseMessages([getter('role')]))],
    ['an option', 'options', () => checked('options', () => parseEngineOptions(getter('model') as never, inApp))],
    ['a signal', 'options', () => parseCall(getter('signal'))],
  ])('%s', (_, field, check) => {
    expect(check).toThrow(refusal(field));
  });
});

it('refuses a key that a header cannot hold, and does not show it', () => {
  const parse = (apiKey: unknown) => (): unknown => parseFallback({ baseURL: 'https://api.example/v1', apiKey }, inApp);
  for (const key of ['sk-one\nsk-two', 'sk-ключ', 5]) expect(parse(key)).toThrow(refusal('fallback.apiKey'));
  expect(parse('sk-one\n')).not.toThrow(/sk-one/);
  expect(parse('sk-one')()).toMatchObject({ apiKey: 'sk-one' });
});
