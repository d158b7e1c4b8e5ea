/**
 * Part of the service worker: requests that it never answers bypass it if the browser has static routes. Otherwise
 * Chromium starts the worker for each request, and a request just before a new version takes over keeps the old version
 * for up to five minutes (docs/decisions/page.md).
 */
self.addEventListener('install', (event) => {
  if (!event.addRoutes) return;
  const { protocol, hostname, port } = location;
  const elsewhere = { not: { urlPattern: new URLPattern({ protocol, hostname, port }) } };
  const never = [elsewhere, { urlPattern: './models/*' }, { urlPattern: './adapters/*' }];
  // A browser may support routes, but not these.
  event.waitUntil(event.addRoutes({ condition: { or: never }, source: 'network' }).catch(() => undefined));
});
