/** What `work` makes of the device's modules and pipelines, and why the browser or its driver refuses it, if it does. */
export function refusable<T>(gpuDevice: GPUDevice, work: () => T): { made: T; refusal: Promise<string | undefined> } {
  gpuDevice.pushErrorScope('internal'); // what a driver says
  gpuDevice.pushErrorScope('validation');
  const made = work();
  // A lost device's scopes may reject; the loss is reported where it is noticed.
  const popped = Promise.allSettled([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]);
  const refusal = popped.then((results) =>
    results.map((result) => (result.status === 'fulfilled' ? result.value?.message : undefined)),
  );
  return { made, refusal: refusal.then((messages) => messages.find((message) => message !== undefined)) };
}
