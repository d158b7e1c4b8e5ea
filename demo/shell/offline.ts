import { byId } from '../basics/dom.ts';
import { notify } from './notices.ts';

/** Next to the built page; the dev server has none. */
const WORKER = 'service-worker.js';
/** Most milliseconds until a new version takes over; usually a second. */
const PATIENCE_MS = 5_000;

/** Makes the page available offline, shows when it is offline, and asks before an update. */
export async function stayOffline(): Promise<void> {
  const badge = byId('offline-badge', HTMLElement);
  badge.hidden = navigator.onLine;
  window.addEventListener('offline', () => (badge.hidden = false));
  window.addEventListener('online', () => (badge.hidden = true));
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined; // undefined on an insecure page
  if (!workers || import.meta.env.DEV) return;
  try {
    const registration = await workers.register(WORKER);
    followUpdates(registration, workers);
    // The request bypasses the cache: if it fails, the page came from the device, unless storage is unavailable.
    await registration.update().catch(() => (badge.hidden = navigator.onLine && !registration.active));
  } catch {
    badge.hidden = navigator.onLine; // an open page keeps working offline
  }
}

function followUpdates(registration: ServiceWorkerRegistration, workers: ServiceWorkerContainer): void {
  const ask = (): void => {
    if (!registration.waiting || !workers.controller) return;
    notify('update', { text: 'A new version of this page is available.', action: { label: 'Reload', act: takeOver } });
  };
  const takeOver = (): void => {
    const { waiting } = registration;
    if (!waiting) return location.reload(); // another tab activated it
    workers.addEventListener('controllerchange', () => location.reload(), { once: true });
    waiting.postMessage({ type: 'SKIP_WAITING' });
    // Chromium drops the message if the page requests a file at that moment; after a reload the page is current.
    setTimeout(() => location.reload(), PATIENCE_MS);
  };
  registration.addEventListener('updatefound', () => {
    const { installing } = registration;
    installing?.addEventListener('statechange', () => {
      if (installing.state === 'installed') ask();
    });
  });
  ask();
}
