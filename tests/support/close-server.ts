import type { Server } from 'node:http';

/** Resolves when no connection is left: of what comes after `close` none is taken, so that none can outlive those cut here. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  await closed;
}
