import { adapters } from './adapters.ts';
import { ggufModels } from './gguf-models.ts';
import { grammars, schemas } from './grammars.ts';
import type { FuzzKind } from './kind.ts';
import { requests } from './requests.ts';
import { safetensorsModels } from './safetensors-models.ts';
import { selfCheck } from './self-check.ts';
import { templates } from './templates.ts';

/** By name; the last one fails in every way, and shows that the others would be seen to. */
export const KINDS: Readonly<Record<string, FuzzKind>> = { ggufModels, safetensorsModels, adapters, schemas, grammars, templates, requests, selfCheck };
