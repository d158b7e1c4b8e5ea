import type { AdapterUse } from '../../engine/types.ts';
import type { DecisionQuestion } from '../types.ts';

export interface Option {
  value: string | boolean | number;
  name: string;
  description: string | undefined;
}

export interface Question {
  type: DecisionQuestion['type'];
  name: string | null;
  instructions: string;
  /** Of a predicate yes and no; of a score the levels, the lowest first. */
  options: readonly Option[];
  adapters: readonly AdapterUse[];
  /** Undefined: what comes with the adapter. */
  temperature: number | undefined;
}

/** A question as the model reads it, with its options in one order. */
export interface Reading {
  text: string;
  /** Of each option, in the question's order, the ways to write its label. */
  spellings: readonly (readonly string[])[];
}

/** Orders of choices that are told apart by letters, at most. */
export const MOST_PERMUTATIONS = 16;

const LETTERS = Array.from({ length: 26 }, (_, i) => String.fromCharCode(65 + i));

/** Single letters; of more options a letter and a digit, which tokenizers cut between. */
const lettersOf = (count: number): string[] =>
  count <= LETTERS.length
    ? LETTERS.slice(0, count)
    : Array.from({ length: count }, (_, i) => `${LETTERS[Math.floor(i / 10)]}${i % 10}`);

/**
 * A question in `permutations` orders of its options, or in as many as there are. The texts are those of vLLM
 * (vllm/entrypoints/generate/structured_decisions/question_types.py).
 */
export function readingsOf(question: Question, permutations: number): Reading[] {
  const { type, options } = question;
  if (type === 'choice') {
    const count = Math.min(permutations, options.length);
    return Array.from({ length: count }, (_, i) => choiceReading(question, Math.floor((i * options.length) / count)));
  }
  // The labels mean something: only the order in which they are told turns round.
  const isTold = type === 'score' || options.every(({ description }) => description !== undefined);
  const both = [false, true].slice(0, isTold ? permutations : 1);
  return both.map((isTurned) => (type === 'score' ? scoreReading : predicateReading)(question, isTurned));
}

/** The options from `first` on, and then those before it. */
function choiceReading({ instructions, options }: Question, first: number): Reading {
  const letters = lettersOf(options.length);
  const labels = options.map((_, i) => letters[(i - first + options.length) % options.length] as string);
  const turned = [...options.slice(first), ...options.slice(0, first)];
  const lines = turned.map((option, i) => line(letters[i] as string, option));
  const what = options.length <= LETTERS.length ? 'letter' : 'label';
  return {
    text: textOf(instructions, lines, `Answer with the ${what} of one option only.`),
    spellings: labels.map((label) => [label]),
  };
}

function predicateReading({ instructions, options }: Question, isTurned: boolean): Reading {
  const lines = options.flatMap(({ name, description }) =>
    description === undefined ? [] : [`${name}: ${description}`],
  );
  const names = options.map(({ name }) => name);
  const [first, second] = isTurned ? names.reverse() : names;
  return {
    text: textOf(instructions, isTurned ? lines.reverse() : lines, `Answer with ${first} or ${second} only.`),
    spellings: [
      ['yes', 'Yes'],
      ['no', 'No'],
    ],
  };
}

function scoreReading({ instructions, options }: Question, isTurned: boolean): Reading {
  const hasDigits = options.length <= 10;
  const labels = hasDigits ? options.map((_, i) => String(i)) : lettersOf(options.length);
  const lines = options.map((option, i) => line(labels[i] as string, option));
  const what = hasDigits ? 'number' : options.length <= LETTERS.length ? 'letter' : 'label';
  return {
    text: textOf(instructions, isTurned ? lines.reverse() : lines, `Answer with the ${what} of one level only.`),
    spellings: labels.map((label) => [label]),
  };
}

const line = (label: string, { name, description }: Option): string =>
  description === undefined ? `${label}: ${name}` : `${label}: ${name} - ${description}`;

const textOf = (instructions: string, lines: readonly string[], ending: string): string =>
  [...(instructions === '' ? [] : [`Question: ${instructions}`]), ...lines, ending].join('\n');
