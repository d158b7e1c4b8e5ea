import { beforeAll } from 'vitest';
import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel, type TinyModelOptions } from '../../tests/support/models/tiny-model.ts';
import { GpuKiller, launchMany } from './gpu-killer.ts';
import { openForTests } from './open-for-tests.ts';
import { servePackage } from './package-page.ts';

/** A model that downloads in several pieces, with small heads, so that its kernels are never cached. */
export const piecesModel = (
  sizes: Pick<TinyModelOptions, 'numLayers' | 'intermediateSize' | 'contextLength'>,
): Uint8Array =>
  tinyModel({
    architecture: 'llama',
    type: 'F32',
    seed: 2,
    hiddenSize: 64,
    numHeads: 2,
    numKvHeads: 1,
    ...sizes,
    neverEnds: true,
  });

interface Killable extends ReturnType<typeof openForTests> {
  killer: GpuKiller;
  hub: HubServer;
  /** The model's id at the hub. */
  modelUrl: string;
}

/**
 * Like `openForTests` for the package: a browser whose GPU process may be killed, the killer, and a hub that has
 * `model` as `file`.
 */
export function openForKills(file: string, model: Uint8Array): Killable {
  const opened = openForTests(servePackage, launchMany) as Killable;
  beforeAll(async () => {
    const hub = await HubServer.start('owner/kills', { [file]: model });
    const killer = await GpuKiller.start(opened.browser);
    Object.assign(opened, { killer, hub, modelUrl: hub.fileUrl(file) });
    return () => Promise.all([killer.close(), hub.close()]);
  });
  return opened;
}
