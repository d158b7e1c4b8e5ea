// Child process of spirv.ts: compiles the WGSL texts of a JSON file with a GPU object that prints Dawn's SPIR-V.
import { readFileSync, writeSync } from 'node:fs';
import { create, globals } from 'webgpu';

const [, , file = ''] = process.argv;
const codes = JSON.parse(readFileSync(file, 'utf8')) as string[];

Object.assign(globalThis, globals);
globalThis.dawn = create(['enable-dawn-features=dump_shaders']);
const gpuAdapter = await globalThis.dawn.requestAdapter();
if (!gpuAdapter) throw new Error('no adapter');
const { features, limits } = gpuAdapter;
const {
  maxComputeWorkgroupStorageSize,
  maxComputeInvocationsPerWorkgroup,
  maxComputeWorkgroupSizeX,
  maxStorageBuffersPerShaderStage,
} = limits;
const device = await gpuAdapter.requestDevice({
  requiredFeatures: (['shader-f16', 'subgroups'] as const).filter((feature) => features.has(feature)),
  requiredLimits: {
    maxComputeWorkgroupStorageSize,
    maxComputeInvocationsPerWorkgroup,
    maxComputeWorkgroupSizeX,
    maxStorageBuffersPerShaderStage,
  },
});
for (const [i, code] of codes.entries()) {
  writeSync(1, `\n##### ${i}\n`);
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  device.createComputePipeline({ layout: 'auto', compute: { module, entryPoint: 'main' } });
  const error = await device.popErrorScope();
  if (error) console.error(`##### ${i}: ${error.message}`);
}
process.exit(0);
