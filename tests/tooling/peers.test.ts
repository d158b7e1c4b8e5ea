import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { between } from '../../bench/support/marked.ts';
import { DOCUMENT, drawn, MARK } from '../../bench/support/peers/draw.ts';
import type { Answer, Peer } from '../../bench/support/peers/peer.ts';
import { figuresOf } from '../../bench/support/peers/rounds.ts';
import { readSections } from '../../bench/support/peers/sections.ts';
import { ratiosOf } from '../../bench/support/peers/short.ts';

it('the document shows the last results', async () => {
  const document = readFileSync(join(import.meta.dirname, '../..', DOCUMENT), 'utf8');
  expect(between(document, MARK)).toBe(drawn(await readSections()));
});

const answer = (promptMs: number, stepMs: number[], text = 'one two'): Answer => ({
  ...{ text, promptMs, stepMs },
  cpu: { promptMs: 2 * promptMs, stepsMs: 2 * stepMs.reduce((sum, ms) => sum + ms, 0) },
});

it('ratios of times are medians over rounds, and of CPU times those of the minima', () => {
  const answers = {
    ours: [answer(10, [1, 1, 1]), answer(20, [2, 2, 2]), answer(30, [9, 9, 9])],
    Vulkan: [answer(20, [4, 4, 4]), answer(80, [8, 8, 8]), answer(60, [9, 9, 9])],
    CPU: [answer(5, [1, 1, 1]), answer(5, [1, 1, 1]), answer(5, [1, 1, 1])],
  };
  const { ratios, loose } = ratiosOf(answers, { ours: 300, Vulkan: 400, CPU: 200 });
  expect(ratios).toEqual({
    'processor time of a decoded token, to Vulkan': 0.25,
    'processor time of a prompt, to Vulkan': 0.5,
  });
  expect(loose['time of a decoded token, to CPU']).toBe(2);
  expect(loose['time of a prompt, to Vulkan']).toBe(0.5);
  expect(loose['peak memory, to CPU']).toBe(1.5);
});

describe('a peer’s row', () => {
  const peer = {
    name: 'Acme',
    host: 'Node',
    type: 'Q4_1',
    adapted: false,
    open: () => Promise.reject(new Error('not here')),
  } satisfies Peer;
  const round = (text: string) => ({
    device: 'card',
    loadMs: 5,
    payload: { bytes: 2e6, gzipBytes: 1e6 },
    peakBytes: 3e8,
    answers: [answer(128, [4, 5, 60], text)],
  });

  it('has milliseconds per token, and the share of expected answers', () => {
    const figures = figuresOf(peer, [round('one two'), round('one ten')], [['one two'], ['one two']], {
      contexts: [64],
    });
    expect(figures).toMatchObject({
      device: 'card',
      contexts: {
        64: { decode: { median: 5 }, prefill: { median: 2 }, sameAnswers: 1, sharedCharacters: 6, answers: 2 },
      },
    });
    const table = drawn({
      card: { date: '2026-01-02', full: { contexts: [64], steps: 3, rounds: 2, peers: [figures] } },
    });
    expect(table).toContain(
      '| Acme in Node | Q4_1 | – | 5.0 (5.0 to 5.0) | 2.0 (2.0 to 2.0) | 5 (5 to 5) | 2.00 (1.00) | 300 (300 to 300) | 1 of 2 (6) |',
    );
  });

  it('has its own error if it cannot run, with the same number of cells', () => {
    const figures = figuresOf(peer, 'Failed to fetch | x', [], { contexts: [64, 128] });
    const [heads = '', , row = ''] = drawn({
      card: { date: '2026-01-02', full: { contexts: [64, 128], steps: 3, rounds: 2, peers: [figures] } },
    })
      .split('\n')
      .slice(2);
    expect(row).toContain('| cannot: Failed to fetch \\| x |');
    expect(row.split(/(?<!\\)\|/)).toHaveLength(heads.split('|').length);
  });
});
