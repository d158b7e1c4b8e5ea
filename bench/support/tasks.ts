/** Tasks whose answers copy from their prompts, and a free text, to measure speculation. */
import type { GenerateOptions } from '../../src/engine/types.ts';

export interface Task {
  prompt: string;
  options?: Pick<GenerateOptions, 'kv' | 'responseFormat'>;
}

const PASSAGE =
  `The lighthouse on the northern shore was built in 1872 by a family of stonemasons from the village. Its lamp
burned whale oil for the first eleven years, and after that it was changed to paraffin. The keeper climbed one hundred and sixty
steps each evening to trim the wick and wind the clockwork that turned the lens. In winter the sea froze near the rocks, and the
supply boat could not land for weeks. The children of the keeper learned to read from old newspapers that were used to wrap the
lamp glass.`.replaceAll('\n', ' ');
const edited = (text: string): string =>
  text.replace('lighthouse', 'old tower').replace('1872', '1901').replace('village', 'harbour');

const PEOPLE = [
  'Anna Berg, 34, painter, Oslo',
  'Jon Vik, 51, fisherman, Bodø',
  'Mia Dahl, 28, teacher, Bergen',
  'Ola Moe, 45, baker, Molde',
  'Eva Lund, 62, judge, Hamar',
];
const PEOPLE_SCHEMA = {
  type: 'array',
  minItems: 5,
  maxItems: 5,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string' },
      age: { type: 'integer' },
      work: { type: 'string' },
      town: { type: 'string' },
    },
    required: ['name', 'age', 'work', 'town'],
  },
};

// Examples make a small model copy.
const EDITS = `Text: ${PASSAGE}\nThe same with three words changed: ${edited(PASSAGE)}\n\nText: ${PASSAGE}\nThe same with three words changed:`;
export const TASKS = {
  edits: { prompt: EDITS },
  policy: { prompt: EDITS, options: { kv: 'policy' } },
  json: {
    prompt: `${PEOPLE.join('; ')}.\nAll five as JSON, with name, age, work and town: `,
    options: { responseFormat: { type: 'json_schema', schema: PEOPLE_SCHEMA } },
  },
  summary: { prompt: `Text: ${PASSAGE}\n\nA summary of the text, in its own words:` },
  free: { prompt: 'Once upon a time there was a small town at the foot of a mountain, where' },
} satisfies Record<string, Task>;
