import { autotune, type TuningStore } from '../gpu/autotuner.ts';
import type { Variant } from '../gpu/device-variant.ts';
import { type Device, openDevice } from '../gpu/device.ts';
import { noErrors } from '../gpu/error-scopes.ts';
import { throwIfLost } from '../gpu/readback.ts';
import { Recorder } from '../gpu/recorder.ts';
import { USUAL_LIMITS } from '../gpu/submission-limits.ts';
import { kernelContests } from '../models/kernel-contests.ts';
import { loadTransformer } from '../models/load-transformer.ts';
import { checkedVariant } from './checks/session-checks.ts';
import { LookAhead } from './look-ahead.ts';
import { draftStates, openDraftHead } from './open-draft-head.ts';
import { type ModelPlan, planHeader, planModel } from './model-plan.ts';
import { Session } from './session.ts';
import type { SessionOptions } from './session-options.ts';
import { warmUp } from './warm-up.ts';

/** Opens a device and brings the model there. Errors: those of `openEngine`. */
export async function openSession(options: SessionOptions): Promise<Session> {
  const opened = await openWith(options);
  if (!('right' in opened)) return opened;
  const again = await openWith(options, opened.right);
  if (!('right' in again)) return again;
  throw new Error('self-check: the variant that was right is not');
}

/** With `variant`, or what the device has of itself; where that computes wrong, says which one does not. */
async function openWith(options: SessionOptions, variant?: Variant): Promise<Session | { right: Variant }> {
  const { onProgress, signal, wait, gpuAdapter, without, deviceClass } = options;
  const device = await openDevice(options.gpu, {
    wait,
    gpuAdapter,
    without,
    deviceClass,
    onLost: options.onDeviceLost,
  });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = options.header
      ? planHeader(device, options.header, options)
      : await planModel(device, options.sources, options);
    const opened = await noErrors(device, plan.file, async () => {
      const recorder = new Recorder(device);
      const { submissions = USUAL_LIMITS } = options;
      recorder.mostDispatches = submissions.submission;
      const { tuning, autotunes = device.deviceClass === 'gpu' } = options;
      if (variant) device.variant = variant;
      else if (tuning && autotunes) await tune(device, recorder, plan, tuning);
      let bytes = 0;
      const onBytes = (more: number): void => {
        throwIfLost(device); // nothing else would notice before all is read
        bytes += more;
        onProgress?.({ phase: 'upload', bytes, total: plan.tensorBytes });
      };
      const head = options.withDraftHead ? plan.draftHead : undefined;
      const states = head && draftStates(device, head);
      const transformer = await loadTransformer(device, plan.config, plan.tensors, {
        ...plan,
        onBytes,
        signal,
        recorder,
        states,
      });
      onProgress?.({ phase: 'compile', bytes: 0, total: 0 });
      const session = new Session(device, plan, transformer, recorder, options);
      await device.pipelines.ready();
      const right = tuning && (await checkedVariant(session, tuning));
      if (right && JSON.stringify(right) !== JSON.stringify(device.variant)) return { right };
      await warmUp(session);
      if (head) session.draftModel = await openDraftHead(session, { plan, head }, options);
      session.lookAhead = await LookAhead.measure(device, submissions.inFlight);
      return session;
    });
    if ('right' in opened) device.close();
    return opened;
  } catch (error) {
    device.close();
    throw error;
  }
}

async function tune(
  device: Device,
  recorder: Recorder,
  { config, tensors }: ModelPlan,
  store: TuningStore,
): Promise<void> {
  const { contests, release } = kernelContests(device, config, tensors);
  await autotune(device, recorder, contests, store);
  release();
}
