/** A repository of the Hugging Face hub, or one file in it. */
export interface HubId {
  /** `owner/name` */
  repo: string;
  /** Branch, tag or commit. */
  revision: string;
  /** Path in the repository; undefined where the device chooses. */
  file?: string;
}

const NAME = '[A-Za-z0-9][A-Za-z0-9._-]*';
const ID = new RegExp(`^(${NAME}/${NAME})(?:@([^:\\s]+))?(?::([^:]+))?$`);
const MODEL_FILE = /\.(gguf|safetensors|json)$/i;

/**
 * Reads `owner/repo`, `owner/repo@revision`, `owner/repo:file.gguf` and `owner/repo@revision:file.gguf`; undefined for
 * anything else, such as a URL. A relative URL that looks the same (`models/tiny.gguf`) is told by its file's ending,
 * or by a `./` or a final `/`.
 */
export function parseHubId(text: string): HubId | undefined {
  const [, repo, revision = 'main', file] = ID.exec(text) ?? [];
  if (repo === undefined || (file === undefined && MODEL_FILE.test(text)) || file?.split('/').includes('..'))
    return undefined;
  return { repo, revision, ...(file !== undefined && { file }) };
}
