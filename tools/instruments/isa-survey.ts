import type { GgmlType } from '../../src/weights/ggml-types.ts';
import { type Family, IsaCompiler, type IsaFigures } from './isa.ts';
import { dispatchesOf, fits, type Phase } from './paper-model.ts';
import { FEATURE_SETS, type FeatureSet } from './paper-gpu.ts';
import { type ShapeName, SHAPES } from './shapes.ts';
import { spirvOf } from './spirv.ts';

/** A pipeline, and the place of its first use. */
export interface SeenPipeline {
  kernel: string;
  /** The matrix that it reads, if any. */
  site: string;
  shape: ShapeName;
  type: GgmlType;
  phase: Phase;
  features: FeatureSet;
}

export interface IsaRow extends SeenPipeline, IsaFigures {
  family: Family;
}

export interface IsaSurvey {
  shapes: readonly ShapeName[];
  types: readonly GgmlType[];
  features: readonly FeatureSet[];
  families: readonly Family[];
  /** Kernels by their names; default: all. */
  wants?: (kernel: string) => boolean;
  phases?: readonly Phase[];
  /** What must differ between compiled texts; default: the text. */
  formOf?: (code: string) => string;
}

/** Compiles every pipeline of these models, each text once. */
export async function surveyIsa(survey: IsaSurvey): Promise<IsaRow[]> {
  const seen = await pipelinesOf(survey);
  const assemblies = spirvOf([...seen.keys()]);
  const compiler = new IsaCompiler();
  try {
    const rows: IsaRow[] = [];
    for (const [i, pipeline] of [...seen.values()].entries()) {
      const figures = await compiler.compile(assemblies[i] ?? '', survey.families);
      for (const family of survey.families) rows.push({ ...pipeline, family, ...(figures[family] as IsaFigures) });
    }
    return rows;
  } finally {
    compiler.close();
  }
}

async function pipelinesOf({
  shapes,
  types,
  features,
  wants = () => true,
  phases,
  formOf = (code) => code,
}: IsaSurvey): Promise<Map<string, SeenPipeline>> {
  const seen = new Map<string, SeenPipeline>();
  const forms = new Set<string>();
  for (const shape of shapes) {
    const config = SHAPES[shape];
    for (const type of types.filter((type) => fits(config, type))) {
      for (const set of features) {
        for (const dispatch of await dispatchesOf({ config, type, features: FEATURE_SETS[set], phases })) {
          const form = formOf(dispatch.code);
          if (forms.has(form) || !wants(dispatch.kernel)) continue;
          forms.add(form);
          const { kernel, phase, bindings } = dispatch;
          seen.set(dispatch.code, {
            kernel,
            site: siteOf(bindings.map(({ label }) => label)),
            shape,
            type,
            phase,
            features: set,
          });
        }
      }
    }
  }
  return seen;
}

/** The matrix's name without its layer. */
const siteOf = (labels: readonly string[]): string =>
  labels
    .map((label) => /^(?:blk\.0\.(\w+)|(token_embd|output))(?:\.weight)?$/.exec(label))
    .flatMap((found) => found?.[1] ?? found?.[2] ?? [])
    .find((name) => !name.endsWith('norm')) ?? '';

/** Worst rows first: the most spilled registers, then the most scratch memory, then the fewest waves. */
export const worstFirst = (rows: readonly IsaRow[]): IsaRow[] =>
  [...rows].sort((a, b) => b.spilled - a.spilled || b.scratch - a.scratch || a.waves - b.waves || b.vgprs - a.vgprs);
