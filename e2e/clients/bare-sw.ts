/** The least service worker of an app: it serves the engine, and takes no page over by itself. */
import { serveEngine } from '../../src/service-worker/index.ts';

serveEngine({ path: '/v1/' });
