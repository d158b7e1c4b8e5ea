import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { writeGguf } from '../support/models/gguf-writer.ts';
import { Random } from '../support/random.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

/** Limit in CPU seconds, which other load does not use. */
const TIME_LIMIT_MS = 2000;
const FILE = 'mutated.gguf';

type Outcome = 'loaded' | ChunkwiseError;

/** Opens a file as the engine does; anything thrown but a ChunkwiseError that names the file fails the test. */
async function load(bytes: Uint8Array, what: string): Promise<Outcome> {
  const start = cpuMs();
  let outcome: Outcome = 'loaded';
  try {
    const file = await openGguf([new BytesSource(FILE, bytes)]);
    checkTensors(file, readModelConfig(file));
  } catch (error) {
    if (!(error instanceof ChunkwiseError)) throw new Error(`${what}: ${String(error)}`, { cause: error });
    expect(error.detail.file, what).toBe(FILE);
    expect(error.detail.reason, what).not.toBe('');
    expect(['bad_file', 'unsupported'], what).toContain(error.code);
    outcome = error;
  }
  expect(cpuMs() - start, what).toBeLessThan(TIME_LIMIT_MS);
  return outcome;
}

const LENGTHS = [2n ** 31n, 2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 0n];

/** Damages `bytes` in one of four ways, within its first `headerBytes`; returns what it did. */
function mutate(bytes: Uint8Array, headerBytes: number, random: Random): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const at = random.below(headerBytes - 8);
  const kind = random.below(4);
  if (kind === 0) {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
    return `bit flipped at ${at}`;
  }
  if (kind === 1) {
    const length = LENGTHS[random.below(LENGTHS.length)] ?? 0n;
    view.setBigUint64(at, length, true);
    return `${length} at ${at}`;
  }
  if (kind === 2) {
    const type = random.below(64);
    view.setUint32(at, type, true);
    return `type ${type} at ${at}`;
  }
  const run = 1 + random.below(64);
  for (let i = 0; i < run && at + i < headerBytes; i++) bytes[at + i] = random.below(256);
  return `${run} random bytes at ${at}`;
}

async function headerLength(bytes: Uint8Array): Promise<number> {
  const { tensors } = await openGguf([new BytesSource(FILE, bytes)]);
  return Math.min(...tensors.map(({ offset }) => offset));
}

test('a file truncated at 50 random lengths is refused with that reason', async () => {
  const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 1, tied: false });
  const header = await headerLength(bytes);
  const random = new Random(50);
  for (let i = 0; i < 50; i++) {
    // The padding after the last tensor is shorter than the alignment.
    const length = random.below(i % 2 === 0 ? header : bytes.byteLength - 32);
    const outcome = await load(bytes.slice(0, length), `${length} bytes`);
    expect(outcome, `${length} bytes`).toBeInstanceOf(ChunkwiseError);
    expect((outcome as ChunkwiseError).detail.reason).toMatch(/left in the file|truncated/);
  }
});

test('1,000 header mutations each load or are refused by name, in time and in bounded memory', async () => {
  const original = tinyModel({
    architecture: 'qwen2',
    type: 'F32',
    seed: 2,
    numLayers: 2,
    hiddenSize: 64,
    intermediateSize: 64,
    numHeads: 4,
    numKvHeads: 2,
  });
  const header = await headerLength(original);
  const random = new Random(1000);
  const memory = process.memoryUsage().rss;
  let refused = 0;
  for (let i = 0; i < 1000; i++) {
    const bytes = original.slice();
    // Half of them hit the fields of counts and types: the first bytes and the tensor infos.
    const what = i % 2 === 0 ? mutate(bytes, header, random) : mutateFields(bytes, header, random);
    if ((await load(bytes, `mutation ${i}: ${what}`)) !== 'loaded') refused++;
  }
  // Most must have an effect, or the mutations test nothing; flips within a token's text must not.
  expect(refused).toBeGreaterThan(300);
  expect(refused).toBeLessThan(1000);
  expect(process.memoryUsage().rss - memory).toBeLessThan(400 * 2 ** 20);
});

/** The start with the counts, or the end with the tensor infos. */
function mutateFields(bytes: Uint8Array, header: number, random: Random): string {
  if (random.below(2) === 0) return mutate(bytes, 1200, random);
  const start = header - 1600;
  return `from ${start}: ${mutate(bytes.subarray(start), 1600, random)}`;
}

test.each([
  ['tensor count', 8],
  ['metadata count', 16],
])('a %s that the file could hold, but no model has', async (field, at) => {
  const bytes = new Uint8Array(60 * 2 ** 20);
  bytes.set(writeGguf({ metadata: {}, tensors: [] }));
  new DataView(bytes.buffer).setBigUint64(at, 65_537n, true);
  expect(await load(bytes, field)).toMatchObject({ code: 'bad_file', detail: { field } });
});

test.each([
  ['strings', 8, 7_500_000],
  ['booleans', 7, 60_000_000],
])('a header of 60 MiB that holds the %s it claims is refused rather than parsed', async (what, type, count) => {
  const bytes = new Uint8Array(60 * 2 ** 20);
  bytes.set(writeGguf({ metadata: { k: [''] }, tensors: [] }));
  const view = new DataView(bytes.buffer);
  view.setUint32(37, type, true);
  view.setBigUint64(41, BigInt(count), true);
  const memory = process.memoryUsage().rss;
  const outcome = await load(bytes, what);
  expect(outcome).toMatchObject({ code: 'bad_file', detail: { field: 'k' } });
  expect((outcome as ChunkwiseError).detail.reason).toContain(`${count} ${what}`);
  expect(process.memoryUsage().rss - memory).toBeLessThan(128 * 2 ** 20);
});

test('ten mutations of the real model', async () => {
  const original = new Uint8Array(await readFile(REAL_MODEL));
  const memory = process.memoryUsage().arrayBuffers;
  const edits: [string, (view: DataView) => void][] = [
    ['magic', (v) => v.setUint32(0, 0x04034b50, true)],
    ['version', (v) => v.setUint32(4, 4, true)],
    ['tensor count', (v) => v.setBigUint64(8, 2n ** 31n, true)],
    ['tensor count within the file', (v) => v.setBigUint64(8, 3_000_000n, true)],
    ['metadata count', (v) => v.setBigUint64(16, 2n ** 63n, true)],
    ['metadata count within the file', (v) => v.setBigUint64(16, 4_000_000n, true)],
    ['key length', (v) => v.setBigUint64(24, 90_000_000n, true)],
    ['value type', (v) => v.setUint32(52, 9, true)],
    ['value length', (v) => v.setBigUint64(56, 40_000_000n, true)],
    ['architecture', (v) => v.setUint8(64, 0x78)],
  ];
  for (const [what, edit] of edits) {
    // Edits stay within this range and are undone after each.
    const front = original.slice(0, 128);
    edit(new DataView(original.buffer, original.byteOffset));
    expect(await load(original, what), what).toBeInstanceOf(ChunkwiseError);
    original.set(front);
  }
  expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(512 * 2 ** 20);
  expect(await load(original, 'restored')).toBe('loaded');
});
