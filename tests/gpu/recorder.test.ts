import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { type Device, openDevice, type OptionalFeature } from '../../src/gpu/device.ts';
import type { Kernel } from '../../src/gpu/kernel.ts';
import { createOperation, Readback, readOnce, Recorder } from '../../src/gpu/recorder.ts';
import { miscompiling } from '../support/gpu/miscompiling.ts';

let device: Device;
let recorder: Recorder;
let readback: Readback;
/** Of one number each. */
let source: GPUBuffer;
let target: GPUBuffer;

beforeAll(async () => {
  device = await openDevice(nodeGpu(), { wait: napping });
  recorder = new Recorder(device);
  readback = new Readback(device, 'results', 4, 1);
  source = device.buffers.storage('source', 'activations', 4);
  target = device.buffers.storage('target', 'activations', 4);
});
afterAll(() => device.close());

const write = (buffer: GPUBuffer, value: number): void =>
  device.gpuDevice.queue.writeBuffer(buffer, 0, new Uint32Array([value]));
const part = () => [{ buffer: target, offset: 0, size: 4 }];
const value = async (): Promise<number | undefined> => new Uint32Array(await readOnce(device, 'target', part()))[0];
const record = (): void => recorder.copy(source, 0, target, 0, 4);

it('submits what is recorded in one go, and alone what is recorded outside', async () => {
  write(source, 1);
  recorder.inOneGo(record);
  expect(await value()).toBe(1);
  write(source, 2);
  record();
  expect(await value()).toBe(2);
});

it('drops what was recorded before an error: nobody else submits it', async () => {
  write(source, 3);
  write(target, 0);
  const failing = (): void => {
    record();
    throw new Error('half of it');
  };
  expect(() => recorder.inOneGo(failing)).toThrow('half of it');
  expect(new Uint32Array(await readback.submit(recorder, part()))[0]).toBe(0);
});

it('drops the whole where a part of it failed and its error goes elsewhere', async () => {
  write(source, 4);
  write(target, 0);
  const part1 = async (): Promise<void> =>
    recorder.inOneGo(() => {
      record();
      throw new Error('a part of it');
    });
  let failed: Promise<void> | undefined;
  const whole = (): void => {
    record();
    failed = part1();
    record();
  };
  expect(() => recorder.inOneGo(whole)).toThrow('a part of it');
  await expect(failed).rejects.toThrow('a part of it');
  expect(await value()).toBe(0);
  recorder.inOneGo(record);
  expect(await value()).toBe(4);
});

it('no buffer is destroyed while work is recorded', async () => {
  const other = device.buffers.storage('other', 'activations', 4);
  const tooEarly = (): void => {
    recorder.copy(other, 0, target, 0, 4);
    device.buffers.destroy(other);
  };
  expect(() => recorder.inOneGo(tooEarly)).toThrow('other: recorded work that may use it is not submitted');
  device.buffers.destroy(other);
  await device.wait(device.gpuDevice.queue.onSubmittedWorkDone());
  expect(device.lost()).toBeUndefined();
});

it('brings more results at once than it keeps buffers for, and keeps no more', async () => {
  const before = device.buffers.report().staging;
  const results = [5, 6, 7].map((number) => {
    write(target, number);
    return readback.submit(recorder, part());
  });
  expect(device.buffers.report().staging).toBeGreaterThan(before);
  expect((await Promise.all(results)).map((bytes) => new Uint32Array(bytes)[0])).toEqual([5, 6, 7]);
  expect(device.buffers.report().staging).toBe(before);
});

it('an error that the device reports is known before the result of what it refused', async () => {
  const lost: string[] = [];
  const own = await openDevice(nodeGpu(), { wait: napping, onLost: (reason) => lost.push(reason) });
  const results = new Readback(own, 'results', 4, 1);
  const gone = own.buffers.storage('gone', 'activations', 4);
  gone.destroy();
  const reading = results.submit(new Recorder(own), [{ buffer: gone, offset: 0, size: 4 }]);
  await expect(reading).rejects.toMatchObject({
    code: 'device_lost',
    detail: { reason: expect.stringMatching(/reported an error.*gone/s) as string },
  });
  expect(lost).toHaveLength(1);
  own.close();
});

const UNIFORM: readonly OptionalFeature[] = ['immediate_address_space'];

describe.each([
  ['in a uniform buffer', UNIFORM],
  ['as immediates', []],
])('parameters %s', (_, without) => {
  let device: Device;
  let recorder: Recorder;

  beforeAll(async () => {
    device = await openDevice(nodeGpu(), { wait: napping, without });
    recorder = new Recorder(device);
  });
  afterAll(() => device.close());

  /** values[place] = value */
  const put: Kernel = {
    name: 'put',
    sources: ['@compute @workgroup_size(1) fn main() { values[params.place] = params.value; }'],
    constants: {},
    bindings: [{ name: 'values', type: 'array<f32>', access: 'read_write' }],
    params: { place: 'u32', value: 'f32' },
    groups: () => [1],
  };
  const COUNT = 5000;
  const operation = (count: number) => {
    const values = device.buffers.storage('values', 'activations', count * 4);
    const made = { ...createOperation(device, put, { values }), values };
    const read = async () =>
      new Float32Array(await readOnce(device, 'values', [{ buffer: values, offset: 0, size: count * 4 }]));
    return { made, read };
  };

  it('are each dispatch’s own, also beyond as many values as have a place', async () => {
    const { made, read } = operation(COUNT);
    for (let start = 0; start < COUNT; start += 500) {
      recorder.inOneGo(() => {
        for (let place = start; place < start + 500; place++) recorder.run(made, [1], { place, value: -place / 2 });
      });
    }
    expect(await read()).toEqual(Float32Array.from({ length: COUNT }, (_, place) => -place / 2));
  });

  it('stay those of a dispatch when the pipeline changes', async () => {
    const { made, read } = operation(4);
    const plain = createOperation(
      device,
      { ...put, name: 'plain', sources: ['@compute @workgroup_size(1) fn main() { values[3] += 1.0; }'], params: {} },
      { values: device.buffers.storage('others', 'activations', 16) },
    );
    const add = createOperation(
      device,
      {
        ...put,
        name: 'add',
        sources: ['@compute @workgroup_size(1) fn main() { values[params.place] += params.value; }'],
      },
      { values: made.values },
    );
    const wide = createOperation(
      device,
      {
        ...put,
        name: 'wide',
        sources: ['@compute @workgroup_size(1) fn main() { values[params.place] += params.value * params.factor; }'],
        params: { ...put.params, factor: 'f32' },
      },
      { values: made.values },
    );
    recorder.inOneGo(() => {
      recorder.run(made, [1], { place: 1, value: 2 });
      recorder.run(add, [1], { place: 1, value: 2 });
      recorder.run(plain, [1]);
      recorder.run(add, [1], { place: 1, value: 2 });
      recorder.run(wide, [1], { place: 2, value: 3, factor: 5 });
      recorder.run(add, [1], { place: 1, value: 2 });
    });
    expect(await read()).toEqual(new Float32Array([0, 8, 15, 0]));
  });

  it('that a submission before had are not written again', async () => {
    const { made } = operation(2);
    const { queue } = device.gpuDevice;
    const writeBuffer = vi.spyOn(queue, 'writeBuffer');
    for (let step = 0; step < 3; step++) {
      recorder.inOneGo(() => {
        for (const place of [0, 1, 0]) recorder.run(made, [1], { place, value: 0.123 });
      });
    }
    expect(writeBuffer.mock.calls.map((call) => call[4])).toEqual(without === UNIFORM ? [2 * 256] : []);
    writeBuffer.mockRestore();
  });

  it('that lack a field are an error, and nothing of it is submitted', async () => {
    const { made, read } = operation(1);
    expect(() =>
      recorder.inOneGo(() => {
        recorder.run(made, [1], { place: 0, value: 3 });
        recorder.run(made, [1], { place: 0 });
      }),
    ).toThrow('params: no value');
    expect(await read()).toEqual(new Float32Array(1));
  });

  it('of what is recorded again are those of the first time, until a buffer comes or goes', async () => {
    const { made, read } = operation(COUNT);
    let value = 1;
    let asked = 0;
    const again = (): void =>
      recorder.again('put', () => {
        asked++;
        for (const place of [0, 1]) recorder.run(made, [1], { place, value });
      });
    const before = recorder.dispatches;
    again();
    value = 2;
    again();
    expect([asked, recorder.dispatches - before]).toEqual([1, 4]);
    expect((await read()).slice(0, 2)).toEqual(new Float32Array([1, 1]));
    // As many others as take every place: what is recorded again has its own all the same.
    for (let place = 2; place < COUNT; place++) recorder.run(made, [1], { place, value: 5 });
    again();
    expect((await read()).slice(0, 3)).toEqual(new Float32Array([value, value, 5]));
    device.buffers.destroy(device.buffers.storage('another', 'activations', 4));
    value = 3;
    again();
    expect((await read()).slice(0, 2)).toEqual(new Float32Array([3, 3]));
  });
});

it('leaves immediates alone where a kernel reads others than those that were set', async () => {
  const { gpu, changed } = miscompiling(/f32\(params\.added\)/, 'f32(params.added + 1u)');
  const wrong = await openDevice(gpu, { wait: napping });
  expect([device, wrong].map(({ features }) => features.has('immediate_address_space'))).toEqual([true, false]);
  expect(changed()).toBe(1);
  wrong.close();
});
