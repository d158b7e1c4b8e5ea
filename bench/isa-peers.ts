// Kernels of class `gpu` against those of another runtime, compiled for AMD's cards by the same instrument at the same
// shapes:
// SmolLM2-135M in Q4_1.
//   npm run bench -- isa-peers [PIPELINES.json]
// Without the file only our kernels are compiled; the other runtime's results are the recorded ones.
// The file is a list of { label, code }: the sources of the pipelines that wllama's ggml-webgpu creates for a prompt
// and an
// answer. Record them in a browser by wrapping GPUDevice.prototype.createComputePipeline in wllama's worker, with a
// GPUAdapterInfo that reports subgroups of 32 to 64, as on these cards.
import { readFileSync } from 'node:fs';
import { FAMILIES, IsaCompiler, type IsaFigures } from '../tools/instruments/isa.ts';
import { type LoopFigures, loopsIn } from '../tools/instruments/isa-loops.ts';
import { FEATURE_SETS } from '../tools/instruments/paper-gpu.ts';
import { dispatchesOf } from '../tools/instruments/paper-model.ts';
import { SHAPES } from '../tools/instruments/shapes.ts';
import { spirvOf } from '../tools/instruments/spirv.ts';
import { record, recorded } from './support/results.ts';
import { printTable } from './support/table.ts';

/** Runs per wave of each loop of the compiled shader, by the loop's position. */
type Times = Record<number, number>;

interface Peer {
  /** Prefix of the pipeline's label. */
  label: string;
  /** Text that its source contains, if several share the label. */
  having?: string;
  /** Loops that multiply, with the multiply-adds per invocation and iteration. */
  hot: Record<number, number>;
  /**
   * All repeated code with idle lanes, and its mean multiply-adds per invocation. `outside`: some of it is unrolled, so all
   * code outside loops counts once.
   */
  all: { times: Times; outside?: true; multiplyAdds: number };
}

// A first loop that is not listed clears workgroup memory, as WGSL requires. Other unlisted loops run before and after
// all
// repeated code. The families number the loops alike.
const PAIRS: Record<string, [ours: Peer, theirs: Peer]> = {
  'product, decode': [
    // 576 columns are 18 blocks for 8 lanes, in tiles of 16, each with its own loop: the first tile has 2 rounds, the
    // second, of 2 blocks, has one. Filling inputs and sums are unrolled. 4 rows.
    {
      label: 'linear-shared',
      having: 'const NORMED: bool = true',
      hot: { 1: 128 },
      all: { times: { 1: 2, 2: 1 }, outside: true, multiplyAdds: 288 },
    },
    // 18 blocks for 64 groups of 4 lanes: two of four waves have work; 4 rows.
    {
      label: 'mul_mat_vec_q4_1',
      having: 'array<array<f32, 4>, 1>',
      hot: { 0: 32 },
      all: { times: { 0: 0.5 }, multiplyAdds: 9 },
    },
  ],
  'product, prefill': [
    // One round of a tile of 64 rows and 64 tokens: 4 steps of 32 columns. Two of four waves fill inputs. 18 blocks are
    // 5
    // rounds, so a tenth of the products is padding.
    { label: 'linear-tiled', hot: { 4: 64 }, all: { times: { 1: 1, 2: 4, 3: 2, 4: 32 }, multiplyAdds: 0.9 * 2048 } },
    // A tile of 32 rows and 32 tokens, 32 columns.
    { label: 'mul_mat_reg_tile_q4_1', hot: { 4: 16 }, all: { times: { 1: 1, 2: 1, 3: 16, 4: 32 }, multiplyAdds: 512 } },
  ],
  'attention, decode': [
    // A quarter of a page, 8 keys, for a team, which is a wave; three heads: 11 pages are 44 parts for 11 workgroups of
    // four teams. Loops 1 and 2 store the token's own keys and values. Loops 5 and 6 compute half of a key's components
    // each, in half of the lanes; loop 6 has one more load of workgroup memory.
    {
      label: 'attention-decode',
      hot: { 6: 24, 9: 12 },
      all: { times: { 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 2, 9: 2 }, multiplyAdds: 48 },
    },
    // 32 keys, one head. Loop 6 reads the mask, which is not needed if all keys are visible.
    {
      label: 'flash_attn_vec_k',
      hot: { 4: 4, 9: 4 },
      all: { times: { 2: 1, 3: 1, 4: 4, 5: 4, 7: 1, 8: 4, 9: 8 }, multiplyAdds: 64 },
    },
  ],
  'attention, prefill': [
    // 16 keys, 256 queries. The products with values have no loop of their own: they are in the loop of the keys (3),
    // with the
    // softmax and the staging of keys, which half of the waves skip, so our count is too high. A quarter of the waves
    // stages
    // values (6, 7).
    {
      label: 'attention-prefill',
      hot: { 3: 512, 4: 64 },
      all: { times: { 3: 1, 4: 8, 5: 8, 6: 0.25, 7: 0.25 }, multiplyAdds: 1024 },
    },
    // 64 keys, 4 queries; a quarter of the lanes has work on the values.
    {
      label: 'flash_attn_tile',
      hot: { 4: 64, 6: 4 },
      all: { times: { 2: 1, 3: 4, 4: 1, 5: 4, 6: 64 }, multiplyAdds: 128 },
    },
  ],
};

interface Pipeline {
  label: string;
  code: string;
}

const [, , file] = process.argv;
const theirs = file === undefined ? [] : (JSON.parse(readFileSync(file, 'utf8')) as Pipeline[]);
const dispatches = await dispatchesOf({
  config: SHAPES['135M'],
  type: 'Q4_1',
  features: FEATURE_SETS.all,
  phases: ['decode'],
});
const ours = dispatches.map(({ kernel, code }) => ({ label: kernel, code }));

const chosen = Object.entries(PAIRS).flatMap(([work, peers]) =>
  (file === undefined ? peers.slice(0, 1) : peers).map((peer, side) => ({
    work,
    peer,
    by: side === 0 ? 'Chunkwise' : 'ggml-webgpu',
    code: codeOf(peer, side === 0 ? ours : theirs),
  })),
);
const assemblies = spirvOf(chosen.map(({ code }) => code));
const compiler = new IsaCompiler();
const rows: object[] = [];
for (const family of FAMILIES) {
  for (const [i, { work, peer, by }] of chosen.entries()) {
    const assembly = assemblies[i] ?? '';
    const { vgprs, spilled, scratch, lds, waves } = (await compiler.compile(assembly, [family]))[family] as IsaFigures;
    const workgroup = (/LocalSize (\d+) (\d+) (\d+)/.exec(assembly) ?? [])
      .slice(1)
      .reduce((size, length) => size * Number(length), 1);
    rows.push({
      family,
      work,
      by,
      vgprs,
      spilled,
      scratch,
      lds,
      workgroup,
      waves,
      ...perMultiplyAdd(peer, loopsIn(await compiler.disassemble(assembly, family))),
    });
  }
}
compiler.close();

const FIGURES = [
  'work',
  'by',
  'vgprs',
  'spilled',
  'scratch',
  'lds',
  'workgroup',
  'waves',
  'valu',
  'vmem',
  'valuAll',
  'vmemAll',
];
printTable(rows, ['family', ...FIGURES] as never[]);
const before = await recorded<{ rows: string[] }>('isa-peers');
for (const family of FAMILIES) {
  const lines = (rows as Record<string, string | number>[])
    .filter((row) => row['family'] === family)
    .map((row) => FIGURES.map((name) => row[name]).join(' · '));
  const kept =
    file === undefined ? (before[family]?.rows.filter((line) => !line.includes(' · Chunkwise · ')) ?? []) : [];
  const inPairs = Object.keys(PAIRS).flatMap((work) =>
    [...lines, ...kept].filter((line) => line.startsWith(`${work} · `)),
  );
  await record('isa-peers', family, { columns: FIGURES.join(' · '), rows: inPairs });
}

function codeOf({ label, having = '' }: Peer, pipelines: readonly Pipeline[]): string {
  const found = pipelines.find((pipeline) => pipeline.label.startsWith(label) && pipeline.code.includes(having));
  if (!found) throw new Error(`no pipeline ${label}`);
  return found.code;
}

/** Instructions per multiply-add: mean ratio of the multiplying loops, and of all repeated code. */
function perMultiplyAdd(
  { label, hot, all }: Peer,
  { loops, outside }: ReturnType<typeof loopsIn>,
): Record<string, number> {
  const loop = (place: string): LoopFigures => {
    const figures = loops[Number(place)];
    if (!figures) throw new Error(`${label} is compiled to ${loops.length} loops`);
    return figures;
  };
  const rounded = (value: number): number => Number(value.toPrecision(3));
  const inHot = (name: 'valu' | 'vmem'): number => {
    const ratios = Object.entries(hot).map(([place, multiplyAdds]) => loop(place)[name] / multiplyAdds);
    return rounded(ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length);
  };
  const inAll = (name: 'valu' | 'vmem'): number =>
    rounded(
      Object.entries(all.times).reduce(
        (sum, [place, times]) => sum + times * loop(place)[name],
        all.outside ? outside[name] : 0,
      ) / all.multiplyAdds,
    );
  return { valu: inHot('valu'), vmem: inHot('vmem'), valuAll: inAll('valu'), vmemAll: inAll('vmem') };
}
