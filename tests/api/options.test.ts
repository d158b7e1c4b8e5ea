import { expect, it } from 'vitest';
import { checkFunction } from '../../src/api/checks.ts';
import { parseEngineOptions } from '../../src/api/options.ts';
import { namesOfStored, parseCacheName, type ToUrl } from '../../src/api/names.ts';
import { parseAdapterSource, parseAdapterSources } from '../../src/api/adapters.ts';

it('accepts any name that a file can have', () => {
  for (const name of ['a', 'a/b: ä 😀', '..', 'x'.repeat(200)]) expect(parseCacheName(name)).toBe(name);
});

it.each([[undefined], [7], [''], ['\ud83d'], ['x'.repeat(201)], ['ä'.repeat(34)]])('refuses %j as a name', (name) => {
  expect(() => parseCacheName(name)).toThrow(
    expect.objectContaining({
      code: 'bad_request',
      detail: { field: 'name', reason: expect.any(String) as string },
    }) as Error,
  );
});

const BASE = 'https://app.example/chat/';
const inApp: ToUrl = (text) => new URL(text, BASE);

it.each([
  ['owner/repo', 'owner/repo'],
  ['owner/repo@v1:x.gguf', 'owner/repo@v1:x.gguf'],
  ['models/tiny.gguf', `${BASE}models/tiny.gguf`],
  ['./owner/repo', `${BASE}owner/repo`],
])('reads the model %s as %s', (model, expected) => expect(parseEngineOptions({ model }, inApp).model).toBe(expected));

it('accepts only a function as confirmLoad', () => {
  const ask = (): boolean => true;
  expect([checkFunction(ask, 'confirmLoad'), checkFunction(undefined, 'confirmLoad')]).toEqual([ask, undefined]);
  expect(() => checkFunction<unknown>(true, 'confirmLoad')).toThrow(
    expect.objectContaining({
      code: 'bad_request',
      detail: { field: 'confirmLoad', reason: 'must be a function, but is true' },
    }) as Error,
  );
});

it('reads an adapter as a hub id or a folder', () => {
  expect(parseAdapterSource('owner/adapter', inApp)).toEqual({ hub: 'owner/adapter' });
  expect(parseAdapterSource('adapters/pirate/', inApp)).toMatchObject({
    config: `${BASE}adapters/pirate/adapter_config.json`,
  });
  expect(parseAdapterSource('https://h/pirate?token=x', inApp)).toEqual({
    folder: 'https://h/pirate/?token=x',
    config: 'https://h/pirate/adapter_config.json?token=x',
    weights: 'https://h/pirate/adapter_model.safetensors?token=x',
  });
});

it('finds a stored item by every spelling of its name', () => {
  const folderOf = (source: string): string => (parseAdapterSource(source, inApp) as { folder: string }).folder;
  for (const source of ['adapters/pirate/', './adapters/pirate', 'https://h/pirate?token=x'])
    expect(namesOfStored(source, inApp)).toContain(folderOf(source));
  expect(namesOfStored('models/tiny.gguf', inApp)).toContain(`${BASE}models/tiny.gguf`);
  expect(namesOfStored('owner/adapter', inApp)[0]).toBe('owner/adapter');
  expect(namesOfStored('https://', inApp)).toEqual(['https://']);
});

it('refuses a pickle before any download, and tells what to do', () => {
  const refusal = (file: string): Error =>
    expect.objectContaining({
      code: 'unsupported',
      detail: { file, reason: expect.stringMatching(/reading a pickle runs .*save_pretrained/) as string },
    }) as Error;
  for (const file of ['pirate/adapter_model.bin', 'https://h/x.pt?download=true']) {
    expect(() => parseAdapterSource(file, inApp)).toThrow(refusal(file));
  }
  for (const model of ['owner/repo:pytorch_model.bin', './old/pytorch_model.bin']) {
    expect(() => parseEngineOptions({ model }, inApp)).toThrow(refusal(model));
  }
});

it('reads the adapters to load with a model, and names a wrong field', () => {
  expect(parseAdapterSources(undefined, inApp)).toEqual([]);
  expect(parseAdapterSources({ pirate: 'owner/adapter', poet: 'poet/' }, inApp)).toMatchObject([
    ['pirate', { hub: 'owner/adapter' }],
    ['poet', { weights: `${BASE}poet/adapter_model.safetensors` }],
  ]);
  const refusal = (field: string): Error =>
    expect.objectContaining({ code: 'bad_request', detail: { field, reason: expect.any(String) as string } }) as Error;
  expect(() => parseAdapterSources('pirate/', inApp)).toThrow(refusal('adapters'));
  expect(() => parseAdapterSources({ '': 'pirate/' }, inApp)).toThrow(refusal('name'));
  expect(() => parseAdapterSources({ pirate: 7 }, inApp)).toThrow(refusal('adapters.pirate'));
  expect(() => parseAdapterSources({ pirate: { config: 'x' } }, inApp)).toThrow(refusal('adapters.pirate.config'));
});

it('accepts a read timeout in milliseconds, or none', () => {
  const model = 'owner/repo';
  for (const readTimeoutMs of [undefined, 0, 250, Infinity])
    expect(parseEngineOptions({ model, readTimeoutMs }, inApp).readTimeoutMs).toBe(readTimeoutMs);
  for (const readTimeoutMs of [-1, NaN, '30s' as unknown as number]) {
    expect(() => parseEngineOptions({ model, readTimeoutMs }, inApp)).toThrow(
      expect.objectContaining({
        code: 'bad_request',
        detail: { field: 'readTimeoutMs', reason: expect.any(String) as string },
      }) as Error,
    );
  }
});

it('checks the hub, the weights and the GPU adapter, and never shows a token', () => {
  const model = 'owner/repo';
  expect(parseEngineOptions({ model, hub: { endpoint: '/mirror', token: 'hf_x' } }, inApp).hub).toEqual({
    endpoint: 'https://app.example/mirror',
    token: 'hf_x',
  });
  expect(parseEngineOptions({ model, weights: 'Q4_1' }, inApp)).toMatchObject({ weights: 'Q4_1', hub: {} });
  const refused = (options: object): unknown => {
    try {
      return parseEngineOptions({ model, ...options }, inApp);
    } catch (error) {
      return error;
    }
  };
  expect(refused({ hub: { token: 'hf secret' } })).toMatchObject({
    code: 'bad_request',
    detail: { field: 'hub.token', reason: 'is not a token' },
  });
  expect(refused({ hub: 'x' })).toMatchObject({ detail: { field: 'hub' } });
  expect(refused({ weights: 'Q2_K' })).toMatchObject({ detail: { field: 'weights' } });
  expect(refused({ autotune: 'yes' })).toMatchObject({ detail: { field: 'autotune' } });
  expect(refused({ precision: 'half' })).toMatchObject({ detail: { field: 'precision' } });
  expect(refused({ gpuAdapter: 'fast' })).toMatchObject({ detail: { field: 'gpuAdapter' } });
  expect(refused({ gpuAdapter: { powerPreference: 'turbo' } })).toMatchObject({
    detail: { field: 'gpuAdapter.powerPreference' },
  });
  expect(refused({ gpuAdapter: { forceFallbackAdapter: 1 } })).toMatchObject({
    detail: { field: 'gpuAdapter.forceFallbackAdapter' },
  });
});

it('refuses a URL with a password, and does not show it', () => {
  const options = { model: 'https://me:secret@example.org/a.gguf' };
  const error = (() => {
    try {
      return parseEngineOptions(options, inApp);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toMatchObject({ code: 'bad_request', detail: { field: 'model' } });
  expect(String(error)).not.toContain('secret');
});

it('reads a draft model like the model, and names its field', () => {
  const model = 'owner/repo';
  expect(parseEngineOptions({ model }, inApp).draftModel).toBe(undefined);
  expect(parseEngineOptions({ model, draftModel: 'models/tiny.gguf' }, inApp).draftModel).toBe(
    `${BASE}models/tiny.gguf`,
  );
  const blob = new Blob([]);
  expect(parseEngineOptions({ model, draftModel: blob }, inApp).draftModel).toEqual([blob]);
  for (const draftModel of ['', [], 7 as never, 'https://user:word@h/x.gguf']) {
    expect(() => parseEngineOptions({ model, draftModel }, inApp)).toThrow(
      expect.objectContaining({
        code: 'bad_request',
        detail: { field: 'draftModel', reason: expect.any(String) as string },
      }) as Error,
    );
  }
});

it('refuses an unknown option by name, and accepts undefined ones', () => {
  const model = 'owner/repo';
  const fieldOf = (options: object): unknown => {
    try {
      return parseEngineOptions({ model, ...options }, inApp).model;
    } catch (error) {
      return (error as { code: string; detail: { field: string } }).detail.field;
    }
  };
  expect(fieldOf({ contextLenght: 512 })).toBe('contextLenght');
  expect(fieldOf({ onprogress: null })).toBe('onprogress');
  expect(fieldOf({ hub: { endpoint: 'https://h', key: 'x' } })).toBe('hub.key');
  expect(fieldOf({ gpuAdapter: { featureLevel: 'core' } })).toBe('gpuAdapter.featureLevel');
  expect(fieldOf({ toString: undefined, contextLenght: undefined, hub: { key: undefined } })).toBe(model);
});
