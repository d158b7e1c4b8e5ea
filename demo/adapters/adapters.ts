/** Whether a request is a chat turn or a text to continue. */
export type Form = 'chat' | 'text';

export interface ListedAdapter {
  /** Name of its folder and in requests. */
  name: string;
  /** Name for the user. */
  title: string;
  /** Its effect; completes a sentence that begins with its title. */
  does: string;
  /** Form that it was trained with. */
  form: Form;
  /** An example prompt. Throws if it needs a file that cannot be read. */
  example: () => Promise<string>;
}

const CONTEXT = `The lighthouse on Grey Skerry was built in 1868 by the engineer Ada Lindqvist, after eleven ships had been \
lost on the reef in a single winter. Its lamp burned colza oil until 1911, when it was changed to acetylene. The last \
keeper, Tomas Brandt, left the island in 1974.`;

const SCENE = `CAPTAIN:
The storm hath torn our sails, and yet we live.
What light is that, upon the farther shore?

SAILOR:`;

const ARTICLE = `= Grey Skerry Lighthouse =

The Grey Skerry Lighthouse is a lighthouse in the North Sea. It was built in 1868`;

/** A question about CONTEXT, in the prompt that both reading adapters were trained with. */
async function asked(question: string): Promise<string> {
  const response = await fetch(`${adapterUrl('squad')}prompt.json`);
  const { template } = (await response.json()) as { template: string };
  return template.replace('{context}', () => CONTEXT).replace('{question}', () => question);
}

/** The page's own adapters, each in its own folder. */
export const ADAPTERS: readonly ListedAdapter[] = [
  {
    name: 'squad',
    title: 'Text reader',
    does: 'finds answers in a text',
    form: 'chat',
    example: () => asked('What did the lamp burn before 1911?'),
  },
  {
    name: 'squad-alora',
    title: 'Late text reader',
    does: 'finds answers, active from “Question:” on',
    form: 'chat',
    example: () => asked('Who was the last keeper?'),
  },
  {
    name: 'shakespeare',
    title: 'Shakespeare',
    does: 'writes like the plays',
    form: 'text',
    example: async () => SCENE,
  },
  {
    name: 'wikitext',
    title: 'Encyclopedia',
    does: 'continues an article',
    form: 'text',
    example: async () => ARTICLE,
  },
];

/** Folder of a listed adapter. */
export const adapterUrl = (name: string): string => `adapters/${name}/`;
