// Memory traffic of the kernels for graphics cards, from addresses traced on lavapipe:
//   npm run bench -- traffic [PART OF A KERNEL'S NAME, or ''] [PART OF A CASE'S]
// If all kernels are traced, the sums of each case and the loads that miss the bar of sectors are kept in
// bench/results/traffic.json.
import { SECTORS_BAR } from '../tools/instruments/bars.ts';
import { FEATURE_SETS } from '../tools/instruments/paper-gpu.ts';
import { dispatchesOf, type PaperRun, type Phase, type PhasedDispatch } from '../tools/instruments/paper-model.ts';
import { type ShapeName, SHAPES } from '../tools/instruments/shapes.ts';
import { Tracer } from '../tools/instruments/tracer.ts';
import { type Traffic, trafficOf } from '../tools/instruments/traffic.ts';
import { WEIGHT_FORMATS } from '../src/kernels/formats/weight-formats.ts';
import type { GgmlType } from '../src/weights/ggml-types.ts';
import { record } from './support/results.ts';
import { printTable } from './support/table.ts';

/** A model's run; dispatches are traced whose kernel names contain `kernel`. */
interface Case {
  name: string;
  shape: ShapeName;
  type: GgmlType;
  phase: Phase;
  promptTokens: number;
  /** Whether the prompt is not the first; default: true. */
  isMeasured?: boolean;
  /** What the autotuner may choose; default: the device's own. */
  variant?: PaperRun['variant'];
  kernel: RegExp;
}

/** Matrix products differ by type, other kernels by model. */
const NO_PRODUCT = /^(?!linear)/;

const CASES: readonly Case[] = [
  {
    name: 'prefill of 512 tokens, 1B, Q4_K',
    shape: '1B',
    type: 'Q4_K',
    phase: 'prefill',
    promptTokens: 512,
    kernel: /./,
  },
  {
    name: 'the same once the speed of the device is known',
    shape: '1B',
    type: 'Q4_K',
    phase: 'prefill',
    promptTokens: 512,
    isMeasured: true,
    kernel: /linear/,
  },
  {
    name: 'prefill of 512 tokens with rounded inputs, 1B, Q4_K',
    shape: '1B',
    type: 'Q4_K',
    phase: 'prefill',
    promptTokens: 512,
    variant: { roundsInputs: true },
    kernel: /linear/,
  },
  {
    name: 'attention of a prefill of 4,096 tokens, 1B',
    shape: '1B',
    type: 'Q4_K',
    phase: 'prefill',
    promptTokens: 4096,
    kernel: /attention/,
  },
  {
    name: 'decode at context 1,024, 1B, Q4_K',
    shape: '1B',
    type: 'Q4_K',
    phase: 'decode',
    promptTokens: 1024,
    kernel: /./,
  },
  {
    name: 'decode at context 1,024, 1B, Q6_K',
    shape: '1B',
    type: 'Q6_K',
    phase: 'decode',
    promptTokens: 1024,
    kernel: /linear/,
  },
  {
    name: 'decode at context 1,024, 135M, Q8_0',
    shape: '135M',
    type: 'Q8_0',
    phase: 'decode',
    promptTokens: 1024,
    kernel: /./,
  },
  {
    name: 'decode at context 1,024, 135M, Q4_0',
    shape: '135M',
    type: 'Q4_0',
    phase: 'decode',
    promptTokens: 1024,
    kernel: /linear/,
  },
  ...(['one question', 'five questions'] as const).map(
    (phase) =>
      ({
        name: `${phase} with adapters about 2,000 tokens, 135M, Q4_1`,
        shape: '135M',
        type: 'Q4_1',
        phase,
        promptTokens: 2000,
        kernel: /./,
      }) as const,
  ),
  ...(
    ['delta net', 'gated attention', 'experts', 'convolution', 'layer inputs', 'window', 'whole norms'] as const
  ).flatMap((shape) =>
    (['prefill', 'decode'] as const).map(
      (phase) =>
        ({
          name: `${phase} of a model's layer: ${shape}, Q8_0`,
          shape,
          type: 'Q8_0',
          phase,
          promptTokens: 256,
          kernel: NO_PRODUCT,
        }) as const,
    ),
  ),
  ...(Object.keys(WEIGHT_FORMATS) as GgmlType[]).flatMap((type) =>
    (['prefill', 'decode'] as const).map(
      (phase) =>
        ({
          name: `${phase} of all types: 1B, ${type}`,
          shape: '1B',
          type,
          phase,
          promptTokens: 64,
          kernel: /linear/,
        }) as const,
    ),
  ),
];

interface Row extends Traffic {
  kernel: string;
  /** Once per model, not per layer. */
  once: boolean;
}

/** Rows of one layer and of the work outside layers; dispatches of a kernel on the same buffers are summed. */
async function traced(tracer: Tracer, dispatches: readonly PhasedDispatch[]): Promise<Row[]> {
  const rows = new Map<string, Row>();
  for (const dispatch of dispatches) {
    const once = !dispatch.bindings.some(({ label }) => /^(blk\.|kv |partials|gateUp)/.test(label));
    for (const traffic of await trafficOf(tracer, dispatch)) {
      const { kernel, bindings } = dispatch;
      const key = [kernel, bindings.map(({ label }) => label), traffic.binding, traffic.within, traffic.kind].join();
      const row = rows.get(key);
      rows.set(key, row ? sumOf(row, traffic) : { kernel, once, ...traffic });
    }
  }
  return [...rows.values()];
}

function sumOf(row: Row, more: Traffic): Row {
  const [bytes, distinct, fetched, fetchedOnce] = [
    row.bytes + more.bytes,
    row.distinct + more.distinct,
    row.fetched + more.fetched,
    row.fetchedOnce + more.fetchedOnce,
  ];
  const mean = (of: 'sectors' | 'lanes'): number => (row[of] * row.fetched + more[of] * more.fetched) / fetched;
  return {
    ...row,
    bytes,
    distinct,
    fetched,
    fetchedOnce,
    reuse: bytes / distinct,
    sectors: mean('sectors'),
    lanes: mean('lanes'),
  };
}

const GB = 1e9;
const digits = (value: number): number => Number(value.toPrecision(3));

type Sums = Record<'asked' | 'distinct' | 'fetched' | 'fetchedOnce' | 'sectors', number>;

/** GB per pass of a whole model that the rows of `isWanted` request, need and fetch; and sectors over needed ones. */
function gigabytes(rows: readonly Row[], numLayers: number, isWanted: (row: Row) => boolean): Sums {
  const sum = (of: (row: Row) => number): number =>
    rows.filter(isWanted).reduce((total, row) => total + of(row) * (row.once ? 1 : numLayers), 0);
  const fetched = sum((row) => row.fetched);
  return {
    asked: digits(sum((row) => row.bytes) / GB),
    distinct: digits(sum((row) => row.distinct) / GB),
    fetched: digits(fetched / GB),
    fetchedOnce: digits(sum((row) => row.fetchedOnce) / GB),
    sectors: digits(fetched / (sum((row) => row.fetched / row.sectors) || 1)),
  };
}

const [part = '', ofCase = ''] = process.argv.slice(2);
const tracer = await Tracer.open();
for (const { name, shape, type, phase, promptTokens, isMeasured = false, variant, kernel } of CASES.filter((one) =>
  one.name.includes(ofCase),
)) {
  const config = SHAPES[shape];
  const all = await dispatchesOf({
    config,
    type,
    features: FEATURE_SETS.all,
    phases: [phase],
    promptTokens,
    isMeasured,
    variant,
  });
  const rows = await traced(
    tracer,
    all.filter((one) => one.phase === phase && kernel.test(one.kernel) && one.kernel.includes(part)),
  );
  const isLoad = ({ kind }: Row): boolean => kind === 'load';
  const sums = {
    weights: gigabytes(rows, config.numLayers, (row) => isLoad(row) && row.binding.startsWith('weight')),
    'keys and values': gigabytes(rows, config.numLayers, (row) => isLoad(row) && row.binding === 'kv'),
    'all loads': gigabytes(rows, config.numLayers, isLoad),
  };
  const shown = rows.map(({ kernel, binding, within, label, kind, ...figures }) => ({
    ...{ kernel, binding: `${binding} (${within})`, label, kind },
    MB: digits(figures.bytes / 1e6),
    fetched: digits(figures.fetched / 1e6),
    once: digits(figures.fetchedOnce / 1e6),
    ...{ reuse: digits(figures.reuse), sectors: digits(figures.sectors), lanes: digits(figures.lanes) },
    misses: kind === 'load' && figures.sectors > SECTORS_BAR ? '*' : '',
  }));
  console.log(`\n${name}; GB of loads in all layers: ${JSON.stringify(sums)}`);
  printTable(shown, [
    'kernel',
    'binding',
    'label',
    'kind',
    'MB',
    'fetched',
    'once',
    'reuse',
    'sectors',
    'lanes',
    'misses',
  ]);
  if (part === '') {
    const missed = shown.filter(({ misses }) => misses);
    const lines = missed.map(({ kernel, binding, label, MB, fetched, once, reuse, sectors, lanes }) => ({
      access: `${kernel}: ${binding} of ${label}`,
      MB,
      fetched,
      once,
      reuse,
      sectors,
      lanes,
    }));
    await record('traffic', name, { gigabytes: sums, misses: lines });
  }
}
process.exit(0);
