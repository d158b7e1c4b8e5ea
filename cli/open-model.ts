import type { ModelConfig } from '../src/config/model-config.ts';
import type { LocalEngine } from '../src/engine/engine.ts';
import { openEngine } from '../src/engine/open-engine.ts';
import { inlinePlans } from '../src/engine/plan-service.ts';
import type { AdapterUse } from '../src/engine/types.ts';
import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';
import type { Precision } from '../src/models/kernel-candidates.ts';
import { contextOf } from '../src/session/model-plan.ts';
import type { ByteSource } from '../src/weights/byte-source.ts';
import { readModelConfig } from '../src/weights/model-config.ts';
import { openModelFile } from '../src/weights/open-model-file.ts';
import type { WeightType } from '../src/weights/quantize.ts';
import { choiceFlag, required, wholeFlag } from './flags.ts';
import { buildLadders } from './ranks.ts';
import type { FileSource } from '../src/node/file-source.ts';
import { closeAll, folderOf, openSources } from '../src/node/model-files.ts';
import { openAdapter } from '../src/node/open-adapter.ts';
import { napping, openGpu } from '../src/node/gpu.ts';
import { tuningStore } from '../src/node/cache-folder.ts';
import { openGrammars } from '../src/grammar/open-grammars.ts';

const PRECISIONS: readonly Precision[] = ['exact', 'fast'];
const WEIGHTS: readonly WeightType[] = ['F16', 'Q8_0', 'Q4_1', 'stored'];

export interface ModelFlags {
  model?: string;
  'draft-model'?: string;
  /** `DIR|FILE[:scale]` each; several are summed. */
  adapter?: string[];
  lora?: string;
  precision?: string;
  'gpu-adapter'?: string;
  'context-length'?: string;
  'memory-limit'?: string;
  weights?: string;
}

/** Requirements of a command. */
export interface ModelNeeds {
  /** Context in tokens, and the flag that sets it; default: `--context-length`. */
  context?: { tokens: number | undefined; flag: string };
  /** Runs before weights are read. Throws `bad_request` for flags that this model cannot honour. */
  check?: (model: Pick<ModelConfig, 'vocabSize'> & { contextLength: number }) => void;
}

/** Opens the model and adapters in the flags, runs `use`, and closes them. */
export async function withModel<T>(
  flags: ModelFlags,
  use: (engine: LocalEngine, adapters: readonly AdapterUse[]) => Promise<T>,
  needs: ModelNeeds = {},
): Promise<T> {
  const model = required('model', flags.model);
  const context = needs.context ?? {
    tokens: wholeFlag('context-length', flags['context-length'], 1),
    flag: 'context-length',
  };
  const memoryLimitBytes = wholeFlag('memory-limit', flags['memory-limit'], 1);
  const lora = choiceFlag('lora', flags.lora, ['fused', 'unfused']);
  const precision = choiceFlag('precision', flags.precision, PRECISIONS);
  const weights = choiceFlag('weights', flags.weights, WEIGHTS);
  const uses = adapterUses(flags.adapter ?? []);
  const sources = await openSources(model);
  const draftSources: FileSource[] = [];
  try {
    if (flags['draft-model'] !== undefined) draftSources.push(...(await openSources(flags['draft-model'])));
    await checkNeeds(sources, context, needs.check);
    const gpu = await openGpu(flags['gpu-adapter']);
    const engine = await openEngine({
      ...{
        gpu,
        sources,
        ...(draftSources.length > 0 && { draftModel: draftSources }),
        contextLength: context.tokens,
        memoryLimitBytes,
        wait: napping,
        openGrammars,
        lora,
        precision,
        weights,
      },
      ...{ buildLadders: buildLadders(await folderOf(model)), plans: inlinePlans, tuning: tuningStore() },
    });
    try {
      return await use(engine, await loadAdapters(engine, uses));
    } finally {
      engine.dispose();
    }
  } finally {
    await closeAll([...sources, ...draftSources]);
  }
}

/** Reads only the model's header. Errors: `bad_request`, naming the flag; `bad_file`, `unsupported` for the model. */
async function checkNeeds(
  sources: readonly ByteSource[],
  { tokens, flag }: Required<ModelNeeds>['context'],
  check: ModelNeeds['check'],
): Promise<void> {
  const config = readModelConfig(await openModelFile(sources));
  if (tokens !== undefined && tokens > config.contextLength) {
    const reason = `asks for a context of ${tokens} tokens, but the model was trained for ${config.contextLength}`;
    throw new ChunkwiseError('bad_request', { field: `--${flag}`, reason });
  }
  check?.({ vocabSize: config.vocabSize, contextLength: contextOf(config, tokens) });
}

/** Parses paths with optional scales; scales of a repeated path add up. Errors: `bad_request`. */
export function adapterUses(flags: readonly string[]): AdapterUse[] {
  const scales = new Map<string, number>();
  for (const flag of flags) {
    const [, path = '', scale = '1'] = /^(.*?)(?::([-+]?[\d.]+(?:e[-+]?\d+)?))?$/i.exec(flag) ?? [];
    if (path === '' || !Number.isFinite(Number(scale))) {
      const reason = `must be a path, or a path and a scale as in adapter:0.5, not ${JSON.stringify(flag)}`;
      throw new ChunkwiseError('bad_request', { field: '--adapter', reason });
    }
    scales.set(path, (scales.get(path) ?? 0) + Number(scale));
  }
  return [...scales].map(([name, scale]) => ({ name, scale }));
}

async function loadAdapters(engine: LocalEngine, uses: readonly AdapterUse[]): Promise<readonly AdapterUse[]> {
  for (const { name: path } of uses) {
    const { source, close } = await openAdapter(path);
    try {
      const { warnings } = await engine.loadAdapter(path, source);
      for (const warning of warnings) process.stderr.write(`chunkwise: ${path}: ${warning}\n`);
    } finally {
      await close();
    }
  }
  return uses;
}
