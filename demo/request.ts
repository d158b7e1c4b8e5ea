import type { ChatMessage, CompletionOptions, Engine, GenerationReport, Usage } from '../src/api/index.ts';
import type { ChosenAdapter } from './adapter-picker.ts';
import { kvOptions } from './kv-settings.ts';
import type { Settings } from './settings.ts';

/** A part of an answer, as it comes. */
export interface Piece {
  text: string;
  isCut: boolean;
  /** With the last one. */
  end?: { usage: Usage; report: GenerationReport };
}

/** What is asked: a conversation, or a text to be gone on with. */
export type Asked = { messages: ChatMessage[] } | { prompt: string };

export async function* answerPieces(
  engine: Engine,
  asked: Asked,
  { temperature, topP, maxTokens, ranks, adapterScale, ...cache }: Settings,
  adapter: ChosenAdapter | undefined,
  signal: AbortSignal,
): AsyncGenerator<Piece, void> {
  const options = {
    temperature,
    top_p: topP,
    max_tokens: maxTokens,
    stream: true,
    stream_options: { include_usage: true },
    ...kvOptions(cache),
    ...(adapter && { adapter: [{ name: adapter.name, scale: adapterScale }], ranks }),
  } satisfies CompletionOptions;
  const chunks =
    'messages' in asked
      ? await engine.chat.completions.create({ ...asked, ...options }, { signal })
      : await engine.completions.create({ ...asked, ...options }, { signal });
  for await (const { choices, usage, chunkwise: report } of chunks) {
    const choice = choices[0];
    const text = (choice && ('delta' in choice ? choice.delta.content : choice.text)) ?? '';
    yield { text, isCut: choice?.finish_reason === 'length', ...(usage && report?.answeredBy === 'device' && { end: { usage, report } }) };
  }
}
