import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { modelKind } from '../weights/model-kind.ts';
import { type EncoderEngine, openEncoderEngine } from './encoder-engine.ts';
import { type LocalEngine, openEngine } from './open-engine.ts';
import type { EngineCoreOptions } from './types.ts';

/** Loads whatever model the files hold: one that answers, or one that only embeds. Errors: those of `openEngine`. */
export async function openAnyEngine(options: EngineCoreOptions): Promise<LocalEngine | EncoderEngine> {
  const { isEncoder, header } = await modelKind(options.sources);
  if (isEncoder && options.draftModel)
    throw new ChunkwiseError('unsupported', {
      field: 'draftModel',
      reason: 'an encoder answers nothing, so nothing is drafted',
    });
  return (isEncoder ? openEncoderEngine : openEngine)({ ...options, ...(header && { header }) });
}
