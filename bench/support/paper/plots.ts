import { MODE_NAMES, MODES } from './modes.ts';
import type { RankSection } from './sections.ts';
import { baselineAt, longest } from './tables.ts';

const WIDTH = 760;
/** Start and greatest length of bars. */
const LEFT = 330;
const ROOM = WIDTH - LEFT - 80;
const ROW = 26;
const TOP = 58;
const COLOURS = ['#4c78a8', '#f58518', '#54a24b', '#b279a2'];

interface Bar {
  label: string;
  /** Parts in a row along the bar. */
  parts: readonly number[];
  told: string;
  /** Interval of the first part, if it is an estimate. */
  interval?: readonly [number, number];
}

/** Time per token of each mode at the longest context relative to ordinary LoRA, with its interval. */
export function speedPlot(rank: string, section: RankSection): string {
  const context = longest(section);
  const bars = barsOf(section, (at) => ({
    parts: [at.ratio.median],
    interval: at.ratio.interval,
    told: at.ratio.median.toFixed(2),
  }));
  return plot(
    `Time a token at ${Number(context).toLocaleString('en')} tokens, of ordinary LoRA's, rank ${rank}`,
    bars,
    [],
  );
}

/** GPU bytes of each mode at the longest context, by category, relative to ordinary LoRA. */
export function memoryPlot(rank: string, section: RankSection): string {
  const context = longest(section);
  const { total } = baselineAt(section, context).memory;
  const bars = barsOf(section, ({ memory: { weights, adapters, kv, activations, staging, total: own } }) => ({
    parts: [weights, adapters, kv, activations + staging].map((bytes) => bytes / total),
    told: (own / total).toFixed(2),
  }));
  return plot(`GPU memory at ${Number(context).toLocaleString('en')} tokens, of ordinary LoRA's, rank ${rank}`, bars, [
    'weights',
    'adapters',
    'cache',
    'the rest',
  ]);
}

function barsOf(section: RankSection, of: (at: ReturnType<typeof baselineAt>) => Omit<Bar, 'label'>): Bar[] {
  const context = longest(section);
  return MODE_NAMES.flatMap((name) => {
    const at = section.speed?.modes[name]?.contexts[context];
    if (!at) return [];
    return { label: 'controls' in MODES[name] ? `control: ${MODES[name].about}` : MODES[name].about, ...of(at) };
  });
}

/** Bars from 0 with a line at 1, in colours readable on light and dark. */
function plot(title: string, bars: readonly Bar[], legend: readonly string[]): string {
  const most = Math.max(1, ...bars.map(({ parts, interval }) => Math.max(sum(parts), interval?.[1] ?? 0)));
  const x = (value: number): string => (LEFT + (ROOM * value) / most).toFixed(1);
  const height = TOP + ROW * bars.length + 12;
  const body = bars.flatMap(({ label, parts, told, interval }, row) => {
    const y = TOP + ROW * row;
    const end = Math.max(sum(parts), interval?.[1] ?? 0);
    return [
      text(LEFT - 8, y + 14, label, 'end'),
      ...parts.map((part, i) => {
        const from = sum(parts.slice(0, i));
        return `<rect x="${x(from)}" y="${y}" width="${((ROOM * part) / most).toFixed(1)}" height="18" fill="${COLOURS[i]}"/>`;
      }),
      ...(interval
        ? [
            `<path class="line" d="M${x(interval[0])} ${y + 9}H${x(interval[1])}M${x(interval[0])} ${y + 5}v8M${x(interval[1])} ${y + 5}v8"/>`,
          ]
        : []),
      text(Number(x(end)) + 6, y + 14, told),
    ];
  });
  const keys = legend.flatMap((name, i) => [
    `<rect x="${LEFT + 95 * i}" y="34" width="12" height="12" fill="${COLOURS[i]}"/>`,
    text(LEFT + 95 * i + 17, 44, name),
  ]);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escaped(title)}">`,
    '<style>text{font:13px sans-serif;fill:#222}.line{stroke:#222;fill:none}@media(prefers-color-scheme:dark){text{fill:#ddd}.line{stroke:#ddd}}</style>',
    `<text x="8" y="20" style="font-weight:bold">${escaped(title)}</text>`,
    ...[...keys, ...body],
    `<path class="line" stroke-dasharray="3 3" d="M${x(1)} ${TOP - 6}V${height - 8}"/>`,
    '</svg>',
    '',
  ].join('\n');
}

const text = (x: number, y: number, words: string, anchor = 'start'): string =>
  `<text x="${x.toFixed(1)}" y="${y}" text-anchor="${anchor}">${escaped(words)}</text>`;

const escaped = (words: string): string =>
  words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

const sum = (values: readonly number[]): number => values.reduce((total, each) => total + each, 0);
