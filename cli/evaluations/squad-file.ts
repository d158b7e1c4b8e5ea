import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { readText } from '../flags.ts';

export interface Question {
  id: string;
  context: string;
  question: string;
  answers: string[];
}

/** Prompt of a question. */
export interface SquadPrompt {
  /** Contains `{context}` and `{question}`. */
  template: string;
  maxTokens: number;
}

/** Articles at the file's end; adapters train on the others. */
export const HELD_OUT_ARTICLES = 12;

/** Questions of the last `articles` articles of a file in SQuAD 1.1's format. Errors: `bad_file`. */
export async function readSquad(file: string, articles: number): Promise<Question[]> {
  const bad = (reason: string, cause?: unknown) =>
    new ChunkwiseError('bad_file', { file, field: 'data', reason }, { cause });
  const text = await readText(file);
  try {
    const { data } = JSON.parse(text) as { data: SquadArticle[] };
    const questions = data.slice(-articles).flatMap(({ paragraphs }) =>
      paragraphs.flatMap(({ context, qas }) =>
        qas.map(({ id, question, answers }) => ({
          id,
          context,
          question,
          answers: answers.map((answer) => answer.text),
        })),
      ),
    );
    if (questions.length === 0) throw bad('no questions');
    return questions;
  } catch (cause) {
    throw cause instanceof ChunkwiseError ? cause : bad("is not in SQuAD 1.1's format", cause);
  }
}

interface SquadArticle {
  paragraphs: { context: string; qas: { id: string; question: string; answers: { text: string }[] }[] }[];
}

const DEFAULT_PROMPT = fileURLToPath(new URL('../../demo/public/adapters/squad/prompt.json', import.meta.url));

/**
 * The prompt that an adapter was trained with, from its folder; else the demonstration adapter's. Errors: `bad_file`.
 */
export async function readPrompt(adapterFolder: string | undefined): Promise<SquadPrompt> {
  const own = adapterFolder === undefined ? undefined : join(adapterFolder, 'prompt.json');
  const hasOwn =
    own !== undefined &&
    (await readFile(own).then(
      () => true,
      () => false,
    ));
  const file = hasOwn ? own : DEFAULT_PROMPT;
  const { template, maxTokens } = JSON.parse(await readText(file)) as Partial<SquadPrompt>;
  if (typeof template === 'string' && typeof maxTokens === 'number') return { template, maxTokens };
  throw new ChunkwiseError('bad_file', { file, field: 'template', reason: 'needs a template and maxTokens' });
}

export const fillIn = ({ template }: SquadPrompt, { context, question }: Question): string =>
  template.replace('{context}', () => context).replace('{question}', () => question);
