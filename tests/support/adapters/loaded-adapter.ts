import { type AdapterModule, readAdapter } from '../../../src/adapters/adapter-file.ts';
import type { AdapterSource } from '../../../src/adapters/adapter-header.ts';
import { type AdapterLadder, buildAdapterLadder } from '../../../src/adapters/rank-ladder.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';

/** Reads an adapter and builds its ladder. Throws an Error if a loaded part is incomplete or not finite. */
export async function loadAdapter(source: AdapterSource, model: ModelConfig): Promise<void> {
  const read = await readAdapter(source, { config: model });
  const { modules } = read;
  check(modules.length > 0, 'no modules');
  for (const { a, b, rank, scale, inFeatures, outFeatures } of modules) {
    check(a.length === rank * inFeatures && b.length === outFeatures * rank, 'lengths of factors');
    check(Number.isFinite(scale) && a.every(Number.isFinite) && b.every(Number.isFinite), 'not finite');
  }
  checkLadder(buildAdapterLadder(read), modules);
}

function checkLadder({ modules, halfError }: AdapterLadder, read: readonly AdapterModule[]): void {
  check(modules.map(({ name }) => name).join() === read.map(({ name }) => name).join(), 'names of modules');
  check(halfError >= 0 && halfError <= 2, `half error ${halfError}`);
  modules.forEach(({ rank, inFeatures, outFeatures, a, bTransposed, singularValues }, i) => {
    check(rank <= read[i]!.rank, 'a rank above the adapter’s');
    check(a.length === rank * inFeatures && bTransposed.length === rank * outFeatures, 'lengths of the ladder');
    check(singularValues.length === rank, 'number of singular values');
    check(
      singularValues.every((value, k) => value > 0 && value <= (singularValues[k - 1] ?? 1e300)),
      'order of singular values',
    );
    check(
      [a, bTransposed].every((halves) => halves.every((half) => (half & 0x7c00) !== 0x7c00)),
      'halves that are not finite',
    );
  });
}

function check(isRight: boolean, what: string): void {
  if (!isRight) throw new Error(`wrong: ${what}`);
}
