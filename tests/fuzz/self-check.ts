import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { check, type FuzzCase, type FuzzKind } from './kind.ts';
import { cpuMs } from '../support/cpu-time.ts';

/** Every way to fail, and the two ways to pass, in this order. */
const CASES: readonly Omit<FuzzCase, 'bytes'>[] = [
  { what: 'right', run: () => undefined },
  {
    what: 'refused',
    run() {
      throw new ChunkwiseError('bad_file', { reason: 'no' });
    },
  },
  {
    what: 'untyped',
    run() {
      throw new TypeError('no');
    },
  },
  {
    what: 'another code',
    run() {
      throw new ChunkwiseError('network', { reason: 'no' });
    },
  },
  { what: 'wrong', run: () => check(false, 'one and one') },
  {
    what: 'slow',
    run() {
      for (const start = cpuMs(); cpuMs() < start + 200;);
    },
  },
  { what: 'large', run: () => void new Uint8Array(200 << 20).fill(1) },
  {
    what: 'hung',
    run() {
      for (;;);
    },
  },
  { what: 'right after a process that was ended', run: () => undefined },
];

export const selfCheck: FuzzKind = {
  codes: ['bad_file'],
  async open() {
    return (_, index): FuzzCase => ({ bytes: 0, ...CASES[index % CASES.length]! });
  },
};
