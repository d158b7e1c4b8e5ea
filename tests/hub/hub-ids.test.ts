import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type HubRepo, hubUrl, listRepo, parseHubId } from '../../src/hub/hub-api.ts';
import { pickAdapterFiles, pickModelFiles } from '../../src/hub/pick-files.ts';
import { FileDownload } from '../../src/downloads/file-download.ts';
import { MemoryPieces } from '../../src/downloads/piece-store.ts';
import { describeRemote, readJson } from '../../src/downloads/remote-file.ts';
import { explainMissing, findAdapterFiles, findModelFiles } from '../../workers/model-sources.ts';
import { expectError } from '../support/expect-error.ts';
import { HubServer, sha256Of } from '../support/hub-server.ts';

const TOKEN = 'hf_verySecret123';
const ID = { repo: 'owner/tiny', revision: 'main' };
const fill = (length: number, byte: number): Uint8Array => new Uint8Array(length).fill(byte);
const FILES = {
  'README.md': fill(10, 1),
  'config.json': new TextEncoder().encode('{}'),
  'tokenizer.json': fill(30, 2),
  'model.safetensors': fill(5000, 3),
  'tiny-Q8_0.gguf': fill(900, 4),
  'tiny-Q4_K_M.gguf': fill(500, 5),
  'tiny-IQ2_XXS.gguf': fill(200, 6),
  'tiny-F16.gguf': fill(1800, 7),
  'mmproj-tiny-Q8_0.gguf': fill(850, 8),
  'deep/a b-Q4_0-00001-of-00002.gguf': fill(400, 9),
  'deep/a b-Q4_0-00002-of-00002.gguf': fill(300, 10),
  'adapter_config.json': new TextEncoder().encode('{"r": 4}'),
  'adapter_model.safetensors': fill(70, 11),
  'old/adapter_model.bin': fill(70, 12),
};

let hub: HubServer;
beforeAll(async () => {
  hub = await HubServer.start('owner/tiny', FILES);
});
afterAll(() => hub.close());
beforeEach(() => hub.forget());

test.each<[string, object | undefined]>([
  ['HuggingFaceTB/SmolLM2-135M-Instruct', { repo: 'HuggingFaceTB/SmolLM2-135M-Instruct', revision: 'main' }],
  ['owner/repo:model-Q4_1.gguf', { repo: 'owner/repo', revision: 'main', file: 'model-Q4_1.gguf' }],
  ['owner/repo@v1.0', { repo: 'owner/repo', revision: 'v1.0' }],
  ['owner/repo@refs/pr/3:deep/x.gguf', { repo: 'owner/repo', revision: 'refs/pr/3', file: 'deep/x.gguf' }],
  ['models/tiny.gguf', undefined],
  ['./owner/repo', undefined],
  ['../owner', undefined],
  ['/owner/repo', undefined],
  ['adapters/pirate/', undefined],
  ['https://example.org/a.gguf', undefined],
  ['tiny.gguf', undefined],
  ['owner/repo:../../secret', undefined],
  ['a/b/c', undefined],
])('%s is read as %j', (text, expected) => expect(parseHubId(text)).toEqual(expected));

test('an id names a repository, or a file of a revision', () => {
  const at = (text: string): string => hubUrl(parseHubId(text)!, {});
  expect(at('owner/repo')).toBe('https://huggingface.co/owner/repo');
  expect(at('owner/repo@refs/pr/3:deep/a b.gguf')).toBe(
    'https://huggingface.co/owner/repo/resolve/refs%2Fpr%2F3/deep/a%20b.gguf',
  );
  expect(hubUrl({ repo: 'owner/repo', revision: 'main' }, { endpoint: 'https://mirror.example/' })).toBe(
    'https://mirror.example/owner/repo',
  );
});

test.each<[object, string | undefined]>([
  [{ cardData: { license: 'mit' } }, 'mit'],
  [{ cardData: { license: 'other', license_name: 'llama3.2' } }, 'llama3.2'],
  [{ cardData: { license: 'other' } }, 'other'],
  [{ cardData: { license: ['mit', 'apache-2.0'] } }, undefined],
  [{ cardData: null }, undefined],
  [{}, undefined],
])('the licence of %j is %s', async (card, license) => {
  expect((await listRepo(ID, {}, async () => ({ sha: 'abc', siblings: [], ...card }))).license).toBe(license);
});

describe('files of a model', () => {
  const list = (): Promise<HubRepo> => listRepo(ID, { endpoint: hub.endpoint }, readJson);
  const pick = async (id: object, budget = Infinity): Promise<string[]> =>
    pickModelFiles({ ...ID, ...id }, await list(), budget).map(({ path }) => path);

  test('the largest quantized GGUF that fits the budget, else the smallest', async () => {
    expect(await pick({})).toEqual(['tiny-Q8_0.gguf']);
    expect(await pick({}, 800)).toEqual(['deep/a b-Q4_0-00001-of-00002.gguf', 'deep/a b-Q4_0-00002-of-00002.gguf']);
    expect(await pick({}, 600)).toEqual(['tiny-Q4_K_M.gguf']);
    expect(await pick({}, 100)).toEqual(['tiny-Q4_K_M.gguf']);
  });

  test('a GGUF in any supported type, but not one with a similar name', async () => {
    const { commit, files } = await list();
    const of = (name: string, size: number) => ({ ...files[0]!, path: `tiny-${name}.gguf`, size });
    const others = [of('IQ2_XXS', 300), of('IQ3_XXS', 310), of('Q4_K_XL', 320), of('F16', 900)];
    for (const type of ['Q2_K', 'Q3_K_L', 'IQ4_NL', 'IQ4_XS', 'TQ1_0', 'TQ2_0', 'MXFP4', 'Q1_0']) {
      expect(
        pickModelFiles(ID, { commit, files: [...others, of(type, 200)] }, Infinity).map(({ path }) => path),
      ).toEqual([`tiny-${type}.gguf`]);
    }
  });

  test('the file in the id, and the files that belong to it', async () => {
    expect(await pick({ file: 'tiny-F16.gguf' })).toEqual(['tiny-F16.gguf']);
    expect(await pick({ file: 'model.safetensors' })).toEqual(['config.json', 'tokenizer.json', 'model.safetensors']);
    await expectError(() => pick({ file: 'other.gguf' }), 'bad_request', {
      file: 'owner/tiny',
      reason: /has no other.gguf at main/,
    });
  });

  test('for an encoder the files of its pooling and dense layers, and nothing else', () => {
    const paths = [
      '1_Pooling/config.json',
      '2_Dense/config.json',
      '2_Dense/model.safetensors',
      '2_Dense/pytorch_model.bin',
      '4_Normalize/config.json',
      'config.json',
      'model.safetensors',
      'modules.json',
      'onnx/2_Dense/model.safetensors',
      'onnx/model.onnx',
      'sentence_bert_config.json',
      'tokenizer.json',
    ];
    const files = paths.map((path) => ({ path, size: 1, oid: '', url: '' }));
    const picked = [
      '1_Pooling/config.json',
      '2_Dense/config.json',
      '2_Dense/model.safetensors',
      'config.json',
      'modules.json',
      'sentence_bert_config.json',
      'tokenizer.json',
      'model.safetensors',
    ];
    expect(pickModelFiles(ID, { commit: '', files }, 1).map(({ path }) => path)).toEqual(picked);
  });

  test('safetensors where there is no GGUF, an error where there is neither', async () => {
    const { commit, files } = await list();
    const without = files.filter(({ path }) => !path.endsWith('.gguf'));
    expect(pickModelFiles(ID, { commit, files: without }, 1).map(({ path }) => path)).toContain('model.safetensors');
    const shards = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ];
    const sharded = [
      ...without.filter(({ path }) => path !== 'model.safetensors'),
      ...shards.map((path) => ({ ...without[0]!, path })),
    ];
    const found = pickModelFiles(ID, { commit, files: sharded }, 1).map(({ path }) => path);
    expect(found).toEqual(['config.json', 'tokenizer.json', ...shards]);
    await expectError(() => pickModelFiles(ID, { commit, files: [] }, 1), 'bad_request', {
      file: 'owner/tiny',
      reason: /neither/,
    });
    await expectError(() => pickAdapterFiles(ID, { commit, files: [] }), 'bad_request', {
      reason: /adapter_config.json/,
    });
    const pickles = ['adapter_config.json', 'adapter_model.bin', 'pytorch_model-00001-of-00002.bin'].map((path) => ({
      ...without[0]!,
      path,
    }));
    await expectError(() => pickAdapterFiles(ID, { commit, files: pickles }), 'unsupported', {
      file: 'owner/tiny/adapter_model.bin',
      reason: /pickle/,
    });
    await expectError(() => pickModelFiles(ID, { commit, files: pickles }, 1), 'unsupported', {
      file: 'owner/tiny/pytorch_model-00001-of-00002.bin',
      reason: /pickle/,
    });
  });

  test('come from the revision’s current commit, and are stored by the revision', async () => {
    const [file] = await findModelFiles(
      'owner/tiny@v2:deep/a b-Q4_0-00001-of-00002.gguf',
      { endpoint: hub.endpoint },
      1,
      {},
    );
    expect(file?.url).toBe(hub.fileUrl('deep/a%20b-Q4_0-00001-of-00002.gguf', 'v2-commit'));
    expect(file?.key).toBe(hub.fileUrl('deep/a b-Q4_0-00001-of-00002.gguf', 'v2'));
    expect(file?.known?.sha256).toBe(sha256Of(FILES['deep/a b-Q4_0-00001-of-00002.gguf']));
    const [config, weights] = await findAdapterFiles(ID, { endpoint: hub.endpoint }, {});
    expect([config?.url, weights?.known?.size]).toEqual([hub.fileUrl('adapter_config.json', 'main-commit'), 70]);
  });
});

test('weights only as a pickle: why they are not read; no weights: that they are missing', async () => {
  const opening = async (folder: string) => {
    const url = hub.fileUrl(`${folder}/adapter_model.safetensors`);
    return describeRemote(url).catch((error: unknown) => explainMissing({}, error));
  };
  await expectError(() => opening('old'), 'unsupported', {
    file: hub.fileUrl('old/adapter_model.bin'),
    reason: /pickle/,
  });
  await expectError(() => opening('none'), 'network', {
    file: hub.fileUrl('none/adapter_model.safetensors'),
    reason: /404/,
  });
});

describe('a gated repository', () => {
  test('opens with the token, which only the hub receives, not a redirect’s target', async () => {
    hub.behaviour.token = TOKEN;
    const [wanted] = await findModelFiles('owner/tiny:tiny-Q8_0.gguf', { endpoint: hub.endpoint, token: TOKEN }, 1, {});
    const { url, headers, known } = wanted!;
    const file = await FileDownload.open(
      { ...(await describeRemote(url, { headers })), ...known },
      new MemoryPieces(),
      { headers },
    );
    await file.complete();
    await file.verify();
    const of = (origin: string) =>
      hub.requests.filter((request) => request.origin === origin).map(({ authorization }) => authorization);
    expect(new Set(of('hub'))).toEqual(new Set([`Bearer ${TOKEN}`]));
    expect(new Set(of('cdn'))).toEqual(new Set([undefined]));
  });

  test.each([
    [undefined, 401, 'status 401: the file needs a token of an account with access to it, or is not there'],
    [
      'hf_wrong1',
      401,
      'status 401: the token was refused; its account has no access to the file, or the file is not there',
    ],
    [
      'hf_wrong1',
      403,
      'status 403: the token was refused; its account has no access to the file, or the file is not there',
    ],
  ])('is an error with the token %s and status %i, which does not show it', async (token, refusal, reason) => {
    hub.behaviour = { token: TOKEN, refusal };
    const options = { endpoint: hub.endpoint, ...(token !== undefined && { token }) };
    const error: unknown = await findModelFiles('owner/tiny', options, 1, {}).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'network', detail: { reason } });
    expect(JSON.stringify([error, String(error), (error as Error).stack])).not.toMatch(/hf_/);
    expect(hub.requests).toHaveLength(1);
  });

  test('whose files are refused at another host: the error does not blame the token, which was not sent there', async () => {
    hub.behaviour = { token: TOKEN, instead: ({ response }) => Boolean(response.writeHead(403).end()) };
    const [wanted] = await findModelFiles('owner/tiny:tiny-Q8_0.gguf', { endpoint: hub.endpoint, token: TOKEN }, 1, {});
    await expectError(() => describeRemote(wanted!.url, { headers: wanted!.headers }), 'network', {
      file: wanted!.url,
      reason: /^status 403 from http:\/\/127\.0\.0\.1:\d+, to which the server redirects$/,
    });
  });

  test('other hosts never receive the token', async () => {
    const [file] = await findModelFiles(hub.fileUrl('tiny-Q8_0.gguf'), { token: TOKEN }, 1, {});
    expect(file?.headers).toEqual({});
  });
});

test.each<[string, unknown, string]>([
  ['no object', [], 'answer'],
  ['no commit', { siblings: [] }, 'sha'],
  ['no files', { sha: 'abc' }, 'siblings'],
  ['a file without a name', { sha: 'abc', siblings: [{ size: 1 }] }, 'siblings[0]'],
  ['a file without a length', { sha: 'abc', siblings: [{ rfilename: 'a', size: -1 }] }, 'siblings[0].size'],
  [
    'no SHA-256',
    { sha: 'abc', siblings: [{ rfilename: 'a', size: 1, lfs: { sha256: 'x' } }] },
    'siblings[0].lfs.sha256',
  ],
])('an answer with %s is not the hub’s', async (_, answer, field) => {
  await expectError(() => listRepo(ID, {}, async () => answer), 'bad_file', { field });
});

test('a missing revision, and a response that is not JSON', async () => {
  await expectError(() => findModelFiles('owner/tiny@nowhere', { endpoint: hub.endpoint }, 1, {}), 'network', {
    reason: /status 404/,
  });
  await expectError(() => readJson(hub.fileUrl('README.md')), 'bad_file', {
    file: hub.fileUrl('README.md'),
    reason: /not JSON/,
  });
});
