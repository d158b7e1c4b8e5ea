import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** As in GPUAdapterInfo; empty where the browser does not tell. Throws `no_webgpu`. */
export async function deviceVendor(): Promise<string> {
  return (await gpuAdapter()).info.vendor;
}

/** Throws `no_webgpu`. */
export async function deviceLimits(): Promise<GPUSupportedLimits> {
  return (await gpuAdapter()).limits;
}

async function gpuAdapter(): Promise<GPUAdapter> {
  const gpu = navigator.gpu as GPU | undefined;
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new ChunkwiseError('no_webgpu', { reason: 'this browser has no GPU adapter' });
  return adapter;
}
