import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AdapterKind } from '../support/browser.ts';
import { launchBrowser } from '../support/browser.ts';

const server = createServer((_request, response) => response.end('<!doctype html><title>adapter</title>'));

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => void server.close());

/** The adapter's features, and the result of a shader in f16 if it has f16. */
async function describeAdapter(kind: AdapterKind) {
  const browser = await launchBrowser(kind);
  try {
    const page = await browser.newPage();
    await page.goto(`http://localhost:${(server.address() as AddressInfo).port}/`);
    return await page.evaluate(async () => {
      const adapter = await navigator.gpu.requestAdapter();
      if (adapter === null) return undefined;
      const hasF16 = adapter.features.has('shader-f16');
      const device = await adapter.requestDevice({ requiredFeatures: hasF16 ? ['shader-f16'] : [] });
      const code = `${hasF16 ? 'enable f16;' : ''}
        @group(0) @binding(0) var<storage, read_write> out: array<f32>;
        @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) {
          out[i] = f32(${hasF16 ? 'f16' : 'f32'}(i) * 1.5);
        }`;
      const pipeline = device.createComputePipeline({
        layout: 'auto',
        compute: { module: device.createShaderModule({ code }) },
      });
      const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
      const readback = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      const entries = [{ binding: 0, resource: { buffer } }];
      pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
      pass.dispatchWorkgroups(1);
      pass.end();
      encoder.copyBufferToBuffer(buffer, 0, readback, 0, 16);
      device.queue.submit([encoder.finish()]);
      await readback.mapAsync(GPUMapMode.READ);
      const computed = [...new Float32Array(readback.getMappedRange())];
      device.destroy();
      return { features: [...adapter.features], subgroupMaxSize: adapter.info.subgroupMaxSize, computed };
    });
  } finally {
    await browser.close();
  }
}

it('Chromium on lavapipe has shader-f16 and subgroups', async () => {
  const adapter = await describeAdapter('lavapipe');
  expect(adapter?.features).toContain('shader-f16');
  expect(adapter?.features).toContain('subgroups');
  expect(adapter?.subgroupMaxSize).toBe(4); // the vectors that vitest.config.ts asks for
  expect(adapter?.computed).toEqual([0, 1.5, 3, 4.5]);
});

it('plain Chromium falls back to SwiftShader, which has no shader-f16', async () => {
  const adapter = await describeAdapter('swiftshader');
  expect(adapter?.features).not.toContain('shader-f16');
  expect(adapter?.subgroupMaxSize).toBe(4);
  expect(adapter?.computed).toEqual([0, 1.5, 3, 4.5]);
});
