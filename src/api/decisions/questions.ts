import type { AdapterUse } from '../../engine/types.ts';
import type { DecisionQuestion } from './types.ts';

export interface Option {
  value: string | boolean | number;
  name: string;
  description: string | undefined;
}

export interface Question {
  type: DecisionQuestion['type'];
  name: string | null;
  instructions: string;
  /** A predicate has yes and no; a score has its levels, lowest first. */
  options: readonly Option[];
  adapters: readonly AdapterUse[];
  /** Undefined: the adapter's. */
  temperature: number | undefined;
}

/** A question's prompt, with its options in one order. */
export interface Reading {
  text: string;
  /** The spellings of each option's label, in the question's order. */
  spellings: readonly (readonly string[])[];
}

/** Maximum number of orders of a question's options. */
export const MOST_PERMUTATIONS = 16;

const LETTERS = Array.from({ length: 26 }, (_, i) => String.fromCharCode(65 + i));

/** Single letters; for more options a letter and a digit, which tokenizers split. */
const lettersOf = (count: number): string[] =>
  count <= LETTERS.length
    ? LETTERS.slice(0, count)
    : Array.from({ length: count }, (_, i) => `${LETTERS[Math.floor(i / 10)]}${i % 10}`);

/**
 * Returns a question in `permutations` orders of its options, or in all orders if there are fewer. The texts are vLLM's
 * (vllm/entrypoints/generate/structured_decisions/question_types.py).
 */
export function readingsOf(question: Question, permutations: number): Reading[] {
  const { type, options } = question;
  if (type === 'choice') {
    const count = Math.min(permutations, options.length);
    return Array.from({ length: count }, (_, i) => choiceReading(question, Math.floor((i * options.length) / count)));
  }
  // These labels have a meaning, so only the order in which the prompt lists them reverses.
  const isTold = type === 'score' || options.every(({ description }) => description !== undefined);
  const both = [false, true].slice(0, isTold ? permutations : 1);
  return both.map((isTurned) => (type === 'score' ? scoreReading : predicateReading)(question, isTurned));
}

/** Lists the options from `first` on, then those before it. */
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
