// The search for the logit at which a filter cuts: the largest key such that the tokens at or above it weigh at least
// the goal. A token weighs 1 (top-k: goal k) or its probability (top-p: goal p of the total). Four rounds each sort the
// tokens whose key agrees with what is known so far into 256 bins by its next eight bits.
// A weight is a whole number in three limbs of LIMB_BITS bits, so that sums are exact in any order; a limb's sum over the
// whole vocabulary fits a word, and carries are left to the end.
// needs: sampling
const BINS = 256u;
const LIMB = f32(1u << LIMB_BITS);
const LIMB_MASK = (1u << LIMB_BITS) - 1u;

// What is known of the key, what the tokens above weigh, and the goal with its carries.
struct Search { above: vec3u, key: u32, goal: vec2u }

fn weight_of(logit: f32, maximum: f32) -> vec3u {
  if (params.byMass == 0u) { return vec3u(1u, 0u, 0u); }
  // Farther away e^d is below what three limbs hold, and must not be infinite.
  let weight = exp(max((logit - maximum) * params.inverseTemperature, -100.0)) * LIMB;
  let second = fract(weight) * LIMB;
  return vec3u(vec3f(weight, second, fract(second) * LIMB));
}

// Above the first limb's point, and below it.
fn carried(weight: vec3u) -> vec2u {
  let second = weight.y + (weight.z >> LIMB_BITS);
  return vec2u(weight.x + (second >> LIMB_BITS), ((second & LIMB_MASK) << LIMB_BITS) | (weight.z & LIMB_MASK));
}

fn is_less(a: vec2u, b: vec2u) -> bool { return a.x < b.x || (a.x == b.x && a.y < b.y); }

// At least the smallest weight, at most the total.
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

// What is known after `round` rounds, from what was before the last and its bins; every workgroup draws the same conclusion.
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
