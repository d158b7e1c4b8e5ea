import { parentPort } from 'node:worker_threads';
import { expose } from 'comlink';
import { createScheduler } from '../../../workers/scheduler.ts';
import { carryErrors } from '../../../workers/wire.ts';
import { nodeEndpoint } from './node-endpoint.ts';

carryErrors();
if (parentPort) expose(createScheduler(), nodeEndpoint(parentPort));
