#variant input/plain
// The unchanged input.
fn input(i: u32) -> vec4f { return x[i]; }

#variant input/normed
// The input times the weights of its norm; i counts across tokens, unless there is ONE_INPUT.
fn input(i: u32) -> vec4f {
  if (ONE_INPUT) { return x[i] * norm_weight[i]; }
  return x[i] * norm_weight[i % (BLOCKS * 8u)];
}

#variant load-block/direct
// Every invocation loads its whole block of inputs. The kernel defines `input(i)`.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  return Block(
    input(first), input(first + 1u), input(first + 2u), input(first + 3u),
    input(first + 4u), input(first + 5u), input(first + 6u), input(first + 7u));
}

#variant load-block/broadcast4
// Like broadcast8, for subgroups of exactly 4 (SwiftShader): each invocation loads two vectors.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  let u = input(first + (local & 3u));
  let v = input(first + 4u + (local & 3u));
  return Block(
    subgroupBroadcast(u, 0u), subgroupBroadcast(u, 1u), subgroupBroadcast(u, 2u), subgroupBroadcast(u, 3u),
    subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u));
}

#variant load-block/broadcast8
// For subgroups of exactly 8 whose invocations need the same inputs: each loads one vector and broadcasts it. lavapipe loads
// lane by lane, so this is an eighth of the loads. Assumes that a subgroup has consecutive local indices.
// needs: block, input
fn load_block(first: u32, local: u32) -> Block {
  let v = input(first + (local & 7u));
  return Block(
    subgroupBroadcast(v, 0u), subgroupBroadcast(v, 1u), subgroupBroadcast(v, 2u), subgroupBroadcast(v, 3u),
    subgroupBroadcast(v, 4u), subgroupBroadcast(v, 5u), subgroupBroadcast(v, 6u), subgroupBroadcast(v, 7u));
}

#variant load-squares/direct
// Sum of squares of the block's inputs. The kernel defines `square(i)`.
fn load_squares(first: u32, local: u32) -> f32 {
  return square(first) + square(first + 1u) + square(first + 2u) + square(first + 3u)
    + square(first + 4u) + square(first + 5u) + square(first + 6u) + square(first + 7u);
}

fn total_squares(sum: f32) -> f32 { return sum; }

#variant load-squares/broadcast4
// Like direct, but shared as in `load-block/broadcast4`.
fn load_squares(first: u32, local: u32) -> f32 {
  return square(first + (local & 3u)) + square(first + 4u + (local & 3u));
}

fn total_squares(sum: f32) -> f32 { return subgroupAdd(sum); }

#variant load-squares/broadcast8
// Like direct, but shared as in `load-block/broadcast8`: each invocation squares its own vector; `total_squares` adds the sums.
fn load_squares(first: u32, local: u32) -> f32 { return square(first + (local & 7u)); }

fn total_squares(sum: f32) -> f32 { return subgroupAdd(sum); }

#variant bias/none
fn bias(row: u32) -> f32 { return 0.0; }

#variant bias/vector
fn bias(row: u32) -> f32 { return bias_values[row]; }

#variant bias/after-norm
// The bias follows the norm's weights in their binding: with three weight buffers and an adapter, its own would be the ninth.
fn bias(row: u32) -> f32 { return norm_weight[(BIAS_START + row) / 4u][(BIAS_START + row) % 4u]; }

#variant rides/none
// Every workgroup computes the kernel's own outputs.
fn rides(group: vec3u, local: u32) -> bool { return false; }

#variant rides/low
// The workgroups after the kernel's own compute A · input of the same tokens' adapters.
// needs: lora-low
fn rides(group: vec3u, local: u32) -> bool {
  if (group.x < params.groups) { return false; }
  let work = group.x - params.groups;
  let token_work = NEXT_LINEARS * params.adapters * params.runs;
  let token = group.y * TOKENS + work / token_work;
  if (token < params.tokens) { lora_low(token, work % token_work, local); }
  return true;
}

#variant rides/routed
// Other dispatches compute the experts of other slices.
fn rides(group: vec3u, local: u32) -> bool {
  // The subtraction wraps around for experts before the slice's first.
  return routes[group.y * TOKENS].x - params.firstExpert >= params.experts;
}

#part store-product
// One output of a tile; after the last token there is none.
// needs: bias
fn store(token: u32, row: u32, sum: f32) {
  if (token >= params.tokens) { return; }
  let column = params.rowStart + row;
  let at = token * params.outputWidth + column;
  var value = sum * params.scale + bias(column);
  if (ACCUMULATE) { value += y[at]; }
  y[at] = value;
}

#variant packed-words/nibbles
// Words of four 8-bit numbers: the even elements of eight, then the odd ones, as masks of a word of nibbles give them.
fn packed_inputs(a: vec4i, b: vec4i) -> vec2u {
  return vec2u(pack4xI8(vec4i(a.xz, b.xz)), pack4xI8(vec4i(a.yw, b.yw)));
}

// Elements 8i to 8i + 7 of a block of the matrix.
fn packed_weights(block: u32, i: u32) -> vec2u {
  return (vec2u(weight[block][i]) >> vec2u(0u, 4u)) & vec2u(0x0f0f0f0fu);
}

#variant packed-words/bytes
// The same with the elements in order; `codes/8bit` says how weights are stored.
fn packed_inputs(a: vec4i, b: vec4i) -> vec2u { return vec2u(pack4xI8(a), pack4xI8(b)); }

fn packed_weights(block: u32, i: u32) -> vec2u {
  let words = weight[block * 2u + i / 2u];
  return select(words.xy, words.zw, i % 2u == 1u) ^ vec2u(0x00808080u);
}
