import type { DeviceReport, Figure, ModelSpeeds, NotMeasured } from '../../src/api/index.ts';
import { create } from '../basics/dom.ts';
import { formatBytes, formatCount, formatMs, formatRate, modelName } from '../basics/format.ts';

/** A figure with a note in small type. */
type Cell = readonly [value: string, note?: string];

/** Tables of a device's results: the device, its ceilings and latencies, and each model. */
export function deviceTables({
  device,
  host,
  variant,
  budgetMs,
  tookMs,
  ceilings,
  latency,
  models,
}: DeviceReport): HTMLElement[] {
  const choices = Object.entries(variant).map(([name, value]) => `${name} ${String(value)}`);
  return [
    table(
      'Device',
      [],
      [
        ['GPU', [device.name]],
        [
          'Class',
          [
            device.class === 'cpu' ? 'software adapter' : 'GPU',
            `subgroups of ${device.subgroupSize ?? 'several sizes'}`,
          ],
        ],
        ['Browser', [host]],
        ['Features', [device.features.join(', ') || 'none']],
        ['Largest buffer', [formatBytes(device.maxBufferBytes), `${formatBytes(device.maxBindingBytes)} in a binding`]],
        ['Variants', ['', choices.join(', ')]],
        ['Time', [formatMs(tookMs), `of ${formatMs(budgetMs)}`]],
      ],
    ),
    table(
      'At most',
      [],
      [
        ['Reading', figure(ceilings.readGbPerSecond, gb)],
        ['Sequential reads', figure(ceilings.readInRunsGbPerSecond, gb)],
        ['Copying', figure(ceilings.copyGbPerSecond, gb)],
        ['Multiply-adds, f32', figure(ceilings.f32GflopPerSecond, gflop)],
        ['Multiply-adds, f16', figure(ceilings.f16GflopPerSecond, gflop)],
      ],
    ),
    table(
      'Latency',
      [],
      [
        ['From submission to result', figure(latency.readbackMs, formatMs)],
        ['A new kernel', figure(latency.newKernelMs, formatMs)],
        [`The model’s ${latency.modelPipelines} kernels`, figure(latency.modelPipelinesMs, formatMs)],
        ...models.map((model) => [`First token, ${modelName(model.name)}`, firstToken(model)] as const),
      ],
    ),
    ...models.map(modelTable),
  ];
}

function modelTable({ name, weightBytes, speeds }: ModelSpeeds): HTMLElement {
  const title = weightBytes > 0 ? `${modelName(name)}, ${formatBytes(weightBytes)} of weights` : modelName(name);
  const rows = speeds.map(({ context, adapter, decode, prefill }) => {
    const decoded: Cell = isMissing(decode)
      ? missing(decode)
      : [
          formatRate(decode.tokensPerSecond),
          `${formatMs(decode.msPerToken)}, ${share(decode.fractionOfMemory)} of memory`,
        ];
    const prefilled: Cell = isMissing(prefill)
      ? missing(prefill)
      : [formatRate(prefill.tokensPerSecond), `${share(prefill.fractionOfCompute)} of arithmetic`];
    return [`${formatCount(context)}${adapter ? ' with an adapter' : ''}`, decoded, prefilled] as const;
  });
  return table(title, ['Tokens', 'Decode', 'Prefill'], rows);
}

const firstToken = ({ firstTokenMs, promptTokens }: ModelSpeeds): Cell => {
  const [value, note] = figure(firstTokenMs, formatMs);
  return [value, note ?? `after a prompt of ${formatCount(promptTokens)} tokens`];
};

const isMissing = (value: unknown): value is NotMeasured =>
  typeof value === 'object' && value !== null && 'notMeasured' in value;

const missing = ({ notMeasured }: NotMeasured): Cell => ['not measured', notMeasured];

const figure = (value: Figure, format: (value: number) => string): Cell =>
  isMissing(value) ? missing(value) : [format(value)];

const rounded = (value: number): string => (value < 100 ? value.toPrecision(2) : formatCount(Math.round(value)));
const gb = (value: number): string => `${rounded(value)} GB/s`;
const gflop = (value: number): string => `${rounded(value)} GFLOP/s`;
const share = (fraction: number | null): string => (fraction === null ? '–' : `${Math.round(100 * fraction)} %`);

function table(
  title: string,
  heads: readonly string[],
  rows: readonly (readonly [head: string, ...cells: Cell[]])[],
): HTMLElement {
  const made = create('table', 'measured');
  made.append(create('caption', '', title));
  if (heads.length > 0) {
    const row = create('tr', '');
    row.append(...heads.map((head) => scoped(create('th', '', head), 'col')));
    const top = create('thead', '');
    top.append(row);
    made.append(top);
  }
  const body = create('tbody', '');
  for (const [head, ...cells] of rows) {
    const row = create('tr', '');
    row.append(scoped(create('th', '', head), 'row'), ...cells.map(cellOf));
    body.append(row);
  }
  made.append(body);
  return made;
}

function scoped(head: HTMLTableCellElement, scope: 'col' | 'row'): HTMLTableCellElement {
  head.scope = scope;
  return head;
}

function cellOf([value, note]: Cell): HTMLTableCellElement {
  const cell = create('td', '', value);
  if (note) cell.append(create('small', '', note));
  return cell;
}
