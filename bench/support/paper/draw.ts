import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { withBetween } from '../marked.ts';
import { memoryPlot, speedPlot } from './plots.ts';
import { type PaperSection, readSections } from './sections.ts';
import { fullTables, NOT_MEASURED, shortTable } from './tables.ts';

const ROOT = new URL('../../../', import.meta.url);
/** Pictures show the first recorded device. */
const PICTURES = 'docs/paper/';
const README_WORDS = [
  'Each mechanism beside ordinary LoRA, on a software adapter ([figures](docs/decisions/paper.md)). Time and memory are shares of',
  "ordinary LoRA's; of these and of perplexity lower is better, of exact match (percent of answers) higher:",
].join('\n');
/** Mark of the generated parts of documents. */
export const MARK = 'paper';

/** Generated content by file path from the repository's root: a whole picture, or a document's marked part. */
export function drawn(sections: Record<string, PaperSection>): Record<string, string> {
  const measured = Object.entries(sections).filter(([, { ranks }]) => Object.values(ranks).some(({ speed }) => speed));
  const [first] = measured;
  if (!first) return { 'README.md': '', 'docs/decisions/paper.md': NOT_MEASURED };
  const pictured = Object.entries(first[1].ranks).filter(([, { speed }]) => speed);
  const [lowest] = pictured; // the README shows one rank
  const pictures = pictured.flatMap(([rank, section]): [string, string][] => [
    [`${PICTURES}speed-${rank}.svg`, speedPlot(rank, section)],
    [`${PICTURES}memory-${rank}.svg`, memoryPlot(rank, section)],
  ]);
  const shown = (some: typeof pictures, up: string): string =>
    some.map(([file]) => `![${titleOf(file)}](${up}${file.slice('docs/'.length)})`).join('\n');
  return {
    'README.md': `${README_WORDS}\n\n${lowest ? shortTable(...lowest) : ''}\n\n${shown(pictures.slice(0, 2), 'docs/')}`,
    'docs/decisions/paper.md': `${shown(pictures, '../')}\n\n${measured.map(([device, section]) => fullTables(device, section)).join('\n\n')}`,
    ...Object.fromEntries(pictures),
  };
}

const titleOf = (file: string): string => {
  const [what = '', rank = ''] = file.slice(PICTURES.length, -'.svg'.length).split('-');
  return `${what === 'speed' ? 'Time' : 'Memory'}, rank ${rank}`;
};

/** Writes the tables and pictures of bench/results/paper.json into the documents. */
export async function draw(): Promise<void> {
  for (const [file, text] of Object.entries(drawn(await readSections()))) {
    const url = new URL(file, ROOT);
    if (file.endsWith('.md')) {
      const document = await readFile(url, 'utf8');
      await writeFile(url, withBetween(document, MARK, text));
    } else {
      await mkdir(new URL('.', url), { recursive: true });
      await writeFile(url, text);
    }
  }
}
