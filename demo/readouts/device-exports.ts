import type { ContextSpeeds, DeviceReport, ModelSpeeds } from '../../src/api/index.ts';

const NEW_ISSUE = 'https://github.com/chunkwise/chunkwise/issues/new';
/** Servers refuse longer addresses. */
const MOST_URL = 8000;
const MOST_NAME = 200;

/** Speeds of a device with one model at one context length, for tables of several runtimes. Missing figures are null. */
export interface FigureRow {
  runtime: 'chunkwise';
  /** `YYYY-MM-DD` */
  date: string;
  device: string;
  /** Browser with its version, or Node. */
  browser: string;
  /** System of a user agent, such as `darwin`. */
  platform: string;
  model: string;
  weightBytes: number;
  /** Cached tokens. */
  context: number;
  /** A random adapter on every linear, or none. */
  adapter: 'none' | 'rank 16';
  decodeTokensPerSecond: number | null;
  prefillTokensPerSecond: number | null;
  /** For a prompt of 256 tokens, without an adapter. */
  firstTokenMs: number | null;
}

/** All speeds of a report, a row each. */
export function figureRows({ date, device, host, models }: DeviceReport): FigureRow[] {
  return models.flatMap(({ name, weightBytes, firstTokenMs, speeds }) =>
    speeds.map((speed) => ({
      ...{
        runtime: 'chunkwise' as const,
        date,
        device: device.name,
        browser: browserOf(host),
        platform: nameIn(PLATFORMS, host),
      },
      ...{ model: name, weightBytes, context: speed.context, adapter: speed.adapter ? 'rank 16' : 'none' },
      decodeTokensPerSecond: tokensPerSecond(speed.decode),
      prefillTokensPerSecond: tokensPerSecond(speed.prefill),
      firstTokenMs: typeof firstTokenMs === 'number' ? firstTokenMs : null,
    })),
  );
}

/** A test in the form of llama-bench: prefill of `n_prompt` tokens, or decoding of `n_gen`. */
interface BenchTest {
  name: string;
  n_prompt: number;
  n_gen: number;
  /** Nanoseconds of all tokens, and tokens per second. */
  avg_ns: number;
  avg_ts: number;
}

/** A record of webgpu-bench (github.com/abhijitramesh/webgpu-bench: `flattenForDashboard` in site/js/dataset.js). */
export interface WebgpuBenchRecord {
  machine: { slug: string; cpus: string; platform: string; arch: string; totalMemoryGB: number };
  timestamp: string;
  browser: string;
  model: string;
  repo: null;
  /** Weight type, as the model's name has it. */
  variant: string | null;
  filename: string;
  sizeMB: number;
  status: 'done' | 'error';
  error: string | null;
  /** There the build of llama.cpp; here it tells the runtimes apart. */
  buildType: 'chunkwise';
  webgpuAvailable: true;
  metrics: { prefill_tok_s: number | null; decode_tok_s: number | null; tests: BenchTest[] };
}

/** The record of the loaded model without an adapter, at the shortest context; the 1B model with random weights has none. */
export function webgpuBenchRecords(report: DeviceReport): WebgpuBenchRecord[] {
  const { date, device, host } = report;
  const platform = nameIn(PLATFORMS, host);
  return report.models.slice(0, 1).map((model) => {
    const speed = model.speeds.find(({ adapter }) => !adapter);
    const tests = speed ? testsOf(speed) : [];
    return {
      machine: {
        slug: `${device.name} ${platform}`.toLowerCase().replace(/[^a-z0-9]+/g, '-'),
        ...{ cpus: device.name, platform, arch: 'unknown', totalMemoryGB: 0 },
      },
      timestamp: `${date}T00:00:00.000Z`,
      browser: nameIn(ENGINES, host),
      ...{ model: model.name.replace(/\.gguf$/, ''), repo: null, filename: model.name },
      variant: /\b(?:I?Q\d\w*|B?F16|F32)/i.exec(model.name)?.[0] ?? null,
      sizeMB: Math.round(model.weightBytes / 2 ** 20),
      ...(tests.length > 0 ? { status: 'done', error: null } : { status: 'error', error: whyNot(model, speed) }),
      ...{ buildType: 'chunkwise', webgpuAvailable: true },
      metrics: {
        prefill_tok_s: speed ? tokensPerSecond(speed.prefill) : null,
        decode_tok_s: speed ? tokensPerSecond(speed.decode) : null,
        tests,
      },
    };
  });
}

function testsOf({ prefill, decode }: ContextSpeeds): BenchTest[] {
  const test = (name: string, n_prompt: number, n_gen: number, avg_ts: number): BenchTest => ({
    ...{ name: `${name}${n_prompt + n_gen}`, n_prompt, n_gen },
    avg_ns: Math.round(((n_prompt + n_gen) / avg_ts) * 1e9),
    avg_ts,
  });
  return [
    ...('tokensPerSecond' in prefill ? [test('pp', prefill.batchTokens, 0, prefill.tokensPerSecond)] : []),
    ...('tokensPerSecond' in decode ? [test('tg', 0, decode.steps, decode.tokensPerSecond)] : []),
  ];
}

function whyNot({ notMeasured }: ModelSpeeds, speed: ContextSpeeds | undefined): string {
  if (notMeasured !== undefined) return notMeasured;
  return speed && 'notMeasured' in speed.decode ? speed.decode.notMeasured : 'no time was left';
}

const tokensPerSecond = (speed: ContextSpeeds['decode'] | ContextSpeeds['prefill']): number | null =>
  'tokensPerSecond' in speed ? speed.tokensPerSecond : null;

/**
 * The address of a new issue whose form is filled in: with the whole report if the address stays short enough, otherwise
 * with its speeds, or as many of them as fit. At most `MOST_URL` characters.
 */
export function issueLink(report: DeviceReport): string {
  const { device, host } = report;
  const gpu = device.name.slice(0, MOST_NAME);
  const link = (json: string): string => {
    const fields = {
      template: 'device.yml',
      title: `Device: ${gpu}`,
      gpu,
      browser: host.slice(0, MOST_NAME),
      report: json,
    };
    return `${NEW_ISSUE}?${new URLSearchParams(fields).toString()}`;
  };
  const rows = figureRows(report);
  const shorter = Array.from({ length: rows.length + 1 }, (_, left) => rows.slice(0, rows.length - left));
  const texts = [JSON.stringify(report), ...shorter.map((some) => JSON.stringify(some))];
  return texts.map(link).find(({ length }) => length <= MOST_URL) ?? NEW_ISSUE;
}

/** `Chrome 143` from a user agent; Node unchanged. */
export const browserOf = (host: string): string =>
  (/(Edg|Firefox|Chrome|Version)\/\d+/.exec(host)?.[0] ?? host).replace('/', ' ');

/** Browsers' engines as Playwright names them, by user agent. Chromium's agent names WebKit too. */
const ENGINES: readonly [name: string, pattern: RegExp][] = [
  ['node', /^Node/],
  ['firefox', /Firefox\//],
  ['chromium', /Chrome\//],
  ['webkit', /AppleWebKit\//],
];

/** Systems as Node names them, by user agent. Android's agent names Linux too, and iOS's Mac OS X. */
const PLATFORMS: readonly [name: string, pattern: RegExp][] = [
  ['android', /Android/],
  ['ios', /iPhone|iPad/],
  ['darwin', /Mac OS X/],
  ['win32', /Windows/],
  ['linux', /Linux|CrOS/],
];

const nameIn = (table: readonly [name: string, pattern: RegExp][], host: string): string =>
  table.find(([, pattern]) => pattern.test(host))?.[0] ?? 'unknown';
