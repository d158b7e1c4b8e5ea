// h = A · x for the adapters of a tile of eight tokens, times the components' weights: two components an invocation. The
// tile stops at the highest rank of its tokens; rows of A above it are not read.
const COMPONENTS = 2u * WORKGROUP;
const TILE = 8u;

fn input(i: u32) -> vec4f { return x[i]; }

fn half_block(at: u32) -> Block {
  return Block(
    lora_half4(lora[at]), lora_half4(lora[at + 1u]), lora_half4(lora[at + 2u]), lora_half4(lora[at + 3u]),
    lora_half4(lora[at + 4u]), lora_half4(lora[at + 5u]), lora_half4(lora[at + 6u]), lora_half4(lora[at + 7u]));
}

fn pair_dot(a: Block, b: Block, v: Block) -> vec2f {
  let first = block_dots(a, v);
  let second = block_dots(b, v);
  return vec2f(first.x + first.y, second.x + second.y);
}

fn store(token: u32, index: u32, linear: u32, first: u32, factors: LoraModule, sums: vec2f) {
  let at = ((token * params.adapters + index) * NEXT_LINEARS + linear) * params.lowStride;
  if (token >= params.tokens) {
    if (first == 0u) { low_next[at] = vec2u(); }
    return;
  }
  let row = lora_row(token, index);
  let rank = rank_at(factors, row.level_hi);
  if (first == 0u) {
    low_next[at] = vec2u(rank, factors.b);
    atomicAdd(&counters[2u * row.stream], rank);
    atomicAdd(&counters[2u * row.stream + 1u], 1u);
  }
  if (first >= rank) { return; }
  let below = vec2u(first, first + 1u) < vec2u(rank_at(factors, row.level_lo));
  low_next[at + 1u + first / 2u] = bitcast<vec2u>(sums * select(vec2f(row.weight_hi), vec2f(row.weight_lo), below));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let linear = group.x / params.runs;
  let run = group.x % params.runs;
  let index = group.z;
  let token = group.y * TILE;
  let factors = lora_module(lora_row(token, index).adapter, linear);
  var rank = 0u;
  for (var i = 0u; i < TILE; i++) {
    rank = max(rank, rank_at(factors, lora_row(min(token + i, params.tokens - 1u), index).level_hi));
  }
  let first = run * COMPONENTS + 2u * local;
  var sums0 = vec2f();
  var sums1 = vec2f();
  var sums2 = vec2f();
  var sums3 = vec2f();
  var sums4 = vec2f();
  var sums5 = vec2f();
  var sums6 = vec2f();
  var sums7 = vec2f();
  if (run * COMPONENTS < rank) {
    let rows = vec2u(factors.a) + min(vec2u(first, first + 1u), vec2u(rank - 1u)) * (BLOCKS * 8u);
    for (var block = 0u; block < BLOCKS; block++) {
      let a = half_block(rows.x + block * 8u);
      let b = half_block(rows.y + block * 8u);
      let i = (token * BLOCKS + block) * 8u;
      sums0 += pair_dot(a, b, load_block(i, local));
      sums1 += pair_dot(a, b, load_block(i + BLOCKS * 8u, local));
      sums2 += pair_dot(a, b, load_block(i + BLOCKS * 16u, local));
      sums3 += pair_dot(a, b, load_block(i + BLOCKS * 24u, local));
      sums4 += pair_dot(a, b, load_block(i + BLOCKS * 32u, local));
      sums5 += pair_dot(a, b, load_block(i + BLOCKS * 40u, local));
      sums6 += pair_dot(a, b, load_block(i + BLOCKS * 48u, local));
      sums7 += pair_dot(a, b, load_block(i + BLOCKS * 56u, local));
    }
  }
  store(token, index, linear, first, factors, sums0);
  store(token + 1u, index, linear, first, factors, sums1);
  store(token + 2u, index, linear, first, factors, sums2);
  store(token + 3u, index, linear, first, factors, sums3);
  store(token + 4u, index, linear, first, factors, sums4);
  store(token + 5u, index, linear, first, factors, sums5);
  store(token + 6u, index, linear, first, factors, sums6);
  store(token + 7u, index, linear, first, factors, sums7);
}
