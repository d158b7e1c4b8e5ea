import { ChunkwiseError } from '../errors/chunkwise-error.ts';

const MAX_ORDER = 3;
const FIRST_NODES = 1024;
const ROOT = 0;

/**
 * Predicts a text from its own past: n-gram counts of orders 0 to 3, each interpolated with the next lower order by Witten
 * and Bell's weights (1991, method C), the lowest with a prior. The counts form a trie: a node is an n-gram, its children
 * are the tokens that followed. A token adds at most four nodes, so memory is linear in the context.
 */
export class CacheModel {
  /** Nodes of the last 0 to 3 tokens. */
  private contexts = [ROOT];
  private nodes = 1;
  private parents = new Int32Array(FIRST_NODES);
  private tokens = new Int32Array(FIRST_NODES);
  /** Occurrences of each n-gram. */
  private counts = new Int32Array(FIRST_NODES);
  /** Tokens that followed each n-gram, in total and distinct. */
  private totals = new Int32Array(FIRST_NODES);
  private distinct = new Int32Array(FIRST_NODES);
  /** Sum of c · log2 c over the counts of the following tokens, from which entropy follows. */
  private spreads = new Float64Array(FIRST_NODES);
  /** Hash table by (parent, token) with open addressing; 0 is free, since the root has no parent. */
  private slots = new Int32Array(FIRST_NODES * 2);

  /** `prior`: probability of every token before any text; sums to 1. */
  constructor(private readonly prior: ArrayLike<number>) {}

  /** Probability that `token` comes next, in (0, 1]. Errors: `bad_request` for a token outside the vocabulary. */
  probability(token: number): number {
    let probability = this.prior[token];
    if (probability === undefined) {
      const reason = `${token} is not in the vocabulary of ${this.prior.length}`;
      throw new ChunkwiseError('bad_request', { field: 'tokens', reason });
    }
    for (const context of this.contexts) {
      const total = this.totals[context]!;
      // A context without followers has no information, and longer ones have none either.
      if (total === 0) break;
      const escape = this.distinct[context]!;
      const count = this.counts[this.slots[this.slotOf(context, token)]!]!;
      probability = (count + escape * probability) / (total + escape);
    }
    return probability;
  }

  /**
   * N-gram entropy of the next token, from 0 (certain) to 1 (unseen context): the entropy of the tokens that followed the
   * last 1 to 3 tokens over that of a uniform distribution, interpolated like probabilities; unseen contexts count as 1.
   */
  ngramEntropy(): number {
    const most = Math.log2(this.prior.length);
    let blended = 1;
    for (const context of this.contexts.slice(1)) {
      const total = this.totals[context]!;
      if (total === 0) break;
      const escape = this.distinct[context]!;
      const entropy = Math.log2(total) - this.spreads[context]! / total;
      blended = (escape * blended + (total * entropy) / most) / (total + escape);
    }
    return blended;
  }

  /** Adds `token` to the text. */
  learn(token: number): void {
    const children = this.contexts.map((context) => this.count(context, token));
    this.contexts = [ROOT, ...children.slice(0, MAX_ORDER)];
  }

  private count(context: number, token: number): number {
    let child = this.slots[this.slotOf(context, token)]!;
    if (child === 0) {
      if (this.nodes === this.counts.length) this.grow();
      child = this.nodes++;
      this.parents[child] = context;
      this.tokens[child] = token;
      this.slots[this.slotOf(context, token)] = child;
      this.distinct[context]!++;
    }
    const count = this.counts[child]!++;
    this.spreads[context]! += product(count + 1) - product(count);
    this.totals[context]!++;
    return child;
  }

  /** Slot of the child, or the free slot for it. */
  private slotOf(parent: number, token: number): number {
    const mask = this.slots.length - 1;
    let hash = Math.imul(parent, 0x9e3779b1) ^ Math.imul(token, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
    let slot = (hash ^ (hash >>> 13)) & mask;
    for (;;) {
      const node = this.slots[slot]!;
      if (node === 0 || (this.parents[node] === parent && this.tokens[node] === token)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  private grow(): void {
    const twice = (old: Int32Array) => {
      const grown = new Int32Array(old.length * 2);
      grown.set(old);
      return grown;
    };
    const spreads = new Float64Array(this.spreads.length * 2);
    spreads.set(this.spreads);
    this.spreads = spreads;
    this.parents = twice(this.parents);
    this.tokens = twice(this.tokens);
    this.counts = twice(this.counts);
    this.totals = twice(this.totals);
    this.distinct = twice(this.distinct);
    this.slots = new Int32Array(this.slots.length * 2);
    for (let node = 1; node < this.nodes; node++) {
      this.slots[this.slotOf(this.parents[node]!, this.tokens[node]!)] = node;
    }
  }
}

const product = (count: number): number => (count === 0 ? 0 : count * Math.log2(count));
