import { expect, test } from 'vitest';
import { qwen3moe } from '../../src/architectures/qwen.ts';
import { stackExperts } from '../../src/weights/safetensors/stacked-experts.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { BytesSource } from '../support/bytes-source.ts';

const { paths } = qwen3moe.experts!;
const nameOf = (layer: number, expert: number, linear: string): string =>
  `model.layers.${layer}.mlp.experts.${expert}.${linear}.weight`;

/** Two rows of three bytes `first`, `first` + 1 and so on, after `offset` other bytes. */
function tensorOf(file: string, name: string, first: number, offset = 0): TensorInfo {
  const bytes = Uint8Array.from({ length: offset + 24 }, (_, i) => (i < offset ? 255 : first + i - offset));
  return { name, shape: [2, 3], type: 'F32', bytes: 24, offset, source: new BytesSource(file, bytes) };
}

test('experts are stacked in order, for any order and files of their tensors', async () => {
  const other = tensorOf('a', 'model.layers.0.mlp.gate.weight', 0);
  const parts = [
    tensorOf('b', nameOf(0, 2, 'up_proj'), 48, 5),
    tensorOf('a', nameOf(0, 0, 'up_proj'), 0, 8),
    tensorOf('b', nameOf(0, 1, 'up_proj'), 24),
    tensorOf('a', nameOf(1, 0, 'up_proj'), 100),
  ];
  const [kept, first, second, ...rest] = stackExperts([...parts, other], paths);
  expect([kept, rest]).toEqual([other, []]);
  expect(second).toMatchObject({ name: 'blk.1.ffn_up_exps.weight', shape: [1, 2, 3], bytes: 24 });
  expect(first).toMatchObject({ name: 'blk.0.ffn_up_exps.weight', shape: [3, 2, 3], bytes: 72, offset: 0 });
  expect([...(await first!.source.read(0, 72))]).toEqual([...Array(72).keys()]);
  expect([...(await first!.source.read(20, 40))]).toEqual(Array.from({ length: 40 }, (_, i) => 20 + i));
});

test('a missing expert, or one unlike the others, is refused by name', () => {
  const refused = (tensors: readonly TensorInfo[], file: string, field: string, reason: RegExp): void => {
    const detail = { file, field, reason: expect.stringMatching(reason) as string };
    expect(() => stackExperts(tensors, paths)).toThrow(
      expect.objectContaining({ code: 'bad_file', detail: expect.objectContaining(detail) as object }),
    );
  };
  const [first, second] = [tensorOf('a', nameOf(0, 0, 'down_proj'), 0), tensorOf('b', nameOf(0, 1, 'down_proj'), 24)];
  refused([first, tensorOf('b', nameOf(0, 2, 'down_proj'), 24)], 'a', nameOf(0, 1, 'down_proj'), /missing/);
  refused([second], 'b', nameOf(0, 0, 'down_proj'), /missing/);
  refused([first, { ...second, shape: [3, 2] }], 'b', nameOf(0, 1, 'down_proj'), /\[3, 2\] in F32, but .* is \[2, 3\]/);
  refused([first, { ...second, type: 'BF16' }], 'b', nameOf(0, 1, 'down_proj'), /in BF16, but .* in F32/);
});
