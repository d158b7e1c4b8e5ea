import { napping, nodeGpu } from './node-gpu.ts';
import { type Device, openDevice } from '../../src/gpu/device.ts';
import { readOnce } from '../../src/gpu/recorder.ts';
import { lavapipeIcd } from '../setup/system.ts';
import type { NotedDispatch } from './paper-gpu.ts';
import { type AccessSite, tracedText } from './traced-text.ts';

/** Accesses of one workgroup: the lane, the site and the element of each entry. */
export interface WorkgroupTrace {
  sites: readonly AccessSite[];
  /** Invocations of a workgroup. */
  width: number;
  lanes: Uint16Array;
  siteOf: Uint32Array;
  elements: Uint32Array;
}

/** A workgroup's place in its dispatch. */
type Groups = readonly [number, number, number];

const MOST_ENTRIES = (1 << 24) - 1;
/** Most bytes of a binding whose buffer was never written: only the addresses matter. */
const BLANK_BYTES = 1 << 16;

/** Runs single workgroups of dispatches on lavapipe and records the addresses that they access. */
export class Tracer {
  readonly #trace: GPUBuffer;

  private constructor(private readonly device: Device) {
    this.#trace = device.buffers.storage('trace', 'staging', (MOST_ENTRIES + 1) * 8);
  }

  static async open(): Promise<Tracer> {
    process.env['VK_ICD_FILENAMES'] ??= lavapipeIcd();
    process.env['GALLIVM_PERF'] ??= 'nopt'; // it compiles more than it computes
    return new Tracer(await openDevice(nodeGpu(), { deviceClass: 'gpu', wait: napping }));
  }

  /**
   * Accesses of the workgroups at `groups` of a dispatch, one trace each. Results of earlier dispatches are zeros. Throws for a
   * text that cannot be traced.
   */
  async trace(dispatch: NotedDispatch, groups: readonly Groups[]): Promise<WorkgroupTrace[]> {
    const { queue } = this.device.gpuDevice;
    const { code, sites, access } = tracedText(dispatch.code);
    const { pipeline, layouts } = await this.#pipeline(code, [
      access.map((one) => (one === 'read' ? 'read-only-storage' : 'storage')),
      dispatch.params ? ['uniform'] : [],
      ['uniform', 'storage'],
    ]);
    const { STORAGE, UNIFORM } = GPUBufferUsage;
    const place = this.#buffer(UNIFORM, 32);
    const bound = [
      dispatch.bindings.map(({ size, contents }) =>
        this.#buffer(STORAGE, contents ? size : Math.min(size, BLANK_BYTES), contents),
      ),
      dispatch.params ? [this.#buffer(UNIFORM, dispatch.params.length, dispatch.params)] : [],
      [place, this.#trace],
    ];
    const bindGroups = bound.map((buffers, i) => this.#bindGroup(layouts[i] as GPUBindGroupLayout, buffers));
    const traces: WorkgroupTrace[] = [];
    for (const group of groups) {
      queue.writeBuffer(place, 0, new Uint32Array([...group, 0, ...dispatch.groups, 0]));
      traces.push({ sites, ...(await this.#run(pipeline, bindGroups)) });
    }
    for (const buffer of bound.flat()) if (buffer !== this.#trace) this.device.buffers.destroy(buffer);
    return traces;
  }

  async #pipeline(
    code: string,
    types: readonly (readonly GPUBufferBindingType[])[],
  ): Promise<{ pipeline: GPUComputePipeline; layouts: GPUBindGroupLayout[] }> {
    const { gpuDevice } = this.device;
    const entryOf = (type: GPUBufferBindingType, binding: number) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type },
    });
    const layouts = types.map((group) => gpuDevice.createBindGroupLayout({ entries: group.map(entryOf) }));
    const layout = gpuDevice.createPipelineLayout({ bindGroupLayouts: layouts });
    const module = gpuDevice.createShaderModule({ code });
    return {
      layouts,
      pipeline: await gpuDevice.createComputePipelineAsync({ layout, compute: { module, entryPoint: 'main' } }),
    };
  }

  #buffer(usage: number, size: number, contents?: Uint8Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.device.buffers.create('traced', 'staging', size, usage | GPUBufferUsage.COPY_DST);
    if (contents) this.device.gpuDevice.queue.writeBuffer(buffer, 0, contents);
    return buffer;
  }

  #bindGroup(layout: GPUBindGroupLayout, buffers: readonly GPUBuffer[]): GPUBindGroup {
    return this.device.gpuDevice.createBindGroup({
      layout,
      entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
  }

  async #run(
    pipeline: GPUComputePipeline,
    bindGroups: readonly GPUBindGroup[],
  ): Promise<Omit<WorkgroupTrace, 'sites'>> {
    const { gpuDevice } = this.device;
    gpuDevice.queue.writeBuffer(this.#trace, 0, new Uint32Array(1));
    const encoder = gpuDevice.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    bindGroups.forEach((group, i) => pass.setBindGroup(i, group));
    pass.dispatchWorkgroups(1);
    pass.end();
    gpuDevice.queue.submit([encoder.finish()]);
    const [count = 0, width = 0] = await this.#read(0, 8);
    if (count > MOST_ENTRIES)
      throw new Error(`a workgroup accesses its bindings ${count} times, more than ${MOST_ENTRIES}`);
    const words = count === 0 ? new Uint32Array() : await this.#read(8, count * 8);
    const lanes = new Uint16Array(count);
    const siteOf = new Uint32Array(count);
    const elements = new Uint32Array(count);
    for (let i = 0; i < count; i++) {
      const word = words[2 * i] ?? 0;
      lanes[i] = word & 4095;
      siteOf[i] = word >>> 12;
      elements[i] = words[2 * i + 1] ?? 0;
    }
    return { width, lanes, siteOf, elements };
  }

  async #read(offset: number, size: number): Promise<Uint32Array> {
    return new Uint32Array(await readOnce(this.device, 'trace', [{ buffer: this.#trace, offset, size }]));
  }

  close(): void {
    this.device.close();
  }
}
