/** Plans the chunks of prompts in its own thread, ahead of the GPU. */
import { createScheduler } from './scheduler.ts';
import { serveThread } from './threads.ts';

serveThread(createScheduler());
