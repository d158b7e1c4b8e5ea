import type { LayerPage } from '../../cache/cache-page.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import { SPARSE_FORM } from '../../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import type { EntryMeasure } from '../../kernels/pages.ts';
import { PageForms } from '../../layers/attention.ts';
import { attendedTo, attendTo, codedPage, PROMPT, twoPages, writePages } from './page-checks.ts';

/** What is measured of entries, and by which query of the batch if not all. */
const MEASURES: readonly { measure: EntryMeasure; firstQuery: number; of: (shares: readonly number[]) => number }[] = [
  { measure: 'share', firstQuery: 0, of: (shares) => Math.max(...shares) },
  { measure: 'square', firstQuery: 2, of: (shares) => shares.reduce((sum, share) => sum + share ** 2, 0) },
];

/** Checks attention to a sparse page with the entries of another page in another order, and the shares that entries have of it. */
export function sparseChecks(device: Device, { window: _, ...config }: ModelConfig): Check[] {
  const { numHeads, numKvHeads, headDim } = config;
  const { inputs, layer, next } = twoPages(device, config);
  const contents = [codedPage(config, SPARSE_FORM, 1), next];
  const { start, end } = PROMPT;
  const row = numHeads * headDim;
  const known = Array.from({ length: end - start }, (_, i) => attendedTo(config, inputs, start + i, contents));
  const heads = Array.from({ length: numKvHeads }, () =>
    Array.from({ length: PAGE_TOKENS }, (_, i) => ({ page: 0, entry: PAGE_TOKENS - 1 - i, share: 1, square: 0 })),
  );
  const shape = `${numHeads} / ${numKvHeads} × ${headDim}`;
  return [
    {
      name: `attention to sparse pages, ${shape}`,
      make() {
        const [forms, attend] = [new PageForms(layer.place, layer.buffers), layer.attention()];
        return (recorder) => {
          writePages(device, layer, contents);
          const { made, scratch } = layer.cache.sparsePages(layer.pages, 0, [{ page: 0, heads }], 0);
          forms.gather(recorder, 1);
          recorder.submit();
          attendTo(layer, made[0] as LayerPage, attend, { recorder, span: PROMPT });
          for (const page of [...made, ...scratch]) layer.buffers.pages.remove(page);
        };
      },
      result: [{ buffer: layer.activations.attended, offset: 0, size: (end - start) * row * 4 }],
      read: (bytes) => new Float32Array(bytes),
      expected: known.flatMap((token) => token.flatMap(({ output }) => [...output])),
      row,
    },
    ...MEASURES.map(({ measure, firstQuery, of }): Check => {
      const queries = known.filter((_, i) => measure === 'share' || i === firstQuery);
      return {
        name: `entry-${measure}s ${shape}`,
        make() {
          const attend = layer.attention();
          return (recorder) => {
            writePages(device, layer, contents);
            const measured = { page: 0, pages: 1, measure, firstQuery, isFirst: true };
            attendTo(layer, layer.layerPages()[0] as LayerPage, attend, { recorder, span: { ...PROMPT, measured } });
          };
        },
        result: [{ buffer: layer.cache.sparse.found(measure), offset: 0, size: numKvHeads * PAGE_TOKENS * 4 }],
        read: (bytes) => new Float32Array(bytes),
        expected: Array.from({ length: numKvHeads * PAGE_TOKENS }, (_, i) =>
          of(
            queries.flatMap((token) =>
              token
                .filter((__, head) => Math.floor((head * numKvHeads) / numHeads) === Math.floor(i / PAGE_TOKENS))
                .map(({ scores }) => shareOf(scores, i % PAGE_TOKENS)),
            ),
          ),
        ),
        row: PAGE_TOKENS,
      };
    }),
  ];
}

function shareOf(scores: readonly number[], entry: number): number {
  const most = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0);
  return Math.exp((scores[entry] as number) - most) / sum;
}
