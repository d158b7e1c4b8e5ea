import type { Server } from 'node:http';

/** Resolves when no connection is left. After `close` the server accepts none, so that none outlives those closed here. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
