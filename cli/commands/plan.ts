import { readFile, writeFile } from 'node:fs/promises';
import type { Chunk, ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { savePlan } from '../../src/chunking/plan-file.ts';
import { Planner } from '../../src/chunking/planner.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import type { Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openGguf } from '../../src/weights/gguf-split.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { parseFlags, required } from '../flags.ts';
import type { Output } from '../output.ts';
import { openSources } from '../open-model.ts';

const FLAGS = {
  model: { type: 'string' },
  text: { type: 'string' },
  stream: { type: 'boolean' },
  'save-plan': { type: 'string' },
  json: { type: 'boolean' },
} as const;

/** `plan`: a text file's chunks and levels; needs no GPU. With `--stream` chunks print as soon as they are known. */
export async function plan(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, FLAGS);
  const path = required('text', values.text);
  const tokenizer = await readTokenizer(required('model', values.model));
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ChunkwiseError('bad_file', { file: path, reason: `cannot be read: ${String(cause)}` }, { cause });
  });
  const planner = new Planner({
    vocabulary: { size: tokenizer.vocabSize, text: (token) => tokenizer.decode([token]) },
  });
  const tokens = tokenizer.encode(text);
  const line = ({ start, end, complexity, level }: Chunk) => {
    const excerpt = JSON.stringify(tokenizer.decode(tokens.slice(start, end)));
    return `${start}–${end}\tcomplexity ${complexity.toFixed(2)}\tlevel ${level}\t${excerpt}`;
  };
  let printed = 0;
  for (const token of tokens) {
    const known = planner.push(token);
    if (!values.stream || values.json) continue;
    for (const chunk of known) process.stdout.write(`${line(chunk)}\n`);
    printed += known.length;
  }
  const result = planner.finish();
  const file = values['save-plan'];
  if (file !== undefined) {
    await writeFile(file, savePlan(result)).catch((cause: unknown) => {
      const reason = `cannot be written: ${String(cause)}`;
      throw new ChunkwiseError('bad_request', { file, field: '--save-plan', reason }, { cause });
    });
  }
  return { json: toJson(result), text: result.chunks.slice(printed).map(line).join('\n') };
}

async function readTokenizer(path: string): Promise<Tokenizer> {
  const sources = await openSources(path);
  try {
    return createTokenizer(readTokenizerMetadata(await openGguf(sources)));
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** No adapter, no ranks: levels are all there is to say. */
function toJson({ tokens, complexity, chunks, table, ladder }: ChunkPlan): object {
  return {
    tokens,
    complexity,
    chunks: chunks.map((chunk) => ({ ...chunk, meanRank: null })),
    ladder,
    ramps: table,
  };
}
