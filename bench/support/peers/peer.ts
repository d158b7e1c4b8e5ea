import type { Estimate } from '../statistics.ts';

/** A peer's question: continue a text greedily for a fixed number of tokens. */
export interface Question {
  text: string;
  tokens: readonly number[];
  /** Tokens to generate: the first comes from prefill, the others from decode. */
  count: number;
}

export interface Answer {
  text: string;
  /** Milliseconds to the first token. */
  promptMs: number;
  /** Milliseconds between tokens. */
  stepMs: readonly number[];
  /** CPU time of the prompt and of all steps, if the runtime has its own process. */
  cpu?: { promptMs: number; stepsMs: number };
}

/** A runtime with its model, and optionally an adapter. */
export interface OpenPeer {
  device: string;
  /** Load time: in Node from the call until the model is ready; in a browser from the visit, with a stored model. */
  loadMs: number;
  /** Bytes of code fetched by the page, raw and by gzip; undefined in Node. */
  payload?: { bytes: number; gzipBytes: number };
  answer(question: Question): Promise<Answer>;
  /** Peak memory of its processes in bytes. */
  peakBytes(): Promise<number>;
  close(): Promise<void>;
}

/** One row of the tables. */
export interface Peer {
  name: string;
  host: 'Node' | 'Chromium';
  /** Type of its weights. */
  type: string;
  adapted: boolean;
  /** Starts new processes. Rejects with the runtime's own error if it cannot run. */
  open(): Promise<OpenPeer>;
  /** Releases state kept between starts; nothing in Node. */
  forget?(): Promise<void>;
}

export interface AtContext {
  /** Milliseconds per token: decode and prefill. */
  decode: Estimate;
  prefill: Estimate;
  /** Number of answers equal to llama.cpp's on the CPU with the same adapter, and number of common characters. */
  sameAnswers: number;
  sharedCharacters: number;
  answers: number;
}

/** Results of one peer: figures, or the runtime's own error. */
export type PeerFigures = Pick<Peer, 'name' | 'host' | 'type' | 'adapted'> &
  (
    | { error: string }
    | {
        device: string;
        contexts: Record<string, AtContext>;
        load: Estimate;
        payload?: OpenPeer['payload'];
        peakBytes: Estimate;
      }
  );
