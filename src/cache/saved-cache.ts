import { isRecord } from '../util/values.ts';
import { hasPages, hasState, type ModelConfig } from '../config/model-config.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { PAGE_FORMS, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import {
  type AdaptedSpan,
  type FormLoss,
  layerPageUnits,
  pagesBeforeWindow,
  type PageRun,
  savedMeasureBytes,
  type SavedPage,
  savedPageUnits,
  type SavedSlot,
  slidingWindowLayers,
} from './cache-page.ts';
import { pagesFor } from './kv-cache.ts';
import { SAVED_STATES } from './recurrent-states.ts';

/** A saved cache in a store. */
export interface SavedFile {
  name: string;
  bytes: number;
}

/** Stores bytes by name. Errors: `over_limit` if full; `unsupported` if the host has no storage. */
export interface CacheStore {
  get(name: string): Promise<ArrayBuffer | undefined>;
  /** Replaces the file atomically. */
  put(name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  delete(name: string): Promise<void>;
  list(): Promise<SavedFile[]>;
}

/** A saved text without the bytes of its pages. */
export interface SavedText {
  /** Hash of the model that computed it (model-hash.ts). */
  model: string;
  tokens: readonly number[];
  /**
   * Keys of its adapters with their plans, and of its policy. A request reuses the text as a prefix if its policy is equal,
   * up to the first token with other adapters.
   */
  adapters: readonly AdaptedSpan[];
  policy: string;
  /** `[page][layer]`; page i begins at position i · PAGE_TOKENS. */
  pages: readonly (readonly SavedPage[])[];
  /** Consecutive pages whose entries were chosen. */
  sparse?: PageRun;
  /** Models with delta nets: token counts, ascending, of the recurrent states stored after the pages. */
  states?: readonly number[];
  /** Results of probes, and the number of pages at the last one. */
  probed: { pages: number; losses: readonly FormLoss[] };
}

/**
 * A text with the concatenated bytes of its pages, by layer, each followed by what is known of its pages' entries (f32): their
 * shares, page by page, then their squares.
 */
export interface SavedCache {
  text: SavedText;
  layers: readonly Uint8Array<ArrayBuffer>[];
}

/** The model that a saved cache must match. */
interface SavedFor {
  hash: string;
  config: Pick<
    ModelConfig,
    | 'numLayers'
    | 'numKvHeads'
    | 'headDim'
    | 'hiddenSize'
    | 'vocabSize'
    | 'window'
    | 'sharedKeys'
    | 'convolution'
    | 'deltaNet'
  >;
}

/** A slot's `from` has the upper 24 bits of a word of the page's, signed. */
const MOST_FROM = 2 ** 23 - 1;

const MAGIC = 0x564b5743; // "CWKV"
/** Raise whenever the meaning of page bytes or keys changes, or the same tokens give other pages. */
export const SAVED_VERSION = 7;
const PRELUDE_BYTES = 16;
const DIGEST_BYTES = 32;

/**
 * Format: magic, version, bytes of the text and zero (u32 each); the text (JSON), padded with spaces to a multiple of 8;
 * the pages of each layer; the SHA-256 of all before. Byte order: the machine's, like the GPU's pages.
 */
export async function encodeSavedCache({ text, layers }: SavedCache): Promise<Uint8Array<ArrayBuffer>> {
  const json = new TextEncoder().encode(JSON.stringify(text) + ' '.repeat(8));
  const textBytes = json.length - (json.length % 8);
  const pageBytes = layers.reduce((sum, { length }) => sum + length, 0);
  const bytes = new Uint8Array(PRELUDE_BYTES + textBytes + pageBytes + DIGEST_BYTES);
  new Uint32Array(bytes.buffer, 0, 4).set([MAGIC, SAVED_VERSION, textBytes, 0]);
  let at = PRELUDE_BYTES;
  for (const part of [json.subarray(0, textBytes), ...layers]) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes.set(await digestOf(bytes.subarray(0, at)), at);
  return bytes;
}

/** The inverse of `encodeSavedCache`; layers are views of `bytes`. Errors: `bad_file` naming `file` and the field (`model` for another model's). */
export async function decodeSavedCache(
  bytes: ArrayBuffer,
  file: string,
  { hash, config }: SavedFor,
): Promise<SavedCache> {
  const check: Check = (holds, field, reason) => {
    if (!holds) throw new ChunkwiseError('bad_file', { file, field, reason });
  };
  const end = bytes.byteLength - DIGEST_BYTES;
  check(end >= PRELUDE_BYTES, 'length', `it ends after ${bytes.byteLength} bytes`);
  const [magic, version, textBytes = 0, zero] = new Uint32Array(bytes, 0, 4);
  check(magic === MAGIC, 'magic', 'it is not a saved cache');
  check(version === SAVED_VERSION, 'version', `it is of version ${version}; this is version ${SAVED_VERSION}`);
  const digest = await digestOf(new Uint8Array(bytes, 0, end));
  const isWhole = new Uint8Array(bytes, end).every((byte, i) => byte === digest[i]);
  check(isWhole, 'checksum', 'its bytes are not those that were saved: it was cut off or damaged');
  const textEnd = PRELUDE_BYTES + textBytes;
  check(textBytes % 8 === 0 && zero === 0 && textEnd <= end, 'prelude', 'it names an impossible length');
  const text = parseJson(new Uint8Array(bytes, PRELUDE_BYTES, textBytes));
  checkText(text, hash, config, check);
  let at = textEnd;
  const layers = Array.from({ length: config.numLayers }, (_, layer) => {
    const length = layerBytes(text, layer, config);
    check(at + length <= end, 'length', `the pages of layer ${layer} reach past its end`);
    at += length;
    return new Uint8Array(bytes, at - length, length);
  });
  check(at === end, 'length', `${end - at} bytes follow the last page`);
  return { text, layers };
}

type Check = (holds: boolean, field: string, reason: string) => asserts holds;

function checkText(text: unknown, hash: string, config: SavedFor['config'], check: Check): asserts text is SavedText {
  check(isRecord(text), 'text', 'it is not a JSON object');
  const { model, tokens, adapters, policy, pages, sparse, states, probed } = text;
  check(typeof model === 'string', 'model', 'it is not a string');
  check(model === hash, 'model', 'it was saved from another model');
  check(typeof policy === 'string', 'policy', 'it is not a string');
  check(Array.isArray(tokens) && tokens.length > 0, 'tokens', 'there are none');
  check(
    tokens.every((token) => isWhole(token, 0, config.vocabSize - 1)),
    'tokens',
    'one is not in the vocabulary',
  );
  const numPages = pagesFor(tokens.length);
  check(
    Array.isArray(pages) && pages.length === numPages,
    'pages',
    `they are not the ${numPages} of ${tokens.length} tokens`,
  );
  pages.forEach((page: unknown, i) => {
    check(
      Array.isArray(page) && page.length === config.numLayers,
      `page ${i}`,
      `it is not of ${config.numLayers} layers`,
    );
    page.forEach((state, layer) => {
      const isGone =
        !hasPages(config, layer) ||
        (slidingWindowLayers(config).includes(layer) && i < pagesBeforeWindow(config, tokens.length));
      const field = `page ${i} of layer ${layer}`;
      checkPage(state, field, isGone, config.numKvHeads, check);
      check(
        state.form === 'f16' || !slidingWindowLayers(config).includes(layer),
        field,
        `its form is ${state.form} in a layer whose pages are in f16`,
      );
    });
  });
  checkSparse(sparse, numPages, check);
  checkStates(states, config.deltaNet ? tokens.length : 0, check);
  check(
    isRecord(probed) && isWhole(probed['pages'], 0) && Array.isArray(probed['losses']),
    'probed',
    'it is not a number of pages and an array',
  );
  (probed['losses'] as unknown[]).forEach((loss, i) => checkLoss(loss, `probed ${i}`, config.numLayers, check));
  checkSpans(adapters, tokens.length, check);
}

/** The first span starts at 0, and each further one after the previous. */
function checkSpans(spans: unknown, tokens: number, check: Check): void {
  check(Array.isArray(spans) && spans.length > 0, 'adapters', 'they are not a list');
  let least = 0;
  for (const [i, span] of spans.entries()) {
    check(isRecord(span) && typeof span['key'] === 'string', `adapters ${i}`, 'its key is not a string');
    const { from } = span;
    check(isWhole(from, least, i === 0 ? 0 : tokens - 1), `adapters ${i}`, `it begins at ${JSON.stringify(from)}`);
    least = (from as number) + 1;
  }
}

function checkLoss(loss: unknown, field: string, numLayers: number, check: Check): void {
  check(isRecord(loss), field, 'it is not a JSON object');
  const { layer, form, change, size, queries, bytes } = loss;
  check(isWhole(layer, 0, numLayers - 1), field, `its layer is ${JSON.stringify(layer)}`);
  check((PAGE_FORMS as readonly unknown[]).includes(form), field, `its form is ${JSON.stringify(form)}`);
  for (const each of [change, size]) {
    check(
      typeof each === 'number' && each >= 0 && each < Infinity,
      field,
      `one of its squares is ${JSON.stringify(each)}`,
    );
  }
  check(isWhole(queries, 1) && isWhole(bytes, 0), field, 'its queries or its bytes are no whole numbers');
}

/** Token counts of the states must ascend. */
function checkStates(states: unknown, most: number, check: Check): void {
  if (states === undefined) return;
  check(Array.isArray(states) && states.length <= SAVED_STATES, 'states', 'they are not a short list');
  states.forEach((tokens: unknown, i) =>
    check(
      isWhole(tokens, i === 0 ? 1 : (states[i - 1] as number) + 1, most),
      'states',
      `a state after ${JSON.stringify(tokens)} tokens is out of order`,
    ),
  );
}

function checkPage(
  state: unknown,
  field: string,
  isGone: boolean,
  numKvHeads: number,
  check: Check,
): asserts state is SavedPage {
  check(isRecord(state), field, 'it is not a JSON object');
  const { form, entries, slots, squared } = state;
  check((PAGE_FORMS as readonly unknown[]).includes(form), field, `its form is ${JSON.stringify(form)}`);
  const isSparse = form === 'sparse';
  if (isSparse || slots !== undefined) {
    check(Array.isArray(slots) && slots.length === numKvHeads, field, `it has no slots of ${numKvHeads} heads`);
    for (const slot of slots) checkSlot(slot, isSparse, field, check);
  }
  check(
    squared === undefined || (squared === true && !isGone),
    field,
    `it names squares as ${JSON.stringify(squared)}`,
  );
  const most = isSparse ? Math.max(...(slots as (SavedSlot | null)[]).map((slot) => slot?.entries ?? 0)) : PAGE_TOKENS;
  check(
    isGone ? form === 'f16' && entries === 0 : entries === most,
    field,
    `it has ${JSON.stringify(entries)} entries`,
  );
}

/** A head of a page that is not sparse has all entries. */
function checkSlot(slot: unknown, isSparse: boolean, field: string, check: Check): void {
  if (slot === null && isSparse) return;
  check(isRecord(slot), field, 'one of its slots is not a JSON object');
  const { from, entries } = slot;
  check(
    isWhole(from, 0, isSparse ? MOST_FROM : 0) && isWhole(entries, isSparse ? 1 : PAGE_TOKENS, PAGE_TOKENS),
    field,
    `one of its slots has ${JSON.stringify(entries)} entries from ${JSON.stringify(from)} on`,
  );
}

function checkSparse(sparse: unknown, numPages: number, check: Check): void {
  if (sparse === undefined) return;
  check(
    isRecord(sparse) && isWhole(sparse['first'], 0) && isWhole(sparse['count'], 1),
    'sparse',
    'it is not a number of pages from one on',
  );
  check(
    (sparse['first'] as number) + (sparse['count'] as number) <= numPages,
    'sparse',
    'it names pages past the text',
  );
}

function layerBytes({ pages, states = [] }: SavedText, layer: number, config: SavedFor['config']): number {
  const ofPages = pages.map((page) => {
    const own = page[layer] as SavedPage;
    return savedPageUnits(config, layer, own) * UNIT_BYTES + savedMeasureBytes(own, config.numKvHeads);
  });
  const ofStates = hasState(config, layer) ? states.length * layerPageUnits(config, layer) * UNIT_BYTES : 0;
  return ofPages.reduce((sum, each) => sum + each, ofStates);
}

function parseJson(bytes: Uint8Array<ArrayBuffer>): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

const isWhole = (value: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most;

const digestOf = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
