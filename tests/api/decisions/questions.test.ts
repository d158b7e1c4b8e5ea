import { expect, it } from 'vitest';
import { parseQuestion } from '../../../src/api/decisions/parse-decisions.ts';
import { readingsOf } from '../../../src/api/decisions/questions.ts';

const readings = (question: object, permutations = 1) =>
  readingsOf(parseQuestion({ instructions: 'Which?', ...question }, 'question', []), permutations);
const choices = (count: number) => ({
  type: 'choice',
  choices: Array.from({ length: count }, (_, i) => ({ value: `v${i}` })),
});

it('writes questions like vLLM', () => {
  const described = { type: 'choice', choices: [{ value: 'x', description: 'why' }, { value: true }] };
  expect(readings(described)).toEqual([
    {
      text: 'Question: Which?\nA: x - why\nB: true\nAnswer with the letter of one option only.',
      spellings: [['A'], ['B']],
    },
  ]);
  expect(readings({ type: 'predicate', criteria: { true: 'it is' } })).toEqual([
    {
      text: 'Question: Which?\nyes: it is\nAnswer with yes or no only.',
      spellings: [
        ['yes', 'Yes'],
        ['no', 'No'],
      ],
    },
  ]);
  expect(readings({ type: 'score', levels: [{ label: 'low' }, { label: 'high' }] })).toEqual([
    { text: 'Question: Which?\n0: low\n1: high\nAnswer with the number of one level only.', spellings: [['0'], ['1']] },
  ]);
});

it.each([2, 26, 27, 255])('gives %i choices distinct labels, none of which begins another', (count) => {
  const [{ text, spellings } = { text: '', spellings: [] }] = readings(choices(count));
  const labels = spellings.flat();
  expect(new Set(labels).size).toBe(count);
  expect(new Set(labels.map(({ length }) => length))).toEqual(new Set([count > 26 ? 2 : 1]));
  labels.forEach((label, i) => expect(text).toContain(`\n${label}: v${i}\n`));
});

it('gives each choice another letter in each order, and stops when no orders are left', () => {
  const turned = readings(choices(3), 16);
  expect(turned.map(({ spellings }) => spellings.flat().join(''))).toEqual(['ABC', 'CAB', 'BCA']);
  for (const { text, spellings } of turned)
    spellings.flat().forEach((label, i) => expect(text).toContain(`${label}: v${i}\n`));
  expect(readings(choices(100), 4).map(({ spellings }) => spellings[0]?.[0])).toEqual(['A0', 'H5', 'F0', 'C5']);
});

it('keeps the numbers of levels and the words of a predicate in the reversed order', () => {
  const levels = Array.from({ length: 11 }, (_, i) => ({ label: `l${i}` }));
  const [first, second, ...others] = readings({ type: 'score', levels: levels.slice(0, 3) }, 3);
  expect(others).toEqual([]);
  expect(second?.spellings).toEqual(first?.spellings);
  expect(second?.text).toContain('2: l2\n1: l1\n0: l0\n');
  expect(readings({ type: 'score', levels })[0]?.spellings.flat().join('')).toBe('ABCDEFGHIJK');
  expect(readings({ type: 'predicate' }, 2)).toHaveLength(1);
  const both = readings({ type: 'predicate', criteria: { true: 'a', false: 'b' } }, 2);
  expect(both[1]?.text).toContain('no: b\nyes: a\nAnswer with no or yes only.');
  expect(both[1]?.spellings[0]).toEqual(['yes', 'Yes']);
});
