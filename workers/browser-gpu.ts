import { ChunkwiseError } from '../src/errors/chunkwise-error.ts';

/** WebGPU of this page or worker. Throws `no_webgpu`. */
export function browserGpu(): GPU {
  const gpu = navigator.gpu as GPU | undefined;
  if (gpu) return gpu;
  const reason = isSecureContext ? 'this browser has none' : 'WebGPU needs a secure page: https, or localhost';
  throw new ChunkwiseError('no_webgpu', { reason });
}
