import type { Estimate } from '../statistics.ts';

/** What each peer is asked: to go on with a text, greedily, for a fixed number of tokens. */
export interface Question {
  text: string;
  tokens: readonly number[];
  /** Tokens to answer with: the first is the prompt's, the others are decoded. */
  count: number;
}

export interface Answer {
  text: string;
  /** Until the first token was there. */
  promptMs: number;
  /** Between each token and the next. */
  stepMs: readonly number[];
  /** Processor time of the prompt, and of all steps; where the runtime has a process of its own. */
  cpu?: { promptMs: number; stepsMs: number };
}

/** A runtime with its model, and with the adapter where it was asked for one. */
export interface OpenPeer {
  device: string;
  /** In Node from the call to the model's being ready; in a browser from the visit of the page, with the model in its storage. */
  loadMs: number;
  /** Of code that the page fetched, as it is and compressed by gzip; nothing of it in Node. */
  payload?: { bytes: number; gzipBytes: number };
  answer(question: Question): Promise<Answer>;
  /** Most bytes of memory that its processes had at one time. */
  peakBytes(): Promise<number>;
  close(): Promise<void>;
}

/** One row of the tables. */
export interface Peer {
  name: string;
  host: 'Node' | 'Chromium';
  /** Of its weights. */
  type: string;
  adapted: boolean;
  /** Starts it anew, in processes of its own. Rejects with what the runtime says where it cannot run. */
  open(): Promise<OpenPeer>;
  /** Gives up what is kept from one start to the next; nothing of it in Node. */
  forget?(): Promise<void>;
}

export interface AtContext {
  /** Milliseconds a token: of one that is decoded, and of the prompt's. */
  decode: Estimate;
  prefill: Estimate;
  /** Of the answers, how many are llama.cpp's on the CPU, with the same adapter, and how many characters they share with it. */
  sameAnswers: number;
  sharedCharacters: number;
  answers: number;
}

/** What was found of one of them: figures, or why there are none, in the runtime's own words. */
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
