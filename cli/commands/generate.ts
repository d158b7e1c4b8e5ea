import { readFile } from 'node:fs/promises';
import { addMemory, type MemoryReport } from '../../src/gpu/buffers.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { GenerateEvent } from '../../src/engine/types.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { guessSyntax, type ResponseFormat } from '../../src/grammar/response-format.ts';
import { GENERATE_FLAGS, kvOptions } from '../command-flags.ts';
import { numberFlag, parseFlags, refuse, refuseFlags, required, wholeFlag } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';

/**
 * `generate`: answers one prompt; greedy unless a temperature is given. Without `--json` the answer streams to stdout,
 * and everything else goes to stderr.
 */
export async function generate(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, GENERATE_FLAGS);
  const prompt = required('prompt', values.prompt);
  if (!values.speculate) refuseFlags(values, ['draft-model'], 'is only allowed with --speculate');
  const topP = numberFlag('top-p', values['top-p'], 0, 1) ?? 1;
  if (topP === 0) refuse('--top-p', 'must be above 0');
  const recorder = new PlanRecorder();
  const responseFormat = await readFormat(values);
  const options = {
    maxTokens: wholeFlag('max-tokens', values['max-tokens'], 1),
    sampling: {
      ...GREEDY,
      temperature: numberFlag('temperature', values.temperature, 0, 100) ?? 0,
      topK: wholeFlag('top-k', values['top-k']) ?? 0,
      topP,
      minP: numberFlag('min-p', values['min-p'], 0, 1) ?? 0,
      seed: wholeFlag('seed', values.seed, 0, 2 ** 32 - 1) ?? 0,
    },
    stop: [],
    ...(responseFormat && { responseFormat }),
    speculate: values.speculate ?? false,
    ...kvOptions(values),
    ...(await rankOptions(values)),
    onPlan: recorder.add,
  };
  return withModel(values, async (engine, adapters) => {
    const events = values.chat
      ? engine.chat([{ role: 'user', content: prompt }], { ...options, adapters })
      : engine.complete(prompt, { ...options, adapters });
    const tokens: number[] = [];
    const session = await engine.session();
    const buffers = session.devices.map((device) => device.buffers);
    let memory: MemoryReport = engine.memory();
    let text = '';
    let end: Extract<GenerateEvent, { type: 'end' }> | undefined;
    for (const each of buffers) each.watchPeak();
    for await (const event of events) {
      text += event.text;
      if (!values.json) process.stdout.write(event.text);
      if (event.type === 'token') {
        tokens.push(event.token);
        memory = session.memory(); // read before the sequence's pages are freed
      } else end = event;
    }
    if (!end) throw new Error('generation ended without a final event');
    await recorder.save(values['save-plan']);
    const { finishReason, report, usage } = end;
    const json = {
      text,
      tokens,
      finishReason,
      ...report,
      memory,
      memoryPeak: addMemory(...buffers.map(({ peak }) => peak)),
      device: engine.device,
      usage,
    };
    const { ttftMs, msPerToken, tokensPerSecond } = report;
    const speed = `${tokensPerSecond.toFixed(1)} tokens/s, ${msPerToken.median.toFixed(1)} ms a token`;
    return {
      json,
      text: '', // streamed already
      report: `[${tokens.length} tokens, first after ${ttftMs.toFixed(0)} ms, ${speed}, ${engine.device}]`,
    };
  });
}

/** Constraint of the answer from the files in the flags. Errors: `bad_request`. */
async function readFormat(flags: { 'json-schema'?: string; grammar?: string }): Promise<ResponseFormat | undefined> {
  const { 'json-schema': schema, grammar } = flags;
  const bad = (flag: string, cause: unknown): ChunkwiseError =>
    new ChunkwiseError('bad_request', { field: flag, reason: String(cause) }, { cause });
  if (schema !== undefined && grammar !== undefined) throw bad('--grammar', 'cannot be combined with --json-schema');
  try {
    if (schema !== undefined)
      return { type: 'json_schema', schema: JSON.parse(await readFile(schema, 'utf8')) as unknown };
    if (grammar === undefined) return undefined;
    const text = await readFile(grammar, 'utf8');
    return { type: 'grammar', grammar: text, syntax: guessSyntax(text) };
  } catch (cause) {
    throw bad(schema === undefined ? '--grammar' : '--json-schema', cause);
  }
}
