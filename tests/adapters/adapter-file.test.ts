import { expect, test } from 'vitest';
import { type AdapterModules, baseNames, contentHash, isOneOf, readAdapter } from '../../src/adapters/adapter-file.ts';
import type { AdapterSource } from '../../src/adapters/adapter-header.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { GgufMetadata } from '../../src/weights/gguf/gguf-metadata.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { writeGguf } from '../support/models/gguf-writer.ts';
import {
  CONFIG_FILE,
  ggufAdapter,
  peftSource,
  tinyAdapter,
  tinyConfig,
  WEIGHTS_FILE,
} from '../support/models/tiny-adapter.ts';
import type { FloatType, TinyAdapter } from '../support/models/tiny-adapter.ts';

const llama = await tinyConfig();
const qwen = await tinyConfig({ architecture: 'qwen2' });
const GGUF = 'adapter.gguf';

const ggufSource = (adapter: TinyAdapter, model = llama): AdapterSource => ({
  gguf: new BytesSource(GGUF, ggufAdapter(adapter, model)),
});
const read = (adapter: TinyAdapter, model = llama): Promise<AdapterModules> =>
  readAdapter(peftSource(adapter), { config: model });

test.each<FloatType>(['F32', 'F16', 'BF16'])(
  'every value of a PEFT adapter in %s arrives in its place',
  async (type) => {
    const adapter = tinyAdapter(llama, { seed: 1, type, alpha: 6 });
    const { modules, warnings } = await read(adapter);
    expect(warnings).toEqual([]);
    expect(modules).toHaveLength(14);
    for (const made of adapter.modules) {
      const found = modules.find(({ name }) => `${name}.weight` === made.gguf)!;
      expect(found).toMatchObject({ rank: 4, scale: 1.5, inFeatures: made.inFeatures, outFeatures: made.outFeatures });
      expect(found.a).toEqual(made.a);
      expect(found.b).toEqual(made.b);
    }
  },
);

test.each([
  ['llama, whose q and k rows are permuted', llama],
  ['qwen2, whose rows are not', qwen],
])('the GGUF form equals the PEFT form: %s', async (_, model) => {
  const adapter = tinyAdapter(model, { seed: 2, type: 'F16', ranks: { 'model.layers.1.self_attn.q_proj': 2 } });
  adapter.config['rank_pattern'] = { 'layers.1.self_attn.q_proj': 2 };
  const peft = await read(adapter, model);
  const gguf = await readAdapter(ggufSource(adapter, model), { config: model });
  expect(gguf.modules).toEqual(peft.modules);
  expect([gguf.rank, gguf.alpha]).toEqual([peft.rank, peft.alpha]);
});

test("linears have their architecture's names, and layers only their own linears", async () => {
  const lfm2 = await tinyConfig({ architecture: 'lfm2', numLayers: 3 });
  const adapter = tinyAdapter(lfm2, { seed: 2, type: 'F16' });
  const peft = await read(adapter, lfm2);
  expect(peft.modules.map(({ name }) => `${name}.weight`)).toEqual(
    expect.arrayContaining(adapter.modules.map(({ gguf }) => gguf)),
  );
  expect(peft.modules).toHaveLength(5 + 7 + 5);
  const gguf = await readAdapter(ggufSource(adapter, lfm2), { config: lfm2 });
  expect(peft.modules).toMatchObject(gguf.modules);
  // Layer 0 has a convolution, layer 1 attention.
  const fieldOf = (place: string): string => `base_model.model.model.layers.${place}.lora_A.weight`;
  const refused = (of: TinyAdapter, model: typeof llama, place: string) =>
    expectError(() => read(of, model), 'unsupported', {
      file: WEIGHTS_FILE,
      field: fieldOf(place),
      reason: /no such linear/,
    });
  await refused(
    tinyAdapter({ ...lfm2, convolution: undefined }, { seed: 2, targets: ['q_proj'], layers: [0] }),
    lfm2,
    '0.self_attn.q_proj',
  );
  await refused(tinyAdapter(lfm2, { seed: 2, targets: ['in_proj'], layers: [0] }), llama, '0.conv.in_proj');
  await refused(tinyAdapter(llama, { seed: 2, targets: ['o_proj'], layers: [1] }), lfm2, '1.self_attn.o_proj');
  await refused(tinyAdapter(lfm2, { seed: 2, targets: ['out_proj'], layers: [1] }), llama, '1.self_attn.out_proj');
  const missing = {
    ...adapter,
    modules: adapter.modules.filter(({ name }) => name !== 'model.layers.2.conv.out_proj'),
  };
  await expectError(() => read(missing, lfm2), 'bad_file', {
    file: WEIGHTS_FILE,
    field: fieldOf('2.conv.out_proj'),
    reason: /missing/,
  });
});

test('value heads are reordered for the base, and gates come after all queries', async () => {
  const tiled = await tinyConfig({ architecture: 'qwen35', attending: [1], headDim: 16, deltaHeads: [2, 8, 16] });
  const grouped: typeof tiled = { ...tiled, deltaNet: { ...tiled.deltaNet!, valueHeads: 'grouped' } };
  const adapter = tinyAdapter(tiled, { seed: 6 });
  const ofBase = async (model: typeof tiled, name: string) => {
    const found = (await read(adapter, model)).modules.find((one) => one.name === name)!;
    return { ...found, made: adapter.modules.find(({ gguf }) => gguf === `${name}.weight`)! };
  };
  const rows = (matrix: Float32Array, width: number, picked: readonly number[]): Float32Array =>
    Float32Array.from(picked.flatMap((row) => [...matrix.subarray(row * width, (row + 1) * width)]));
  const heads = [0, 4, 1, 5, 2, 6, 3, 7];
  const all = (count: number, start = 0): number[] => Array.from({ length: count }, (_, i) => start + i);
  const ofHeads = heads.flatMap((head) => all(16, head * 16));
  for (const [name, order] of [
    ['attn_qkv', [...all(64), ...ofHeads.map((row) => 64 + row)]],
    ['attn_gate', ofHeads],
    ['ssm_beta', heads],
    ['ssm_alpha', heads],
  ] as const) {
    const found = await ofBase(tiled, `blk.0.${name}`);
    expect(found.b, name).toEqual(rows(found.made.b, 4, order));
    expect((await ofBase(grouped, `blk.0.${name}`)).b, name).toEqual(found.made.b);
  }
  const output = await ofBase(tiled, 'blk.0.ssm_out');
  expect(output.a).toEqual(
    Float32Array.from(all(4).flatMap((k) => ofHeads.map((column) => output.made.a[k * 128 + column]!))),
  );
  expect((await ofBase(grouped, 'blk.0.ssm_out')).a).toEqual(output.made.a);
  for (const model of [tiled, grouped]) {
    const queries = await ofBase(model, 'blk.1.attn_q');
    expect(queries.b).toEqual(
      rows(
        queries.made.b,
        4,
        [0, 16].flatMap((gates) => all(4).flatMap((head) => all(16, head * 32 + gates))),
      ),
    );
  }
  const [first, second] = [await read(adapter, tiled), await read(adapter, grouped)];
  expect(first.contentHash).not.toBe(second.contentHash);
});

test("an adapter of fused linears is split, in the kernels' order; another base refuses it", async () => {
  const phi3 = await tinyConfig({ architecture: 'phi3', rotaryDim: 8 });
  const adapter = tinyAdapter(phi3, { seed: 5 });
  const { modules } = await read(adapter, phi3);
  expect(modules.map(({ name }) => name).slice(0, 7)).toEqual(
    ['q', 'k', 'v', 'output']
      .map((part) => `blk.0.attn_${part}`)
      .concat(['gate', 'up', 'down'].map((part) => `blk.0.ffn_${part}`)),
  );
  const rowsOf = (b: Float32Array, from: number, count: number): Float32Array =>
    b.subarray(4 * from, 4 * (from + count));
  const found = (name: string) => modules.find((one) => one.name === `blk.0.${name}`)!;
  const [qkv, , gateUp] = adapter.modules;
  for (const name of ['attn_q', 'attn_k', 'attn_v']) expect(found(name).a).toEqual(qkv!.a);
  expect(found('attn_v').b).toEqual(rowsOf(qkv!.b, 96, 32));
  expect(found('ffn_gate').b).toEqual(rowsOf(gateUp!.b, 0, 96));
  expect(found('ffn_up').b).toEqual(rowsOf(gateUp!.b, 96, 96));
  // Rows of a head of 16, 8 of them rotated: pairs (i, i + 4), then the others.
  const order = [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15];
  order.forEach((from, to) => expect(rowsOf(found('attn_k').b, 16 + to, 1)).toEqual(rowsOf(qkv!.b, 64 + 16 + from, 1)));
  expect((await readAdapter(ggufSource(adapter, phi3), { config: phi3 })).modules).toEqual(modules);
  const field = 'base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight';
  await expectError(() => read(adapter, llama), 'unsupported', {
    file: 'adapter_model.safetensors',
    field,
    reason: /no such linear/,
  });
  const missing = { ...adapter, modules: adapter.modules.slice(1) };
  await expectError(() => read(missing, phi3), 'bad_file', {
    file: 'adapter_model.safetensors',
    field,
    reason: /calls for this tensor/,
  });
});

test('alpha 0 of a GGUF adapter means a scale of 1, as in llama.cpp', async () => {
  const adapter = tinyAdapter(llama, { seed: 3, alpha: 0 });
  const { modules } = await readAdapter(ggufSource(adapter), { config: llama });
  expect(modules.map(({ scale }) => scale)).toEqual(Array(14).fill(1));
});

test.each(['model.language_model.', 'language_model.model.'])(
  'a model with other parts calls its text’s layers %slayers',
  async (root) => {
    const rename = (name: string): string => name.replace(/^model\./, root);
    const named = 'model.layers.1.mlp.down_proj';
    const adapter = tinyAdapter(llama, {
      seed: 4,
      targets: ['q_proj', 'down_proj'],
      config: {
        target_modules: `${root.replaceAll('.', '\\.')}layers\\..*(q|down)_proj`,
        alpha_pattern: { [rename(named)]: 3 },
      },
    });
    const plain = await read({
      ...adapter,
      config: { ...adapter.config, target_modules: ['q_proj', 'down_proj'], alpha_pattern: { [named]: 3 } },
    });
    const other = { ...adapter, modules: adapter.modules.map((module) => ({ ...module, name: rename(module.name) })) };
    const { modules } = await read(other);
    expect(modules.map(({ name, scale, a, b }) => ({ name, scale, a, b }))).toEqual(
      plain.modules.map(({ name, scale, a, b }) => ({ name, scale, a, b })),
    );
    expect(modules.find(({ name }) => name === 'blk.1.ffn_down')?.scale).toBe(3 / 4);
    const field = `base_model.model.${rename('model.layers.1.self_attn.q_proj')}.lora_A.weight`;
    const missing = {
      ...other,
      modules: other.modules.filter(({ name }) => name !== rename('model.layers.1.self_attn.q_proj')),
    };
    await expectError(() => read(missing), 'bad_file', { file: WEIGHTS_FILE, field, reason: /missing/ });
    // One linear under two names would get two adapters.
    const mixed = {
      ...other,
      config: { ...other.config, target_modules: ['q_proj', 'down_proj'] },
      modules: [...other.modules, ...adapter.modules],
    };
    await expectError(() => read(mixed), 'bad_file', { file: WEIGHTS_FILE, reason: /in another way/ });
  },
);

test('subsets of modules, per-module ranks and rsLoRA are read', async () => {
  const name = 'model.layers.1.mlp.down_proj';
  const adapter = tinyAdapter(llama, {
    seed: 4,
    targets: ['q_proj', 'down_proj'],
    layers: [1],
    ranks: { [name]: 9 },
    config: {
      use_rslora: true,
      layers_to_transform: [1],
      rank_pattern: { down_proj: 9 },
      alpha_pattern: { [name]: 3 },
    },
  });
  const { modules } = await read(adapter);
  expect(modules.map((module) => [module.name, module.rank, module.scale])).toEqual([
    ['blk.1.attn_q', 4, 4],
    ['blk.1.ffn_down', 9, 1],
  ]);
});

test('a base of another name gives a warning', async () => {
  const config = { base_model_name_or_path: 'HuggingFaceTB/SmolLM2-135M-Instruct' };
  const adapter = tinyAdapter(llama, { seed: 5, config });
  const warningsFor = async (names: string[]): Promise<string[]> =>
    (await readAdapter(peftSource(adapter), { config: llama, names })).warnings;
  expect(await warningsFor(['smollm2 135M instruct', 'x'])).toEqual([]);
  expect(await warningsFor([])).toEqual([]);
  expect(await warningsFor(['SmolLM2-360M-Instruct'])).toEqual([expect.stringMatching(/SmolLM2-135M.*360M/)]);
});

test.each(['./base', '../SmolLM2-360M', '/content/base', 'C:\\models\\base', '~/base'])(
  'a base at %s says nothing of its name: no warning',
  async (place) => {
    const adapter = tinyAdapter(llama, { seed: 5, targets: ['q_proj'], config: { base_model_name_or_path: place } });
    expect((await readAdapter(peftSource(adapter), { config: llama, names: ['SmolLM2-135M'] })).warnings).toEqual([]);
  },
);

const namesOf = (file: string, entries: [string, string][] = []): string[] =>
  baseNames(new GgufMetadata(file, new Map(entries)));

test("a GGUF file's names come from its file name and metadata, unless they are generic", () => {
  expect(namesOf('/models/SmolLM2-135M-Instruct.Q4_1.gguf')).toEqual(['SmolLM2-135M-Instruct']);
  expect(namesOf('https://h/r/main/qwen2.5-0.5b-q4_k_m-00001-of-00002.gguf?download=true')).toEqual(['qwen2.5-0.5b']);
  expect(
    namesOf('m.gguf', [
      ['general.basename', 'Qwen2'],
      ['general.size_label', '7B'],
    ]),
  ).toEqual(['m', 'Qwen2-7B']);
  expect(namesOf('ggml-model-f16.gguf', [['general.name', 'Model']])).toEqual([]);
  expect(namesOf('model.gguf', [['general.name', 'SmolLM2 135M']])).toEqual(['SmolLM2 135M']);
});

test("a safetensors model's names come from its repository or metadata; a folder alone is no name", () => {
  const named = (file: string, name?: string): string[] =>
    namesOf(file, name === undefined ? [] : [['general.name', name]]);
  expect(named('config.json')).toEqual([]);
  expect(named('/tmp/checkpoint-500/config.json')).toEqual([]);
  expect(named('tuned/config.json', '/fsx/runs/12')).toEqual([]);
  expect(named('tuned/config.json', 'owner/SmolLM2-135M')).toEqual(['owner/SmolLM2-135M', 'tuned']);
  expect(named('https://hub/owner/SmolLM2-135M/resolve/main/config.json?x')).toEqual(['SmolLM2-135M']);
  expect(named('/c/models--owner--SmolLM2-135M/snapshots/abc/config.json')).toEqual(['SmolLM2-135M']);
});

test.each([
  ['unsloth/SmolLM2-135M-Instruct-bnb-4bit', 'SmolLM2-135M-Instruct', true],
  ['unsloth/SmolLM2-135M-Instruct-unsloth-bnb-4bit', 'smollm2 135m instruct', true],
  ['meta-llama/Llama-2-7b-hf', 'Llama-2-7B', true],
  ['owner/SmolLM2-135M', 'owner/SmolLM2-135M-Instruct', false],
])('%s and %s: the same base is %s', (one, other, same) => expect(isOneOf(one, [other])).toBe(same));

test('a pickle is refused under any file name, with the reason and a remedy', async () => {
  const zip = Uint8Array.of(0x50, 0x4b, 3, 4, 0, 0, 8, 8, 0, 0, 0, 0);
  const old = Uint8Array.of(0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20);
  const { config } = peftSource(tinyAdapter(llama, { seed: 5 })) as { config: ByteSource };
  for (const bytes of [zip, old]) {
    const file = new BytesSource('adapter_model.bin', bytes);
    for (const source of [{ config, weights: file }, { gguf: file }]) {
      await expectError(() => readAdapter(source, { config: llama }), 'unsupported', {
        file: 'adapter_model.bin',
        reason: /reading a pickle runs .*save_pretrained/,
      });
    }
  }
});

/** Counts the reads of a source. */
class CountingSource implements ByteSource {
  reads = 0;
  readonly name: string;
  readonly size: number;
  constructor(private readonly source: ByteSource) {
    this.name = source.name;
    this.size = source.size;
  }
  async read(offset: number, length: number): Promise<Uint8Array> {
    this.reads++;
    return this.source.read(offset, length);
  }
}

interface Fault {
  what: string;
  change: (adapter: TinyAdapter) => void;
  field: string;
  code?: 'bad_file' | 'unsupported';
}

const Q0 = 'base_model.model.model.layers.0.self_attn.q_proj';
const FAULTS: Fault[] = [
  { what: 'a module is missing', change: (x) => x.modules.splice(0, 1), field: `${Q0}.lora_A.weight` },
  { what: 'a module too many', change: (x) => (x.config['target_modules'] = ['k_proj']), field: `${Q0}.lora_A.weight` },
  { what: 'another rank', change: (x) => (x.config['r'] = 5), field: `${Q0}.lora_A.weight` },
  {
    what: 'a layer the base lacks',
    change: (x) => x.modules.push({ ...x.modules[0]!, name: 'model.layers.2.self_attn.q_proj' }),
    field: 'base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight',
  },
  {
    what: 'a module of another kind',
    change: (x) => (x.modules[0]!.name = 'model.layers.0.self_attn.kv_proj'),
    field: 'base_model.model.model.layers.0.self_attn.kv_proj.lora_A.weight',
    code: 'unsupported',
  },
  { what: 'none at all', change: (x) => (x.modules = []), field: 'tensors' },
  { what: 'DoRA', change: (x) => (x.config['use_dora'] = true), field: 'use_dora', code: 'unsupported' },
];

test.each(FAULTS)('refused by name before any tensor is read: $what', async ({ change, field, code = 'bad_file' }) => {
  const adapter = tinyAdapter(llama, { seed: 6 });
  change(adapter);
  const source = peftSource(adapter);
  if (!('weights' in source)) throw new Error('PEFT form expected');
  const weights = new CountingSource(source.weights);
  const file = field === 'use_dora' ? CONFIG_FILE : WEIGHTS_FILE;
  await expectError(() => readAdapter({ ...source, weights }, { config: llama }), code, { file, field });
  expect(weights.reads).toBeLessThanOrEqual(2); // the header's length, and the header
});

test('a base of other shapes or another architecture refuses the adapter', async () => {
  const wide = await tinyConfig({ hiddenSize: 128 });
  const gated = await tinyConfig({ intermediateSize: 128 });
  const grouped = await tinyConfig({ numKvHeads: 1 });
  const adapter = tinyAdapter(llama, { seed: 7 });
  const fails = (model: typeof llama, field: string, reason: RegExp): Promise<void> =>
    expectError(() => read(adapter, model), 'bad_file', { file: WEIGHTS_FILE, field, reason });
  await fails(wide, `${Q0}.lora_A.weight`, /64 features.*128/);
  await fails(gated, 'base_model.model.model.layers.0.mlp.gate_proj.lora_B.weight', /96 features.*128/);
  await fails(grouped, 'base_model.model.model.layers.0.self_attn.k_proj.lora_B.weight', /32 features.*16/);
  await expectError(() => readAdapter(ggufSource(adapter), { config: qwen }), 'unsupported', {
    file: GGUF,
    field: 'general.architecture',
  });
});

test.each([NaN, Infinity, -Infinity])("%d in a factor is refused by the tensor's name", async (value) => {
  const adapter = tinyAdapter(llama, { seed: 8 });
  adapter.modules[5]!.b[17] = value;
  const name = 'model.layers.0.mlp.up_proj';
  await expectError(() => read(adapter), 'bad_file', {
    field: `base_model.model.${name}.lora_B.weight`,
    reason: /element 17/,
  });
  await expectError(() => readAdapter(ggufSource(adapter), { config: llama }), 'bad_file', {
    file: GGUF,
    field: 'blk.0.ffn_up.weight.lora_b',
  });
});

test('model files and other kinds of adapters are refused', async () => {
  const fails = (metadata: Record<string, string>, field: string, code: 'bad_file' | 'unsupported'): Promise<void> =>
    expectError(
      () => readAdapter({ gguf: new BytesSource(GGUF, writeGguf({ metadata, tensors: [] })) }, { config: llama }),
      code,
      { file: GGUF, field },
    );
  await fails({ 'general.type': 'model' }, 'general.type', 'bad_file');
  await fails({ 'general.type': 'adapter' }, 'adapter.type', 'bad_file');
  await fails({ 'general.type': 'adapter', 'adapter.type': 'other' }, 'adapter.type', 'unsupported');
  await fails({ 'general.type': 'adapter', 'adapter.type': 'lora' }, 'tensors', 'bad_file');
  await fails(
    { 'general.type': 'adapter', 'adapter.type': 'lora', 'adapter.lora.prompt_prefix': 'Hi' },
    'tensors',
    'bad_file',
  );
  await fails(
    { 'general.type': 'adapter', 'adapter.type': 'lora', 'adapter.lora.later': '1' },
    'adapter.lora.later',
    'unsupported',
  );
});

test('invocation tokens are read from both formats, with their file', async () => {
  const tokens = [7, 0, llama.vocabSize - 1];
  const adapter = tinyAdapter(llama, { seed: 9, config: { alora_invocation_tokens: tokens } });
  const field = 'adapter.alora.invocation_tokens';
  expect((await read(adapter)).invocation).toEqual({ tokens, file: CONFIG_FILE, field: 'alora_invocation_tokens' });
  expect((await readAdapter(ggufSource(adapter), { config: llama })).invocation).toEqual({ tokens, file: GGUF, field });
  expect((await read(tinyAdapter(llama, { seed: 9 }))).invocation).toBeUndefined();

  const outside = tinyAdapter(llama, { seed: 9, config: { alora_invocation_tokens: [7, llama.vocabSize] } });
  const reason = new RegExp(`token ${llama.vocabSize} is not in the base's vocabulary`);
  await expectError(() => read(outside), 'bad_file', { file: CONFIG_FILE, field: 'alora_invocation_tokens', reason });
  await expectError(() => readAdapter(ggufSource(outside), { config: llama }), 'bad_file', {
    file: GGUF,
    field,
    reason,
  });
  for (const odd of [new Uint32Array(), Int32Array.of(5, -1), Float32Array.of(1.5), '5', ['5'], 5]) {
    const bytes = writeGguf({
      metadata: { 'general.type': 'adapter', 'general.architecture': 'llama', 'adapter.type': 'lora', [field]: odd },
      tensors: ['a', 'b'].map((factor) => ({
        name: `blk.0.attn_q.weight.lora_${factor}`,
        shape: [1, 1],
        type: 'F32',
        bytes: new Uint8Array(4),
      })),
    });
    await expectError(() => readAdapter({ gguf: new BytesSource(GGUF, bytes) }, { config: llama }), 'bad_file', {
      file: GGUF,
      field,
    });
  }
});

test('the content hash depends on settings and weights only', async () => {
  const hash = (seed: number, alpha = 8): Promise<string> =>
    contentHash(peftSource(tinyAdapter(llama, { seed, alpha })));
  expect(await hash(9)).toMatch(/^[0-9a-f]{64}$/);
  expect(await hash(9)).toBe(await hash(9));
  expect(new Set([await hash(9), await hash(10), await hash(9, 4)]).size).toBe(3);
});
