import { openSession } from '../session/open-session.ts';
import type { Session } from '../session/session.ts';
import { checkSameTokens } from '../session/speculation/same-tokens.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import { readModelConfig } from '../weights/model-config.ts';
import type { ModelHeader } from '../weights/model-header.ts';
import { openModelFile } from '../weights/open-model-file.ts';
import { isSafetensors } from '../weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../weights/tokenizer-metadata.ts';
import type { EngineCoreOptions } from './types.ts';

/** Brings a model to a device, and its draft model, if any, to another; else its own draft head, if any, to the same. Errors: those of `openEngine`. */
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

/** Refuses what cannot draft, by headers alone. Errors: `unsupported`, and those of reading them. */
export async function checkDraftModel(sources: readonly ByteSource[], model: ModelHeader): Promise<ModelHeader> {
  const draft = await openModelFile(sources);
  checkSameTokens(readTokenizerMetadata(draft), readTokenizerMetadata(model));
  return draft;
}

/** Where its device is lost it is given up: answers go on without. */
function openDraftModel(header: ModelHeader, session: Session, options: EngineCoreOptions): Promise<Session> {
  const { plan } = session;
  const { memoryLimitBytes } = options;
  return openSession({
    ...options,
    contextLength: Math.min(plan.contextLength, readModelConfig(header).contextLength),
    ...(memoryLimitBytes !== undefined && { memoryLimitBytes: Math.max(0, memoryLimitBytes - plan.totalBytes) }),
    header: isSafetensors(options.sources) ? undefined : header, // what those become is not decided
    onDeviceLost: () => {
      session.draftModel?.close();
      session.draftModel = undefined;
    },
    onTrace: undefined,
  });
}
