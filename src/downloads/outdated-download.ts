import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** What has come of a file is of no use any more; to begin anew may help. */
export class OutdatedDownload extends ChunkwiseError {
  constructor(
    code: 'network' | 'storage_lost',
    detail: { file: string; field?: string; reason: string },
    options?: ErrorOptions,
  ) {
    super(code, detail, options);
  }
}
