import { type AdapterModules, readAdapter } from '../../src/adapters/adapter-file.ts';
import { ranksByRule } from '../../src/adapters/level-ranks.ts';
import type { Chunk, ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { Planner } from '../../src/chunking/planner.ts';
import { settingsOf } from '../../src/engine/adapters.ts';
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { openModelFile } from '../../src/weights/open-model-file.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { PLAN_FLAGS } from '../command-flags.ts';
import { parseFlags, readText, required } from '../flags.ts';
import { buildLadders, rankOptions, writePlan } from '../ranks.ts';
import { closeAll, folderOf, openSources } from '../../src/node/model-files.ts';
import { openAdapter } from '../../src/node/open-adapter.ts';
import type { Output } from '../output.ts';

/**
 * `plan`: a text file's chunks and levels, and with an adapter their ranks; needs no GPU. With `--stream` chunks print
 * as soon as they are known.
 */
export async function plan(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, PLAN_FLAGS);
  const text = await readText(required('text', values.text));
  const model = required('model', values.model);
  const settings = settingsOf(await rankOptions(values));
  const { tokenizer, adapter } = await readModel(model, values.adapter);
  const folder = await folderOf(model);
  const ladderOf = async (levels: ChunkPlan['levels']) =>
    adapter && ranksByRule((await buildLadders(folder)(adapter)).modules, levels).meanRanks;
  const planner = new Planner({
    ...settings,
    vocabulary: { size: tokenizer.vocabSize, text: (token) => tokenizer.decode([token]) },
    ladder: await ladderOf(settings.levels ?? null),
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
  await writePlan(values['save-plan'], result);
  const ladder = (await ladderOf(result.levels)) ?? result.ladder;
  return { json: toJson(result, ladder), text: result.chunks.slice(printed).map(line).join('\n') };
}

async function readModel(
  path: string,
  adapterPath: string | undefined,
): Promise<{ tokenizer: Tokenizer; adapter: AdapterModules | undefined }> {
  const sources = await openSources(path);
  const { source, close } = adapterPath === undefined ? {} : await openAdapter(adapterPath);
  try {
    const file = await openModelFile(sources);
    const tokenizer = createTokenizer(readTokenizerMetadata(file));
    return { tokenizer, adapter: source && (await readAdapter(source, { config: readModelConfig(file) })) };
  } finally {
    await Promise.all([closeAll(sources), close?.()]);
  }
}

/** Without an adapter there are levels but no ranks. */
function toJson({ tokens, complexity, chunks, table }: ChunkPlan, ladder: readonly number[] | null): object {
  return {
    tokens,
    complexity,
    chunks: chunks.map((chunk) => ({ ...chunk, meanRank: ladder?.[chunk.level] ?? null })),
    ladder,
    ramps: table,
  };
}
