// Mesa's compiler statistics of the kernels for graphics cards, at the shapes of models of every size; no card is
// needed:
//   npm run bench -- isa [PART OF A KERNEL'S NAME] [--families navi31,renoir] [--shapes 1B] [--types Q4_K] [--features all] [--phases decode]
// Without options all pipelines are compiled, some 5,000 for each family, which takes long, and the worst of each
// kernel, type
// and set of features is kept in bench/results/isa.json.
import { parseArgs } from 'node:util';
import { type Family, FAMILIES, type IsaFigures } from '../tools/instruments/isa.ts';
import { type IsaRow, surveyIsa, worstFirst } from '../tools/instruments/isa-survey.ts';
import { FEATURE_SETS, type FeatureSet } from '../tools/instruments/paper-gpu.ts';
import { PHASES } from '../tools/instruments/paper-model.ts';
import { SHAPE_NAMES, type ShapeName } from '../tools/instruments/shapes.ts';
import type { GgmlType } from '../src/weights/ggml-types.ts';
import { WEIGHT_FORMATS } from '../src/kernels/formats/weight-formats.ts';
import { record } from './support/results.ts';
import { printTable } from './support/table.ts';

const ALL = {
  families: FAMILIES as readonly Family[],
  shapes: SHAPE_NAMES as readonly ShapeName[],
  types: Object.keys(WEIGHT_FORMATS) as readonly GgmlType[],
  features: Object.keys(FEATURE_SETS) as readonly FeatureSet[],
  phases: PHASES,
};

const FIGURES = [
  'vgprs',
  'spilled',
  'scratch',
  'lds',
  'waves',
  'instructions',
  'valu',
  'vmem',
] as const satisfies readonly (keyof IsaFigures)[];
const PLACE = ['kernel', 'site', 'shape', 'type', 'phase', 'features'] as const satisfies readonly (keyof IsaRow)[];

const string = { type: 'string' } as const;
const { values, positionals } = parseArgs({
  options: { families: string, shapes: string, types: string, features: string, phases: string },
  allowPositionals: true,
});

function chosen<T extends string>(name: keyof typeof ALL, all: readonly T[]): readonly T[] {
  const wanted: readonly string[] = values[name]?.split(',') ?? all;
  const unknown = wanted.find((one) => !all.includes(one as T));
  if (unknown !== undefined) throw new Error(`--${name}: ${unknown} is none of ${all.join(', ')}`);
  return all.filter((one) => wanted.includes(one));
}

const rows = worstFirst(
  await surveyIsa({
    wants: (kernel) => kernel.includes(positionals[0] ?? ''),
    families: chosen('families', ALL.families),
    shapes: chosen('shapes', ALL.shapes),
    types: chosen('types', ALL.types),
    features: chosen('features', ALL.features),
    phases: chosen('phases', ALL.phases),
  }),
);
printTable(rows, ['family', ...PLACE, ...FIGURES]);

if (positionals.length === 0 && Object.keys(values).length === 0) {
  for (const family of FAMILIES) {
    const own = rows.filter((row) => row.family === family);
    const worst = new Map<string, IsaRow>();
    for (const row of own) {
      const key = [row.kernel, row.type, row.features].join();
      if (!worst.has(key)) worst.set(key, row);
    }
    const lines = [...worst.values()].map((row) =>
      [PLACE.map((name) => row[name]).join(' · '), ...FIGURES.map((name) => row[name])].join(' '),
    );
    await record('isa', family, {
      pipelines: own.length,
      columns: ['worst pipeline', ...FIGURES].join(' '),
      rows: lines,
    });
  }
}
