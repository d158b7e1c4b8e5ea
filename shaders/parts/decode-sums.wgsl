#variant decode-sums/memory
// How linear-shared takes its inputs and finishes its sums: through workgroup memory.
// needs: input, reduce-sum

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) { compute(group, local); }

// Copies the inputs of `count` blocks from the block `start` on to workgroup memory, and sums each block of them, or each half of
// one; minima are multiplied by these sums.
fn take_inputs(first_token: u32, start: u32, count: u32, local: u32) {
  workgroupBarrier(); // other invocations may still read the previous inputs
  for (var i = local; i < 8u * count; i += WORKGROUP) {
    let at = i % 8u * TILE_STRIDE + i / 8u;
    #for t in TOKENS
    let i#t = (input_token(first_token + #tu) * BLOCKS + start) * 8u + i;
    shared_vectors[at + #tu * 8u * TILE_STRIDE] = input(i#t) * CODE_STEP;
    if (NORMED) { squares[#tu / 4u][#tu % 4u] += dot(x[i#t], x[i#t]); }
    #end
  }
  workgroupBarrier();
  if (MINIMA > 0u) {
    const VECTORS = 8u / max(MINIMA, 1u);
    for (var i = local; i < TOKENS * MINIMA * count; i += WORKGROUP) {
      let place = i / count;
      let block = i % count;
      var sum = vec4f();
      for (var v = 0u; v < VECTORS; v++) { sum += shared_vectors[(place * VECTORS + v) * TILE_STRIDE + block]; }
      block_sums[place * TILE_BLOCKS + block] = dot(sum, CODE_SCALE);
    }
    workgroupBarrier();
  }
}

// GROUPS invocations a token finish the sums of all groups.
fn finisher(local: u32) -> Finisher { return Finisher(local / GROUPS, local % GROUPS); }

// `own`: this invocation's part of each token's sums. Returns what `finisher` finishes.
fn finished_sums(own: array<vec4f, TOKENS>, local: u32) -> vec4f {
  let finishes = finisher(local);
  var total = vec4f();
  #for t in TOKENS
  workgroupBarrier();
  shared_vectors[local] = own[#t];
  workgroupBarrier();
  if (finishes.token == #tu) { total = group_sum(finishes.group); }
  #end
  #for s in TOKEN_QUADS
  if (NORMED) {
    let sum = reduce_sum(squares[#s], local)[finishes.token % 4u];
    if (finishes.token / 4u == #su) { total *= inverse_rms(sum); }
  }
  #end
  return total;
}

// Sum of the vectors that the invocations of a group have stored.
fn group_sum(group: u32) -> vec4f {
  var sum = vec4f();
  for (var i = 0u; i < ROW_LANES; i++) { sum += shared_vectors[group * ROW_LANES + (group + i) % ROW_LANES]; }
  return sum;
}

#variant decode-sums/subgroups
// How linear-shared takes its inputs and finishes its sums: through subgroups. WGSL does not say which invocations of a
// workgroup form a subgroup. So a subgroup takes the next free places of the workgroup, and an invocation's place in its
// subgroup gives its own: neighbours are in one subgroup, whatever its size, if all subgroups are full.
// needs: input, reduce-sum
var<workgroup> places_taken: atomic<u32>;
var<private> subgroup_width: u32;

// Sums of squares, one for each token and subgroup.
var<workgroup> square_sums: array<f32, max(select(0u, TOKENS * MOST_SUBGROUPS, NORMED), 1u)>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(subgroup_size) width: u32,
  @builtin(subgroup_invocation_id) place: u32,
) {
  var next = 0u;
  if (subgroupElect()) { next = atomicAdd(&places_taken, width); }
  let first = subgroupBroadcastFirst(next);
  subgroup_width = width;
  compute(group, first + place);
}

// FILL_LANES invocations share a block: each copies FILL_VECTORS vectors.
fn take_inputs(first_token: u32, start: u32, count: u32, local: u32) {
  if (!IS_ONE_TILE && start > 0u) { workgroupBarrier(); } // other invocations may still read the previous inputs
  let vector = local % FILL_LANES;
  for (var first = 0u; first < FILL_LANES * count; first += WORKGROUP) {
    let block = (first + local) / FILL_LANES;
    #for t in TOKENS
    {
      var sums = vec2f(); // of the block's halves, or of this invocation's half
      #for v in FILL_VECTORS
      if (block < count) {
        let i = (input_token(first_token + #tu) * BLOCKS + start + block) * 8u + vector + #vu * FILL_LANES;
        let own = input(i) * CODE_STEP;
        shared_vectors[(#tu * 8u + vector + #vu * FILL_LANES) * TILE_STRIDE + block] = own;
        if (NORMED) { squares[#tu / 4u][#tu % 4u] += dot(x[i], x[i]); }
        if (MINIMA > 0u) { sums[#v] = dot(own, CODE_SCALE); }
      }
      #end
      if (MINIMA > 0u) {
        sums += subgroupShuffleXor(sums, 1u);
        sums += subgroupShuffleXor(sums, 2u);
      }
      if (MINIMA == 1u) {
        sums.x += sums.y;
        if (FILL_LANES == 8u) { sums.x += subgroupShuffleXor(sums.x, 4u); }
        if (block < count && vector == 0u) { block_sums[#tu * TILE_BLOCKS + block] = sums.x; }
      }
      if (MINIMA == 2u && block < count && vector % 4u == 0u) {
        let half = (#tu * 2u + vector / 4u) * TILE_BLOCKS + block;
        block_sums[half] = sums.x;
        if (FILL_LANES == 4u) { block_sums[half + TILE_BLOCKS] = sums.y; }
      }
    }
    #end
  }
  if (NORMED && start + TILE_BLOCKS >= BLOCKS) {
    #for t in TOKENS
    let sum#t = subgroupAdd(squares[#tu / 4u][#tu % 4u]);
    if (local % subgroup_width == 0u) { square_sums[#tu * MOST_SUBGROUPS + local / subgroup_width] = sum#t; }
    #end
  }
  workgroupBarrier();
}

// The last invocations of a group finish its tokens. Counted from the workgroup's end, so that a compiler keeps one value during
// the products instead of two that it has used before them.
fn finisher(local: u32) -> Finisher {
  let after = WORKGROUP - 1u - local;
  return Finisher(after % ROW_LANES, GROUPS - 1u - after / ROW_LANES);
}

// `own`: this invocation's part of each token's sums. Returns what `finisher` finishes.
fn finished_sums(own: array<vec4f, TOKENS>, local: u32) -> vec4f {
  let finishes = finisher(local);
  let width = min(subgroup_width, ROW_LANES);
  var total = vec4f();
  if (!HOLDS_ROWS && SUMS_AT == 0u) { workgroupBarrier(); } // other invocations may still read inputs
  #for t in TOKENS
  var sum#t = own[#t];
  #for d in LANE_STEPS
  sum#t += select(vec4f(), subgroupShuffleXor(sum#t, 1u << #du), HOLDS_ROWS || (1u << #du) < width);
  #end
  if (HOLDS_ROWS) {
    if (finishes.token == #tu) { total = sum#t; }
  } else if (local % width == 0u) {
    shared_vectors[SUMS_AT + #tu * MOST_SUMS + local / width] = sum#t;
  }
  #end
  if (!HOLDS_ROWS) {
    workgroupBarrier();
    if (finishes.token < TOKENS) {
      let each = ROW_LANES / width;
      let before = SUMS_AT + finishes.token * MOST_SUMS + finishes.group * each;
      for (var i = 0u; i < each; i++) { total += shared_vectors[before + i]; }
    }
  }
  if (NORMED && finishes.token < TOKENS) {
    var squared = 0.0;
    let before = finishes.token * MOST_SUBGROUPS;
    for (var i = 0u; i < WORKGROUP / subgroup_width; i++) { squared += square_sums[before + i]; }
    total *= inverse_rms(squared);
  }
  // If a subgroup was not full, the sums become infinite, and the self-check refuses the kernel.
  return total / f32(atomicLoad(&places_taken) == WORKGROUP);
}
