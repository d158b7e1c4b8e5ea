import { byId } from '../basics/dom.ts';
import { notify } from './notices.ts';

/** Beside the built page; the dev server has none. */
const WORKER = 'service-worker.js';
/** So long a new version may take until it takes over; usually it is a second. */
const PATIENCE_MS = 5_000;

/** Lets the page open without a network, tells when there is none, and asks before a new version takes over. */
export async function stayOffline(): Promise<void> {
  const badge = byId('offline-badge', HTMLElement);
  badge.hidden = navigator.onLine;
  window.addEventListener('offline', () => (badge.hidden = false));
  window.addEventListener('online', () => (badge.hidden = true));
  const workers = navigator.serviceWorker as ServiceWorkerContainer | undefined; // missing on an insecure page
  if (!workers || import.meta.env.DEV) return;
  try {
    const registration = await workers.register(WORKER);
    followUpdates(registration, workers);
    // The server is asked anew: without it the page has come from the device, unless nothing of it could be kept there.
    await registration.update().catch(() => (badge.hidden = navigator.onLine && !registration.active));
  } catch {
    badge.hidden = navigator.onLine; // the page runs without it, as long as it is open
  }
}

function followUpdates(registration: ServiceWorkerRegistration, workers: ServiceWorkerContainer): void {
  const ask = (): void => {
    if (!registration.waiting || !workers.controller) return;
    notify('update', { text: 'A new version of this page is here.', action: { label: 'Reload', act: takeOver } });
  };
  const takeOver = (): void => {
    const { waiting } = registration;
    if (!waiting) return location.reload(); // another tab has let it take over
    workers.addEventListener('controllerchange', () => location.reload(), { once: true });
    waiting.postMessage({ type: 'SKIP_WAITING' });
    // Chromium forgets it where a file of the page is asked for just then; opened anew, the page has the new version.
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
