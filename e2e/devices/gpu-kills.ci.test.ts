import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { beforeAll, describe, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { CONFIG_FILE, peftWeights, tinyAdapter, WEIGHTS_FILE } from '../../tests/support/models/tiny-adapter.ts';
import { BytesSource } from '../../tests/support/bytes-source.ts';
import { PIECE_BYTES } from '../../src/downloads/file-download.ts';
import { arm, type Moment } from '../support/gpu-killer.ts';
import { openForKills, piecesModel } from '../support/open-for-kills.ts';
import { importPackage } from '../support/package-page.ts';

declare global {
  /** Progress of loading a model. */
  var phases: string[];
}

/** `npm run kills -- N` runs every case N times. */
const ROUNDS = Number(process.env['CHUNKWISE_KILLS'] ?? 1);
const FILE = 'kills.gguf';
const MODEL = piecesModel({ numLayers: 2, intermediateSize: 2048, contextLength: 512 });

const opened = openForKills(FILE, MODEL);

beforeAll(async () => {
  const folder = join(opened.server.adapters, 'poet');
  mkdirSync(folder);
  const adapter = tinyAdapter(readModelConfig(await openGguf([new BytesSource(FILE, MODEL)])), {
    seed: 3,
    targets: ['down_proj'],
    gain: 2,
  });
  writeFileSync(join(folder, CONFIG_FILE), JSON.stringify(adapter.config));
  writeFileSync(join(folder, WEIGHTS_FILE), peftWeights(adapter));
});

type Deed = 'create' | 'ask' | 'prompt' | 'trial' | 'story' | 'adapter' | 'save' | 'load' | 'embed';
interface Done {
  /** Code of the error. */
  code?: string;
  value?: unknown;
  tokens: number;
}

/** Runs one operation on the page's engine and returns its result. */
const run = (page: Page, deed: Deed): Promise<Done> =>
  page.evaluate(
    async ([deed, url]) => {
      const { chunkwise, engine } = globalThis;
      let tokens = 0;
      const answer = async (request: Omit<Chunkwise.CompletionRequest, 'stream'>): Promise<string | undefined> => {
        const remove = engine.on('token', () => tokens++);
        const whole = await engine.completions
          .create({ max_tokens: 6, temperature: 0, ...request, stream: false })
          .finally(remove);
        return whole.choices[0]?.text;
      };
      const deeds: Record<Deed, () => Promise<unknown>> = {
        create: async () => {
          globalThis.phases = [];
          const onProgress = ({ phase, bytes }: Chunkwise.LoadProgress): void =>
            void globalThis.phases.push(bytes > 0 ? phase : `${phase} begins`);
          globalThis.engine = await chunkwise.createEngine({ model: url, contextLength: 512, onProgress });
        },
        ask: () => answer({ prompt: 'One two' }),
        prompt: () => answer({ prompt: 'Nothing stirs on the hill, but '.repeat(12) }),
        trial: () => answer({ prompt: 'The wind blows over the sea, and '.repeat(12), kv: 'policy' }),
        story: () => answer({ prompt: 'Once', max_tokens: 40 }),
        adapter: async () => {
          await engine.adapters.load('poet', 'adapters/poet/');
          const text = await answer({ prompt: 'One two', adapter: 'poet', ranks: 'uniform' });
          await engine.adapters.unload('poet');
          return text;
        },
        save: () => engine.saveCache('text'),
        load: () => engine.loadCache('text'),
        embed: async () => (await engine.embeddings.create({ input: 'Seven winds' })).data[0]?.embedding,
      };
      try {
        return { value: await deeds[deed](), tokens };
      } catch (error) {
        return { code: (error as Chunkwise.ChunkwiseError).code ?? String(error), tokens };
      }
    },
    [deed, opened.modelUrl] as const,
  );

describe.each(Array.from({ length: ROUNDS }, (_, i) => i + 1))('round %i: the GPU process ends', () => {
  let page: Page;
  /** Answers before any failure, to texts that are not in the prefix cache. */
  let right: Partial<Record<Deed, Done>>;
  beforeAll(async () => {
    opened.hub.forget();
    page = await (await opened.browser.newContext()).newPage();
    await opened.killer.prepare(page);
    await importPackage(page, opened.server);
    return () => page.context().close();
  });

  it('during the download, which goes on; the device is opened anew', async () => {
    const { held, release } = opened.hub.holdEnd(PIECE_BYTES);
    const creating = run(page, 'create');
    await held;
    await page.waitForFunction(() => globalThis.phases.at(-1) === 'download');
    const { kills } = opened.killer;
    await opened.killer.kill();
    release();
    expect(await creating).toEqual({ tokens: 0 });
    expect(opened.killer.kills).toBe(kills + 1);
    const phases = await page.evaluate(() => globalThis.phases);
    expect(phases.indexOf('upload')).toBeGreaterThan(phases.lastIndexOf('download'));
    right = { ask: await run(page, 'ask'), prompt: await run(page, 'prompt'), trial: await run(page, 'trial') };
    for (const { value, tokens } of Object.values(right))
      expect([value, tokens]).toEqual([expect.stringMatching(/./), 6]);
  });

  it.each<[string, Moment, string]>([
    ['the upload', { call: 'createBuffer', label: 'blk.1.' }, 'upload'],
    ['compiling', { call: 'createComputePipelineAsync', label: 'sample' }, 'compile begins'],
  ])('during %s: the next engine is right', async (_, moment, phase) => {
    await page.evaluate(async (moment) => {
      await globalThis.engine.dispose();
      globalThis.armedAtStart = moment;
    }, moment);
    const { kills } = opened.killer;
    let reached: string | undefined;
    opened.killer.before = async () => void (reached = await page.evaluate(() => globalThis.phases.at(-1)));
    const done = await run(page, 'create');
    opened.killer.before = async () => undefined;
    expect([done.code, reached, opened.killer.kills]).toEqual(['device_lost', phase, kills + 1]);
    await page.evaluate(() => void (globalThis.armedAtStart = undefined));
    expect(await run(page, 'create')).toEqual({ tokens: 0 });
    expect(await run(page, 'ask')).toEqual(right.ask);
  });

  it.each<[string, Deed, Moment, tokens?: [least: number, most: number]]>([
    ['prefill', 'prompt', { call: 'submit' }, [0, 0]],
    ['decoding', 'story', { call: 'mapAsync', label: 'sampled', count: 8 }, [2, 7]],
    ['saving', 'save', { call: 'createBuffer', label: 'saved pages', count: 2 }],
    ['loading', 'load', { call: 'writeBuffer' }],
    ['embedding', 'embed', { call: 'createBuffer', label: 'states' }],
    ['a page’s trial', 'trial', { call: 'mapAsync', label: 'page errors' }],
    ['an adapter’s load', 'adapter', { call: 'createBuffer', label: 'adapters' }],
  ])('during %s: `device_lost`, and the next request is right', async (_, deed, moment, [least, most] = [0, 6]) => {
    expect(await run(page, 'ask')).toEqual(right.ask); // now there is a cache to save
    right[deed] ??= await run(page, deed);
    await arm(page, moment);
    const { kills } = opened.killer;
    const done = await run(page, deed);
    expect([done.code, opened.killer.kills]).toEqual(['device_lost', kills + 1]);
    expect(done.tokens).toBeGreaterThanOrEqual(least);
    expect(done.tokens).toBeLessThanOrEqual(most);
    expect(await run(page, 'ask')).toEqual(right.ask);
    expect(await run(page, deed)).toEqual(right[deed]);
  });
});
