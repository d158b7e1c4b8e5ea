import type { ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { rampTable } from '../../src/chunking/ramps.ts';
import type { EngineTestOptions } from './engine-under-test.ts';
import { engineUnderTest } from './engine-under-test.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftSource, type TinyAdapterOptions, tinyAdapter } from './models/tiny-adapter.ts';
import { BytesSource } from './bytes-source.ts';
import { tinyModel, type TinyModelOptions } from './models/tiny-model.ts';

const EASY = 'The same words again and again. '.repeat(4);
const HARD = 'a1X9 zQ7!k 83-Wv;p0 ~Jq 5#mmK(2 }vU=4 ^tB@6 ';
/** Alternates easy and hard parts, so that its plan has several levels, also with a tiny byte-level tokenizer. */
export const VARIED_TEXT = `${EASY}${HARD}${EASY}Snow fell on the harbour while two clerks argued over maps. ${EASY}`;

export const ADAPTER = { name: 'a', scale: 1 };

/** An engine over a tiny model with adapters loaded as a, b, … */
export async function adaptedEngine(
  adapters: readonly TinyAdapterOptions[] = [{ seed: 21, rank: 16, gain: 0.1 }],
  { model = {}, ...options }: EngineTestOptions & { model?: Partial<TinyModelOptions> } = {},
) {
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 61, contextLength: 1024, ...model });
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
  const engine = await engineUnderTest(bytes, options);
  for (const [i, adapter] of adapters.entries()) {
    await engine.loadAdapter(String.fromCharCode(97 + i), peftSource(tinyAdapter(config, adapter)));
  }
  return engine;
}

/** A plan whose chunks have these levels, each `length` tokens long. */
export function planOf(tokens: readonly number[], levels: readonly number[], rankErrorBudget: number): ChunkPlan {
  const length = Math.ceil(tokens.length / levels.length);
  const chunks = levels.map((level, i) => ({
    ...{ start: i * length, end: Math.min(tokens.length, (i + 1) * length) },
    ...{ complexity: 0.5, level, scale: 1 },
  }));
  return {
    ...{ tokens: [...tokens], complexity: tokens.map(() => 0.5), chunks, ladder: null, levels: { rankErrorBudget } },
    table: rampTable(chunks, { rampWidth: 4, requestScale: 1, placement: 'across' }),
  };
}
