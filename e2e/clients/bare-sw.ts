/** The minimal service worker of an app: it serves the engine and does not claim pages. */
import { serveEngine } from '../../src/service-worker/index.ts';

serveEngine({ path: '/v1/' });
