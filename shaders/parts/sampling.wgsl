#part sampling
// Shared by the sampling kernels. A workgroup has a tile of the vocabulary; neighbouring invocations have neighbouring
// tokens. No result depends on the order in which invocations run, so the same seed gives the same token.
struct Tile { start: u32, end: u32 }

fn tile_of(group: u32) -> Tile { return Tile(group * TILE, min((group + 1u) * TILE, VOCAB)); }

const MASKED: f32 = -3.0e38;

// Orders floats as unsigned integers; the two zeros are equal.
fn order_key(value: f32) -> u32 {
  let bits = select(bitcast<u32>(value), 0u, value == 0.0);
  return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

#part best-token
// The largest value of a workgroup and the lowest token that has it; every invocation gets them.
// needs: sampling
struct Best { value: f32, token: u32 }

var<workgroup> best_key: atomic<u32>;
// The complement of the lowest token, since workgroup memory starts as 0.
var<workgroup> best_complement: atomic<u32>;

fn best_of(value: f32, token: u32) -> Best {
  let key = order_key(value);
  atomicMax(&best_key, key);
  workgroupBarrier();
  let largest = atomicLoad(&best_key);
  if (key == largest) { atomicMax(&best_complement, ~token); }
  workgroupBarrier();
  return Best(value_of(largest), ~atomicLoad(&best_complement));
}

#part largest-logit
// The largest logit of all tiles; every invocation gets it.
// needs: sampling
var<workgroup> largest_key: atomic<u32>;

fn largest_logit(lane: u32) -> f32 {
  var largest = MASKED;
  for (var tile = lane; tile < TILES; tile += LANES) { largest = max(largest, best_logits[tile]); }
  atomicMax(&largest_key, order_key(largest));
  workgroupBarrier();
  return value_of(atomicLoad(&largest_key));
}

#part softmax
// Online softmax (arXiv 1805.02867) of some logits: the largest, Σ e^d and Σ d e^d, where d is a logit minus the largest.
// needs: sampling
struct Softmax { maximum: f32, sum: f32, weighted: f32 }

const NO_LOGITS = Softmax(MASKED, 0.0, 0.0);

fn merge_softmax(a: Softmax, b: Softmax) -> Softmax {
  if (b.maximum > a.maximum) { return add_below(b, a); }
  return add_below(a, b);
}

fn add_below(a: Softmax, b: Softmax) -> Softmax {
  // Below this, e^d is 0 in f32; with an infinite d, d · 0 would be NaN.
  let d = max(b.maximum - a.maximum, -200.0);
  let shrink = exp(d);
  return Softmax(a.maximum, a.sum + shrink * b.sum, a.weighted + shrink * (b.weighted + d * b.sum));
}

var<workgroup> softmax_parts: array<Softmax, LANES>;

// Merges the softmaxes of a workgroup as a tree; its first invocation gets the result.
fn all_softmaxes(mine: Softmax, lane: u32) -> Softmax {
  softmax_parts[lane] = mine;
  for (var width = LANES / 2u; width > 0u; width /= 2u) {
    workgroupBarrier();
    if (lane < width) { softmax_parts[lane] = merge_softmax(softmax_parts[lane], softmax_parts[lane + width]); }
  }
  workgroupBarrier();
  return softmax_parts[0];
}

#part filter-cut
// The search for a filter's cut: the largest key such that the tokens at or above it weigh at least the goal. A token weighs
// 1 (top-k: goal k) or its probability (top-p: goal p of the total). Each of four rounds sorts the tokens whose key matches
// the bits found so far into 256 bins by the next eight bits.
// A weight is an integer in three limbs of LIMB_BITS bits, so that sums are exact in any order. A limb's sum over the whole
// vocabulary fits a word; carries are added at the end.
// needs: sampling
const BINS = 256u;
const LIMB = f32(1u << LIMB_BITS);
const LIMB_MASK = (1u << LIMB_BITS) - 1u;

// Weight of the tokens above the key, the bits of the key found so far, and the goal with its carries.
struct Search { above: vec3u, key: u32, goal: vec2u }

fn weight_of(logit: f32, maximum: f32) -> vec3u {
  if (params.byMass == 0u) { return vec3u(1u, 0u, 0u); }
  // Below this, three limbs cannot hold e^d; d must not be infinite.
  let weight = exp(max((logit - maximum) * params.inverseTemperature, -100.0)) * LIMB;
  let second = fract(weight) * LIMB;
  return vec3u(vec3f(weight, second, fract(second) * LIMB));
}

// The integer part (the first limb) and the fraction (the other two), with carries added.
fn carried(weight: vec3u) -> vec2u {
  let second = weight.y + (weight.z >> LIMB_BITS);
  return vec2u(weight.x + (second >> LIMB_BITS), ((second & LIMB_MASK) << LIMB_BITS) | (weight.z & LIMB_MASK));
}

fn is_less(a: vec2u, b: vec2u) -> bool { return a.x < b.x || (a.x == b.x && a.y < b.y); }

// The goal, at least the smallest weight and at most the total.
fn goal_of(total: vec2u) -> vec2u {
  var goal = vec2u(u32(params.goal), 0u);
  if (params.byMass == 1u) {
    let share = params.goal * (f32(total.x) + f32(total.y) / (LIMB * LIMB));
    goal = vec2u(u32(share), u32(fract(share) * (LIMB * LIMB)));
  }
  if (is_less(total, goal)) { goal = total; }
  return select(goal, vec2u(0u, 1u), all(goal == vec2u()));
}

var<workgroup> found: array<vec3u, BINS>;
var<workgroup> sums: array<vec3u, 16>;

// The search after `round` rounds, from the search before the last round and its bins. Every workgroup computes the same.
fn next_search(round: u32, lane: u32) -> Search {
  var search: Search;
  if (round == 0u) { return search; }
  if (round > 1u) { search = searches[round - 1u]; }
  let base = (round - 1u) * BINS * 3u;
  for (var bin = lane; bin < BINS; bin += LANES) {
    let at = base + bin * 3u;
    found[bin] = vec3u(atomicLoad(&bins[at]), atomicLoad(&bins[at + 1u]), atomicLoad(&bins[at + 2u]));
  }
  workgroupBarrier();
  for (var sixteen = lane; sixteen < 16u; sixteen += LANES) {
    var sum = vec3u();
    for (var i = 0u; i < 16u; i++) { sum += found[sixteen * 16u + i]; }
    sums[sixteen] = sum;
  }
  workgroupBarrier();
  if (round == 1u) {
    var total = vec3u();
    for (var i = 0u; i < 16u; i++) { total += sums[i]; }
    search.goal = goal_of(carried(total));
  }
  var sixteen = 15u;
  while (sixteen > 0u && is_less(carried(search.above + sums[sixteen]), search.goal)) {
    search.above += sums[sixteen];
    sixteen--;
  }
  var bin = sixteen * 16u + 15u;
  while (bin > sixteen * 16u && is_less(carried(search.above + found[bin]), search.goal)) {
    search.above += found[bin];
    bin--;
  }
  search.key |= bin << (32u - 8u * round);
  return search;
}

#variant is-allowed/all
// Every token is allowed.
fn is_allowed(token: u32) -> bool {
  return true;
}

#variant is-allowed/listed
// A grammar lists the tokens that are allowed next: bit i % 32 of word i / 32 of the sampled row.
fn is_allowed(token: u32) -> bool {
  let word = allowed[params.row * ((VOCAB + 31u) / 32u) + token / 32u];
  return ((word >> (token & 31u)) & 1u) == 1u;
}
