import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** What has come of a file is of no use any more; to begin anew may help. */
export class OutdatedDownload extends ChunkwiseError {
  constructor(detail: { file: string; field?: string; reason: string }, options?: ErrorOptions) {
    super('network', detail, options);
  }
}
