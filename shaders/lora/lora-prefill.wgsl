// h = A · x for the adapters of a tile of eight tokens, times the components' weights. Each invocation computes one component,
// and a second one if any token of the tile has a rank that high. Rows of A above the highest rank are not read.
// fills: input
// needs: block, load-block, lora-half, lora-table
const COMPONENTS = 2u * WORKGROUP;
const TILE = 8u;

// Sums of the tile's first four tokens and of the other four.
struct Sums { first: vec4f, second: vec4f }

fn input(i: u32) -> vec4f { return x[i]; }

fn half_block(at: u32) -> Block {
  return Block(
    lora_half4(lora[at]), lora_half4(lora[at + 1u]), lora_half4(lora[at + 2u]), lora_half4(lora[at + 3u]),
    lora_half4(lora[at + 4u]), lora_half4(lora[at + 5u]), lora_half4(lora[at + 6u]), lora_half4(lora[at + 7u]));
}

fn of_token(sums: Sums, i: u32) -> f32 { return select(sums.second[i & 3u], sums.first[i & 3u], i < 4u); }

// `i`: index of the block of the tile's first token.
fn add_block(sums: Sums, a: Block, i: u32, local: u32) -> Sums {
  const NEXT = BLOCKS * 8u;
  return Sums(
    sums.first + vec4f(
      block_dot(a, load_block(i, local)), block_dot(a, load_block(i + NEXT, local)),
      block_dot(a, load_block(i + 2u * NEXT, local)), block_dot(a, load_block(i + 3u * NEXT, local))),
    sums.second + vec4f(
      block_dot(a, load_block(i + 4u * NEXT, local)), block_dot(a, load_block(i + 5u * NEXT, local)),
      block_dot(a, load_block(i + 6u * NEXT, local)), block_dot(a, load_block(i + 7u * NEXT, local))));
}

// Stores the components `component` and `component + WORKGROUP`, if they are below the token's rank.
fn store(token: u32, index: u32, linear: u32, component: u32, factors: LoraModule, sums: vec2f) {
  let at = low_next_at(token, index, linear);
  if (token >= params.tokens) {
    if (component == 0u) { low_next[at] = 0u; }
    return;
  }
  let row = lora_row(token, index);
  let rank = rank_at(factors, row.level_hi);
  let below = rank_at(factors, row.level_lo);
  if (component == 0u) { store_head(at, row.stream, rank, factors.b); }
  for (var i = 0u; i < 2u; i++) {
    let k = component + i * WORKGROUP;
    if (k < rank) { store_component(at, k, sums[i], row, below); }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let linear = group.x / params.runs;
  let start = group.x % params.runs * COMPONENTS;
  let index = group.z;
  let token = group.y * TILE;
  let factors = lora_module(lora_row(token, index).adapter, linear);
  var rank = 0u;
  for (var i = 0u; i < TILE; i++) {
    rank = max(rank, rank_at(factors, lora_row(min(token + i, params.tokens - 1u), index).level_hi));
  }
  let component = start + local;
  let rows = vec2u(factors.a) + min(vec2u(component, component + WORKGROUP), vec2u(rank - 1u)) * (BLOCKS * 8u);
  let x_start = token * BLOCKS * 8u;
  var lower = Sums();
  var upper = Sums();
  if (start + WORKGROUP < rank) {
    for (var i = 0u; i < BLOCKS * 8u; i += 8u) {
      let a = half_block(rows.x + i);
      let b = half_block(rows.y + i);
      lower = add_block(lower, a, x_start + i, local);
      upper = add_block(upper, b, x_start + i, local);
    }
  } else if (start < rank) {
    for (var i = 0u; i < BLOCKS * 8u; i += 8u) {
      lower = add_block(lower, half_block(rows.x + i), x_start + i, local);
    }
  }
  for (var i = 0u; i < TILE; i++) {
    store(token + i, index, linear, component, factors, vec2f(of_token(lower, i), of_token(upper, i)));
  }
}
