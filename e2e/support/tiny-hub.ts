import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';

/** Bytes of a piece. */
export const PIECE = 1 << 20;
export const FILE = 'tiny-Q8_0.gguf';
export const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 2 });
export const PIECES = Math.ceil(MODEL.length / PIECE);

/** A hub with one model, `owner/tiny`, a file of a few pieces. */
export const startTinyHub = (): Promise<HubServer> => HubServer.start('owner/tiny', { [FILE]: MODEL });
