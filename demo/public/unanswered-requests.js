/**
 * Part of the service worker: what it never answers goes to the network without it, where the browser has static routes.
 * Otherwise Chromium starts the worker for each request, and one just when a new version is to take over keeps the old
 * version for up to five minutes (docs/decisions/page.md).
 */
self.addEventListener('install', (event) => {
  if (!event.addRoutes) return;
  const { protocol, hostname, port } = location;
  const elsewhere = { not: { urlPattern: new URLPattern({ protocol, hostname, port }) } };
  const never = [elsewhere, { urlPattern: './models/*' }, { urlPattern: './adapters/*' }];
  // A browser that knows routes, but not these, does without.
  event.waitUntil(event.addRoutes({ condition: { or: never }, source: 'network' }).catch(() => undefined));
});
