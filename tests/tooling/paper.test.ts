import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bleu } from '../../bench/support/paper/bleu.ts';
import { between } from '../../bench/support/marked.ts';
import { drawn, MARK } from '../../bench/support/paper/draw.ts';
import { type PaperSection, ratiosOf, readSections } from '../../bench/support/paper/sections.ts';
import { worseThan } from '../../bench/support/paper/short.ts';
import type { Speed } from '../../bench/support/paper/speed.ts';
import { NOT_MEASURED } from '../../bench/support/paper/tables.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');

it('the documents show the last results, and no other picture', async () => {
  const files = drawn(await readSections());
  for (const [file, text] of Object.entries(files)) {
    if (file.endsWith('.md')) expect(between(read(file), MARK), file).toBe(text);
    else expect(read(file), file).toBe(text);
  }
  const folder = join(ROOT, 'docs/paper');
  for (const picture of existsSync(folder) ? readdirSync(folder) : [])
    expect(files).toHaveProperty([`docs/paper/${picture}`]);
});

const speed = (ms: number, kv: number): Speed => {
  const timed = {
    msPerToken: { median: ms, interval: [ms, ms] as [number, number] },
    ratio: { median: ms / 50, interval: [ms / 50, ms / 50] as [number, number] },
  };
  const memory = { weights: 100e6, adapters: 10e6, kv, activations: 8e6, staging: 2e6, total: 120e6 + kv };
  return {
    contexts: {
      256: { ...timed, memory, tokensPerStep: 1, dispatchesPerToken: 300, bitsPerElement: 16, meanRank: 16 },
    },
    prefill: timed,
  };
};
const SPEEDS = { ordinary: speed(50, 80e6), fused: speed(40, 80e6), all: speed(35, 20e6) };
const sectionOf = (modes: Record<string, Speed>): PaperSection => ({
  date: '2026-01-02',
  ranks: { 16: { speed: { contexts: [256], steps: 8, rounds: 3, prefillTokens: 64, modes } } },
});

describe('generated documents', () => {
  it('tables with shares of ordinary LoRA, of tasks too, and pictures', () => {
    const section = sectionOf(SPEEDS);
    const { prefill: timed } = SPEEDS.all;
    const tasks = {
      context: 4096,
      steps: 96,
      rounds: 3,
      tasks: { edits: { ordinary: { ...timed!, tokensPerStep: 1 }, all: { ...timed!, tokensPerStep: 5.25 } } },
    };
    const files = drawn({ acme: { ...section, ranks: { 16: { ...section.ranks['16'], tasks } } } });
    expect(files['README.md']).toContain('|all|0.70|0.70|–|–|');
    expect(files['docs/decisions/paper.md']).toContain('| all together | 35.0 (0.70, 0.70 to 0.70) |');
    expect(files['docs/decisions/paper.md']).toContain('| all together | 35.0 (0.70, 0.70 to 0.70); 5.25 |');
    expect(files['docs/paper/memory-16.svg']).toContain('>0.70</text>');
    expect(Object.keys(files).filter((file) => file.endsWith('.svg'))).toHaveLength(2);
  });

  it('omit missing measurements', () => {
    expect(drawn({ acme: { date: '2026-01-02', ranks: {} } })).toEqual({
      'README.md': '',
      'docs/decisions/paper.md': NOT_MEASURED,
    });
  });
});

it('ratios are relative to ordinary LoRA; those worse than recorded by more than the tolerance are reported', () => {
  const ratios = ratiosOf(SPEEDS);
  expect(ratios['all: cache bytes at 256']).toBe(0.25);
  expect(ratios['all: time at 256']).toBe(0.7);
  expect(worseThan(ratios, ratios, 0.15)).toEqual([]);
  expect(worseThan(ratios, { ...ratios, 'all: time at 256': 0.8, 'all: cache bytes at 256': 0.1 }, 0.15)).toEqual([]);
  expect(worseThan(ratios, { ...ratios, 'all: time at 256': 0.81 }, 0.15)).toEqual([
    'all: time at 256: 0.810, recorded 0.700',
  ]);
  const fewer = Object.entries(ratios).filter(([name]) => name !== 'all: time at 256');
  expect(worseThan(ratios, Object.fromEntries(fewer), 0.15)).toEqual([
    'all: time at 256: not measured, recorded 0.700',
  ]);
});

describe('BLEU', () => {
  it('is 100 for equal texts, 0 without a common word, and otherwise as in Papineni et al.', () => {
    const texts = ['the lamp burned colza oil until 1911', 'in 1868'];
    expect(bleu(texts, texts).value).toBeCloseTo(100);
    expect(bleu(['one two three four'], ['five six seven eight']).value).toBe(0);
    expect(bleu(['the lamp burned whale oil until 1911'], ['the lamp burned colza oil until 1911']).value).toBe(0); // no common 4-gram
    expect(bleu(['a b c d e f x'], ['a b c d e f g']).value).toBeCloseTo(
      100 * ((6 / 7) * (5 / 6) * (4 / 5) * (3 / 4)) ** (1 / 4),
    );
  });

  it('a text that is too short is penalised', () => {
    expect(bleu(['a b c d'], ['a b c d e f g h']).value).toBeCloseTo(100 * Math.exp(1 - 8 / 4));
  });
});
