import type { Estimate } from '../statistics.ts';
import { markdownTable } from '../table.ts';
import { BASELINE, MODE_NAMES, MODES, type ModeName } from './modes.ts';
import type { PaperSection, RankSection } from './sections.ts';
import type { AtContext, AtTask, Speed, Timed } from './speed.ts';

export const NOT_MEASURED = 'Not measured yet.';
const NONE = '–';

/** A row's name; a control names its mechanism. */
export function labelOf(name: ModeName): string {
  const { about, ...mode } = MODES[name];
  return 'controls' in mode ? `${about} (control of ${mode.controls})` : about;
}

/** A device's tables per rank: cost and quality. */
export function fullTables(device: string, { ranks }: PaperSection): string {
  const ofRanks = Object.entries(ranks).map(([rank, section]) => {
    const tables = [speedTable(section), memoryTable(section), taskTable(section), qualityTable(section)];
    return [`#### Rank ${rank}`, ...tables.filter((table) => table !== '')].join('\n\n');
  });
  return [`### ${device}`, ...ofRanks].join('\n\n');
}

/** Short table for the README: each mechanism at the longest context, time and memory relative to the baseline. */
export function shortTable(rank: string, section: RankSection): string {
  const { speed, perplexity, answers } = section;
  const context = longest(section);
  const rows = MODE_NAMES.filter((name) => !('controls' in MODES[name])).map((name) => {
    const at = speed?.modes[name]?.contexts[context];
    const text = perplexity?.texts['wikitext']?.modes[name];
    return [
      MODES[name].brief,
      at?.ratio.median.toFixed(2) ?? NONE,
      at ? (at.memory.total / baselineAt(section, context).memory.total).toFixed(2) : NONE,
      text?.perplexity.toFixed(2) ?? NONE,
      answers?.modes[name]?.exactMatch.value.toFixed(1) ?? NONE,
    ];
  });
  return markdownTable([`rank ${rank}`, 'time', 'memory', 'perplexity', 'exact match'], rows).replaceAll(
    / ?\| ?/g,
    '|',
  );
}

function speedTable({ speed }: RankSection): string {
  if (!speed) return '';
  const heads = [
    'milliseconds a token',
    ...speed.contexts.map((context) => `at ${thousands(context)}`),
    'tokens a step',
    'dispatches',
    `prompt of ${speed.prefillTokens}`,
  ];
  const rows = rowsOf(speed.modes, ({ contexts, prefill }) => {
    const all = Object.values(contexts);
    return [
      ...all.map(timedCell),
      all.at(-1)?.tokensPerStep.toFixed(2) ?? NONE,
      String(Math.round(all.at(-1)?.dispatchesPerToken ?? NaN)),
      timedCell(prefill),
    ];
  });
  return `${markdownTable(heads, rows)}\n\nIn brackets: of ordinary LoRA's, with a 95 % interval; ${speed.rounds} rounds of ${speed.steps} tokens.`;
}

function memoryTable(section: RankSection): string {
  if (!section.speed) return '';
  const context = longest(section);
  const { total } = baselineAt(section, context).memory;
  const rows = rowsOf(section.speed.modes, ({ contexts }) => {
    const { memory, bitsPerElement } = contexts[context]!;
    const { weights, adapters, kv, activations, staging } = memory;
    const bytes = [weights, adapters, kv, activations + staging, memory.total].map((each) => (each / 1e6).toFixed(1));
    return [...bytes, share(memory.total / total), bitsPerElement.toFixed(2)];
  });
  return markdownTable(
    [
      `MB at ${thousands(Number(context))} tokens`,
      'weights',
      'adapters',
      'cache',
      'the rest',
      'in all',
      'of ordinary',
      'bits an element',
    ],
    rows,
  );
}

function qualityTable({ perplexity, answers }: RankSection): string {
  const texts = Object.entries(perplexity?.texts ?? {});
  const names = MODE_NAMES.filter((name) => texts.some(([, { modes }]) => modes[name]) || answers?.modes[name]);
  if (names.length === 0) return '';
  const heads = [
    'quality',
    ...texts.flatMap(([text, { adapter }]) => [`perplexity, ${text} (${adapter})`, 'mean rank']),
    ...(answers ? ['exact match', 'F1', 'BLEU', 'mean rank'] : []),
  ];
  const rows = names.map((name) => {
    const answered = answers?.modes[name];
    return [
      labelOf(name),
      ...texts.flatMap(([, { modes }]) => {
        const found = modes[name];
        if (!found) return [NONE, NONE];
        const { perplexity, increase, meanRank } = found;
        const over =
          increase &&
          ` (${signed(100 * increase.value)} %, ${signed(100 * increase.interval[0])} to ${signed(100 * increase.interval[1])})`;
        return [`${perplexity.toFixed(3)}${over ?? ''}`, meanRank.toFixed(2)];
      }),
      ...(answers
        ? [cell(answered?.exactMatch), cell(answered?.f1), cell(answered?.bleu), answered?.meanRank.toFixed(2) ?? NONE]
        : []),
    ];
  });
  const windows =
    perplexity &&
    `Perplexity is over ${perplexity.windows} windows of ${thousands(perplexity.context)} tokens; in brackets: above ordinary LoRA's.`;
  return [
    markdownTable(heads, rows),
    ...(windows ? [windows] : []),
    ...(answers ? [`Answers are to ${answers.questions} questions of SQuAD; BLEU is against ordinary LoRA's.`] : []),
  ].join('\n\n');
}

/** Times of speculation and of all mechanisms, for answers that copy from their prompts and for free text. */
function taskTable({ tasks }: RankSection): string {
  if (!tasks) return '';
  const names = Object.keys(tasks.tasks);
  const modes = MODE_NAMES.filter((mode) => names.some((name) => tasks.tasks[name]?.[mode]));
  const rows = modes.map((mode) => [labelOf(mode), ...names.map((name) => taskCell(tasks.tasks[name]?.[mode]))]);
  const note = `Answers to a task behind ${thousands(tasks.context)} tokens, adapter squad; in brackets: of ordinary LoRA's, with a 95 % interval; then tokens a step. ${tasks.rounds} rounds of at most ${tasks.steps} tokens.`;
  return `${markdownTable(['milliseconds a token', ...names], rows)}\n\n${note}`;
}

const taskCell = (found: AtTask | undefined): string =>
  found ? `${timedCell(found)}; ${found.tokensPerStep.toFixed(2)}` : NONE;

const rowsOf = (modes: Record<string, Speed>, cells: (speed: Speed) => string[]): string[][] =>
  MODE_NAMES.flatMap((name) => (modes[name] ? [[labelOf(name), ...cells(modes[name])]] : []));

export const longest = ({ speed }: RankSection): string => String(Math.max(0, ...(speed?.contexts ?? [])));

export const baselineAt = ({ speed }: RankSection, context: string): AtContext => {
  const found = speed?.modes[BASELINE]?.contexts[context];
  if (!found) throw new Error(`no ${BASELINE} at ${context} tokens was recorded`);
  return found;
};

function timedCell(timed: Timed | undefined): string {
  if (!timed) return NONE;
  const { msPerToken, ratio } = timed;
  return `${msPerToken.median.toFixed(1)} (${ratio.median.toFixed(2)}, ${ratio.interval.map((each) => each.toFixed(2)).join(' to ')})`;
}

const cell = (estimate: { value: number; interval: Estimate['interval'] } | undefined): string =>
  estimate ? `${estimate.value.toFixed(1)} (${estimate.interval.map((each) => each.toFixed(1)).join(' to ')})` : NONE;

const share = (ratio: number | undefined): string => (ratio === undefined ? NONE : `${Math.round(100 * ratio)} %`);
const signed = (value: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
const thousands = (count: number): string => count.toLocaleString('en');
