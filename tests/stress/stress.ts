import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { openGrammars } from '../../src/grammar/open-grammars.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { ADAPTERS_HERE } from '../support/adapters/adapters-here.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { answer } from '../support/answer.ts';
import { fixedMemory } from '../support/fixed-memory.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { type Answered, embeddingFaults, faultsOf, outcomeOf } from './compare.ts';
import { type Asked, type Beside, randomRound, type Reader } from './random-round.ts';

/** The shape that most tests use, so that its kernels compile once. */
const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 7, neverEnds: true });
/** An f16 page of one layer. */
const PAGE_BYTES = 16384;
/** Short, so that nothing waits long for readers that stay away. A reader that reads on at once never times out. */
const READ_TIMEOUT_MS = 30;

const turns = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise(setImmediate);
};

/** An engine with concurrent requests, and one with the same requests one by one. */
export class Stress {
  /** Number of answers per outcome. */
  readonly outcomes: Record<string, number> = {};
  #isSpareLoaded = false;
  #atRest: unknown;

  private constructor(
    readonly engine: LocalEngine,
    readonly alone: LocalEngine,
    private readonly adapter: (seed: number, rank: number) => ReturnType<typeof peftSource>,
  ) {}

  static async open(): Promise<Stress> {
    const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', MODEL)]));
    const open = (): Promise<LocalEngine> =>
      openEngine({
        ...{ gpu: nodeGpu(), wait: napping, openGrammars, queueLimit: 100, readTimeoutMs: READ_TIMEOUT_MS },
        ...{ sources: [new BytesSource('tiny.gguf', MODEL)], savedCaches: new MemoryStore(), ...ADAPTERS_HERE },
      });
    const stress = new Stress(await open(), await open(), (seed, rank) =>
      peftSource(tinyAdapter(config, { seed, rank, gain: 0.3 })),
    );
    for (const engine of [stress.engine, stress.alone]) {
      await engine.loadAdapter('a', stress.adapter(1, 4));
      await engine.loadAdapter('b', stress.adapter(2, 9));
    }
    // Forced text is verified like a draft. The buffers of that come with the first draft: now, not in a later round.
    const responseFormat = { type: 'json_schema', schema: { const: 'A draft of forced text.' } } as const;
    const options = { sampling: GREEDY, stop: [], maxTokens: 24, responseFormat };
    const { end } = await answer(stress.engine.complete('Begin.', options));
    if (end.report.tokensPerStep <= 1) throw new Error('no draft was verified');
    return stress;
  }

  /** Runs a round concurrently, then each answer and embedding again alone. Returns the differences. */
  async round(seed: number): Promise<string[]> {
    const { asked, beside } = randomRound(seed);
    const reading = (away: boolean) =>
      asked.flatMap((each, i) => ((each.reader.does === 'stay away') === away ? [{ each, i }] : []));
    const got: Answered[][] = [];
    const ask = async ({ each, i }: { each: Asked; i: number }): Promise<void> => {
      got[i] = await this.#answers(each, present);
    };
    let present: Promise<unknown> = Promise.resolve();
    const others = beside.map((each) => this.#beside(each));
    present = Promise.allSettled([...reading(false).map(ask), ...others]);
    await Promise.all([...reading(true).map(ask), present]);
    const faults = (await Promise.all(others)).flat();
    for (const [i, each] of asked.entries()) {
      const want = await this.#answerAlone(each);
      for (const answered of got[i] ?? []) {
        faults.push(...faultsOf(each, answered, want, this.engine.tokenizer));
        const outcome = outcomeOf(answered);
        this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
      }
    }
    return faults.map((fault) => `round ${seed}: ${fault}`);
  }

  /** Memory that is held without a user. */
  async memoryFaults(): Promise<string[]> {
    if (this.#isSpareLoaded) await this.#toggleSpare();
    const { engine } = this;
    const faults = await engine.alone(async ({ sequences, transformer: { cache } }) => {
      sequences.makeRoom(cache.numPages);
      cache.shrink();
      const pages =
        cache.freePages === cache.numPages ? [] : [`${cache.numPages - cache.freePages} pages are nobody's`];
      // An empty layer keeps at most its spare pages and the pages not worth packing: two each.
      const large = cache.layers
        .filter(({ buffer }) => buffer.size > 4 * PAGE_BYTES)
        .map(({ buffer }) => `${buffer.label} has ${buffer.size} bytes`);
      return [...pages, ...large];
    });
    const now = JSON.stringify(fixedMemory(engine.memory()));
    this.#atRest ??= now;
    if (now !== this.#atRest) faults.push(`memory was ${String(this.#atRest)}, is ${now}`);
    return faults;
  }

  dispose(): void {
    this.engine.dispose();
    this.alone.dispose();
  }

  async #answers(asked: Asked, others: Promise<unknown>): Promise<Answered[]> {
    await turns(asked.delay);
    let further: Promise<Answered[]> | undefined;
    const isMore = { ...asked, options: { ...asked.options, isFurther: true } };
    const begun = (): void => {
      further ??= Promise.all(Array.from({ length: asked.count - 1 }, () => readAnswer(this.engine, isMore, others)));
    };
    const first = await readAnswer(this.engine, asked, others, begun);
    return [first, ...((await further) ?? [])];
  }

  async #answerAlone({ prompt, options }: Asked): Promise<Answered> {
    await this.#forget();
    const all = {
      prompt,
      count: 1,
      reader: { does: 'read' } as const,
      delay: 0,
      options: { ...options, topLogprobs: 20 },
    };
    return readAnswer(this.alone, all, Promise.resolve());
  }

  #forget(): Promise<void> {
    return this.alone.alone(async ({ sequences, transformer }) => sequences.makeRoom(transformer.cache.numPages));
  }

  async #beside({ delay, ...beside }: Beside & { delay: number }): Promise<string[]> {
    await turns(delay);
    try {
      if (beside.does === 'embed') return await this.#embed(beside);
      if (beside.does === 'load or unload') await this.#toggleSpare();
      else if (beside.does === 'save') await this.engine.savedCaches.save(beside.name);
      else await this.engine.savedCaches.load(beside.name);
      return [];
    } catch (error) {
      // Nothing is computed or saved yet, or saving is unsupported.
      const isExpected = error instanceof ChunkwiseError && ['bad_request', 'unsupported'].includes(error.code);
      return isExpected ? [] : [`${beside.does}: ${String(error)}`];
    }
  }

  async #embed({ texts, adapters = [] }: Extract<Beside, { does: 'embed' }>): Promise<string[]> {
    const vectors = async (engine: LocalEngine): Promise<Float32Array[]> => {
      const all: Float32Array[] = [];
      for await (const { vector } of engine.embed(texts, { adapters })) all.push(vector);
      return all;
    };
    const got = await vectors(this.engine);
    return embeddingFaults(got, await vectors(this.alone));
  }

  async #toggleSpare(): Promise<void> {
    if (this.#isSpareLoaded) this.engine.unloadAdapter('spare');
    else await this.engine.loadAdapter('spare', this.adapter(3, 16));
    this.#isSpareLoaded = !this.#isSpareLoaded;
  }
}

/** `others` settles once no other reader is left. `begun` is called at the first token. */
async function readAnswer(
  engine: LocalEngine,
  { prompt, options, reader }: Asked,
  others: Promise<unknown>,
  begun?: () => void,
): Promise<Answered> {
  const controller = new AbortController();
  const answered: Answered = { tokens: [], logprobs: [], text: '' };
  if (reader.does === 'abort early') void turns(reader.after).then(() => controller.abort());
  try {
    for await (const event of engine.complete(prompt, { ...options, signal: controller.signal })) {
      answered.text += event.text;
      if (event.type === 'end') return { ...answered, end: event };
      begun?.();
      answered.tokens.push(event.token);
      answered.logprobs.push(event.logprobs);
      if (isAt(reader, answered.tokens.length)) {
        if (reader.does === 'leave') return answered;
        if (reader.does === 'abort') controller.abort();
        else await others;
      }
    }
    throw new Error('the answer has no end');
  } catch (error) {
    return { ...answered, error };
  }
}

const isAt = (reader: Reader, tokens: number): boolean =>
  'after' in reader && reader.does !== 'abort early' && reader.after === tokens;
