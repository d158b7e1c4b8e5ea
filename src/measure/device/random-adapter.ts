import type { LadderModule } from '../../adapters/ladder/adapter-ladder.ts';
import { levelRanks } from '../../adapters/ladder/ladder-levels.ts';
import { linearShape, linearsOfLayer, linearsOfModel } from '../../architectures/linears.ts';
import { configOfLayer, type ModelConfig } from '../../config/model-config.ts';
import { type Adaptation, wholeAdapters } from '../../engine/adaptation.ts';
import type { Session } from '../../session/session.ts';
import { randomWords } from '../../config/random-words.ts';

const RANK = 16;

/** Does `work` with a random adapter of rank 16 on every linear, all of which every token takes. Errors: `over_limit`, `kernel_refused`, `device_lost`. */
export async function withRandomAdapter<T>(session: Session, work: (adaptation: Adaptation) => Promise<T>): Promise<T> {
  const { device, transformer } = session;
  const modules = randomModules(transformer.config);
  const adapter = transformer.arena.add(modules, levelRanks(modules).ranks);
  try {
    await session.bindAdapters();
    return await work(wholeAdapters({ adapters: [{ adapter, table: '', scale: 1 }], loras: [], key: 'random' }));
  } finally {
    if (device.lost() === undefined) transformer.arena.remove(adapter);
  }
}

function randomModules(config: ModelConfig): LadderModule[] {
  const layers = Array.from({ length: config.numLayers }, (_, layer) => configOfLayer(config, layer));
  const widest = Math.max(
    ...layers.flatMap((own) => linearsOfModel(config).flatMap((linear) => linearShape(own, linear))),
  );
  const halves = smallHalves(RANK * widest);
  return Array.from({ length: config.numLayers }, (_, layer) =>
    linearsOfLayer(config, layer).map((linear) => {
      const [outFeatures, inFeatures] = linearShape(configOfLayer(config, layer), linear);
      const factors = { a: halves.slice(0, RANK * inFeatures), bTransposed: halves.slice(0, RANK * outFeatures) };
      const singularValues = Float64Array.from({ length: RANK }, (__, i) => 1 / (1 + i));
      return {
        name: `blk.${layer}.${linear}`,
        layer,
        linear,
        rank: RANK,
        inFeatures,
        outFeatures,
        ...factors,
        singularValues,
      };
    }),
  ).flat();
}

/** Bits of binary16 of either sign, 2^-9 to 2^-8: all finite. */
function smallHalves(count: number): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(randomWords(Math.ceil(count / 2)).buffer);
  return halves.map((bits) => (bits & 0x83ff) | 0x1800);
}
