/** Plans the chunks of prompts ahead of the GPU. */
import { createScheduler } from './scheduler.ts';
import { serveThread } from './thread.ts';

serveThread(createScheduler());
