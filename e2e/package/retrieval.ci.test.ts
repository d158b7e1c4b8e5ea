import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { BytesSource } from '../../tests/support/bytes-source.ts';
import { HubServer } from '../../tests/support/hub-server.ts';
import { encoderFolder } from '../../tests/support/models/encoder-folder.ts';
import { DOCUMENTS_TEMPLATE } from '../../tests/support/models/documents-template.ts';
import { CONFIG_FILE, peftWeights, tinyAdapter, WEIGHTS_FILE } from '../../tests/support/models/tiny-adapter.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DEPENDENCIES, installedFolder } from '../support/packed-package.ts';
import { snippetsOf } from '../support/snippets.ts';

const MODEL = tinyModel({
  ...{ architecture: 'granite', type: 'F32', seed: 71, contextLength: 1024 },
  metadata: { 'tokenizer.chat_template': DOCUMENTS_TEMPLATE },
});

/** Whatever the tiny model says, the likelihood lies between these two values. */
const answerability = (likelihoods: [least: number, most: number]): string => `
model: ~
response_format: |
  { "type": "string", "enum": ["answerable", "unanswerable"] }
transformations:
  - { type: likelihood, input_path: [], categories_to_values: { answerable: ${likelihoods[1]}, unanswerable: ${likelihoods[0]} } }
  - { type: nest, input_path: [], field_name: answerability_likelihood }
parameters: { max_completion_tokens: 16 }
`;
const CITATIONS = `
model: ~
response_format: |
  { "type": "array", "minItems": 1, "maxItems": 1, "items": {
      "type": "object", "properties": { "r": { "enum": [0] }, "c": { "enum": [0, 1] } }, "required": ["r", "c"], "additionalProperties": false } }
transformations:
  - { type: decode_sentences, source: last_message, input_path: [~, r], output_names: { begin: response_begin, end: response_end, text: response_text } }
  - { type: decode_sentences, source: documents, input_path: [~, c], output_names: { document_id: citation_doc_id, begin: citation_begin, end: citation_end, text: citation_text } }
  - { type: project, input_path: [], retained_fields: [response_text, citation_text] }
sentence_boundaries: { last_message: r, documents: c }
`;

const [EXAMPLE] = snippetsOf('docs/guide/retrieval.md');
const CODE = EXAMPLE?.code ?? '';

/** A WordPiece tokenizer with the example's words in place of parts of words, so that its texts fit the tiny models. */
function withWords(tokenizer: Record<string, unknown>): Record<string, unknown> {
  const texts = CODE.slice(0, CODE.indexOf('createEngine({'));
  const { vocab, ...model } = tokenizer['model'] as { vocab: Record<string, number> };
  const words = [...new Set(texts.toLowerCase().match(/[a-z]{2,}/g))].filter((word) => !(word in vocab));
  const own = Object.entries(vocab).map(([piece, id]) => [
    piece.startsWith('##') ? (words.shift() ?? piece) : piece,
    id,
  ]);
  return { ...tokenizer, model: { ...model, vocab: Object.fromEntries(own) as Record<string, number> } };
}

/** The files of the example's models, by repository. */
const repositories = async (): Promise<Record<string, Record<string, Uint8Array>>> => ({
  'sentence-transformers/all-MiniLM-L6-v2': await filesOf(encoderFolder({ 'tokenizer.json': withWords }, 'bert')),
  'cross-encoder/ms-marco-MiniLM-L6-v2': await filesOf(encoderFolder({ 'tokenizer.json': withWords }, 'cross')),
  'ibm-granite/granite-4.1-3b': { 'granite-4.1-3b-F32.gguf': MODEL },
});
const LIBRARY = 'ibm-granite/granitelib-rag-r1.0';

async function filesOf(sources: readonly BytesSource[]): Promise<Record<string, Uint8Array>> {
  const read = sources.map(async (source) => [source.name, await source.read(0, source.size)] as const);
  return Object.fromEntries(await Promise.all(read));
}

let folder: string;
const hubs: HubServer[] = [];
beforeAll(async () => {
  folder = await installedFolder([...DEPENDENCIES, 'webgpu']);
  for (const [repo, files] of Object.entries(await repositories())) hubs.push(await HubServer.start(repo, files));
  const { outputText } = ts.transpileModule(CODE, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  writeFileSync(join(folder, 'example.mjs'), outputText);
});
afterAll(async () => {
  await Promise.all(hubs.map((hub) => hub.close()));
  rmSync(folder, { recursive: true });
});

/** The lines that the example prints with a library whose answerability lies between these values. */
async function printed(likelihoods: [number, number]): Promise<string[]> {
  const adapter = tinyAdapter(readModelConfig(await openGguf([new BytesSource('tiny.gguf', MODEL)])), { seed: 3 });
  const files = Object.entries({ answerability: answerability(likelihoods), citations: CITATIONS }).flatMap(
    ([name, text]) => [
      [`${name}/granite-4.1-3b/lora/${CONFIG_FILE}`, new TextEncoder().encode(JSON.stringify(adapter.config))],
      [`${name}/granite-4.1-3b/lora/${WEIGHTS_FILE}`, peftWeights(adapter)],
      [`${name}/granite-4.1-3b/lora/io.yaml`, new TextEncoder().encode(text)],
    ],
  ) as [string, Uint8Array][];
  const library = await HubServer.start(LIBRARY, Object.fromEntries(files));
  const endpoints = Object.fromEntries([...hubs, library].map(({ repo, endpoint }) => [repo, endpoint]));
  // The example's repositories, served here instead of by the hub.
  const script = `
    const endpoints = ${JSON.stringify(endpoints)};
    const load = globalThis.fetch;
    globalThis.fetch = (address, init) => {
      const { href, origin, pathname } = new URL(address);
      if (origin !== 'https://huggingface.co') return load(address, init);
      const repo = Object.keys(endpoints).find((name) => pathname.includes('/' + name + '/'));
      if (repo === undefined) throw new Error(href);
      return load(href.replace(origin, endpoints[repo]), init);
    };
    await import('./example.mjs');`;
  writeFileSync(join(folder, 'run.mjs'), script);
  const env = { ...process.env, CHUNKWISE_CACHE: join(folder, `cache-${likelihoods.join('-')}`) };
  const { stdout } = await promisify(execFile)('node', ['run.mjs'], { cwd: folder, env });
  await library.close();
  return stdout.trimEnd().split('\n');
}

it('the example of the guide retrieves, reranks, answers and cites, and ends by itself', async () => {
  const lines = await printed([0.8, 0.9]);
  const cited = lines.at(-1)?.split(' ← ').at(-1)?.trim();
  expect(cited).toMatch(/\.$/);
  expect(CODE).toContain(cited);
  expect(lines.length).toBeGreaterThan(1);
});

it('it does not answer what the documents do not say', async () => {
  expect(await printed([0.1, 0.2])).toEqual(['The documents do not say.']);
});
