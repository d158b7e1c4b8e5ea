import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { openSession } from '../session/open-session.ts';
import type { Session } from '../session/session.ts';
import { checkSameTokens } from '../session/speculation/model-drafts.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { readModelConfig } from '../weights/model-config.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { modelKind, openModelFile } from '../weights/open-model-file.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../weights/tokenizer-metadata.ts';
import { type EncoderEngine, openEncoderEngine } from './encoder-engine.ts';
import { LocalEngine } from './engine.ts';
import type { EngineCoreOptions } from './types.ts';

/** Loads a model. Errors: `no_webgpu`, `bad_file`, `unsupported`, `over_limit`, `aborted`. */
export async function openEngine(options: EngineCoreOptions): Promise<LocalEngine> {
  const open = (): Promise<Session> => openSessionWithDrafts(options);
  const session = await open();
  try {
    return new LocalEngine(options, session, open);
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Loads a model that generates text, or an encoder. Errors: those of `openEngine`. */
export async function openAnyEngine(options: EngineCoreOptions): Promise<LocalEngine | EncoderEngine> {
  const { isEncoder, header } = await modelKind(options.sources);
  if (isEncoder && options.draftModel)
    throw new ChunkwiseError('unsupported', {
      field: 'draftModel',
      reason: 'an encoder gives no answers that could be drafted',
    });
  return (isEncoder ? openEncoderEngine : openEngine)({ ...options, ...(header && { header }) });
}

/**
 * Opens a model, and its draft model on a second device; without one, opens the model's draft head, if any, on the
 * same. Errors: those of `openEngine`.
 */
export async function openSessionWithDrafts({ draftModel, ...options }: EngineCoreOptions): Promise<Session> {
  if (!draftModel) return openSession({ ...options, withDraftHead: true });
  const draft = await checkDraftModel(draftModel, options.header ?? (await openModelFile(options.sources)));
  const session = await openSession(options);
  try {
    session.draftModel = await openDraftModel(draft, session, { ...options, sources: draftModel });
    return session;
  } catch (error) {
    session.close();
    throw error;
  }
}

/** Refuses a draft model by its header alone. Errors: `unsupported`, and those of reading the headers. */
export async function checkDraftModel(sources: readonly ByteSource[], model: ModelHeader): Promise<ModelHeader> {
  const draft = await openModelFile(sources);
  checkSameTokens(readTokenizerMetadata(draft), readTokenizerMetadata(model));
  return draft;
}

/** When the draft model's device is lost, answers continue without it. */
function openDraftModel(header: ModelHeader, session: Session, options: EngineCoreOptions): Promise<Session> {
  const { plan } = session;
  const { memoryLimitBytes } = options;
  return openSession({
    ...options,
    contextLength: Math.min(plan.contextLength, readModelConfig(header).contextLength),
    ...(memoryLimitBytes !== undefined && { memoryLimitBytes: Math.max(0, memoryLimitBytes - plan.totalBytes) }),
    header: isSafetensors(options.sources) ? undefined : header, // the weight type of safetensors is not decided yet
    onDeviceLost: () => {
      session.draftModel?.close();
      session.draftModel = undefined;
    },
    onTrace: undefined,
  });
}
