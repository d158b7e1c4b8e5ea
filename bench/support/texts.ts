import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fillIn, HELD_OUT_ARTICLES, type Question, readPrompt, readSquad } from '../../cli/evaluations/squad-file.ts';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { type ChatTurn, renderChat } from '../../src/tokenizer/chat-template.ts';
import type { AdapterName } from './engine.ts';

/** Folder of the evaluation texts, which are not in the repository. */
const DATA = process.env.CHUNKWISE_DATA ?? '../shared/data';

/** Upper bound of the characters per token of a text. */
const CHARACTERS_PER_TOKEN = 10;

/** Exits if the file is missing. */
async function dataFile(...path: string[]): Promise<string> {
  const file = join(DATA, ...path);
  await access(file).catch(() => {
    console.error(`No ${file}: set CHUNKWISE_DATA to the folder of the evaluation texts.`);
    process.exit(1);
  });
  return file;
}

/** Text that the demonstration adapter of this name was not trained on; see tools/train. */
async function heldOut(adapter: 'wikitext' | 'shakespeare'): Promise<string> {
  if (adapter === 'wikitext') return readFile(await dataFile('wikitext-2', 'test.txt'), 'utf8');
  const text = await readFile(await dataFile('tinyshakespeare', 'train.txt'), 'utf8');
  return text.slice(Math.floor((text.length * 9) / 10));
}

/** Questions of articles that the squad adapter was not trained on. */
export const heldOutQuestions = async (): Promise<Question[]> =>
  readSquad(await dataFile('squad', 'squad-dev-subset.json'), HELD_OUT_ARTICLES);

export interface Article {
  title: string;
  paragraphs: { context: string; questions: string[] }[];
}

/** The articles of these questions. */
export async function heldOutArticles(): Promise<Article[]> {
  const file = await dataFile('squad', 'squad-dev-subset.json');
  const { data } = JSON.parse(await readFile(file, 'utf8')) as {
    data: { title: string; paragraphs: { context: string; qas: { question: string }[] }[] }[];
  };
  return data.slice(-HELD_OUT_ARTICLES).map(({ title, paragraphs }) => ({
    title: title.replaceAll('_', ' '),
    paragraphs: paragraphs.map(({ context, qas }) => ({ context, questions: qas.map(({ question }) => question) })),
  }));
}

/** Stride between questions: neighbours share a paragraph. */
const QUESTION_STEP = 20;

/** Answered questions of the held-out articles as chats. */
async function answeredQuestions(metadata: TokenizerMetadata): Promise<string> {
  const questions = await heldOutQuestions();
  return chatsOf(
    metadata,
    questions.filter((_, i) => i % QUESTION_STEP === 0),
  );
}

async function chatsOf(metadata: TokenizerMetadata, questions: readonly Question[]): Promise<string> {
  const prompt = await readPrompt(undefined);
  const chats = questions.map((question): ChatTurn[] => [
    { role: 'user', content: fillIn(prompt, question) },
    { role: 'assistant', content: question.answers[0] ?? '' },
  ]);
  return chats.map((chat) => renderChat(metadata, chat, { addGenerationPrompt: false })).join('');
}

/** This repository's sources, ordered by name. */
async function ownSources(): Promise<string> {
  const root = fileURLToPath(new URL('../../src', import.meta.url));
  const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.ts')).sort();
  return (await Promise.all(files.map((name) => readFile(join(root, name), 'utf8')))).join('\n');
}

/** A chat about each held-out paragraph. */
async function chats(metadata: TokenizerMetadata): Promise<string> {
  const questions = await heldOutQuestions();
  const firsts = questions.filter(({ context }, i) => context !== questions[i - 1]?.context);
  return chatsOf(metadata, firsts);
}

/** Texts that a cache is judged by: the first `count` tokens of each. */
export async function cacheTexts(engine: LocalEngine, count: number): Promise<Record<string, number[]>> {
  const { plan } = await engine.session();
  const texts = {
    wikitext: await heldOut('wikitext'),
    drama: await heldOut('shakespeare'),
    code: await ownSources(),
    chats: await chats(plan.tokenizer),
  };
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [name, firstTokens(engine, text, count, name === 'chats')]),
  );
}

/** `areChats`: from a template, so control tokens are parsed. */
function firstTokens({ tokenizer }: LocalEngine, text: string, count: number, areChats: boolean): number[] {
  return tokenizer
    .encode(text.slice(0, CHARACTERS_PER_TOKEN * count), { addSpecial: false, parseSpecial: areChats })
    .slice(0, count);
}

/** The first `count` tokens of held-out text for a demonstration adapter; at most 3,000 for `squad`. */
export async function heldOutTokens(engine: LocalEngine, adapter: AdapterName, count: number): Promise<number[]> {
  const { plan } = await engine.session();
  const text = adapter === 'squad' ? await answeredQuestions(plan.tokenizer) : await heldOut(adapter);
  return firstTokens(engine, text, count, adapter === 'squad');
}
