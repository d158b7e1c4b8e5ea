// Many tokens: y[t, row] = weight[row] · x[t]. Each invocation keeps the sums of eight rows by eight tokens in registers,
// so that it unpacks a weight once for eight tokens. x and y are padded to whole tiles of tokens.
// fills: input
// needs: bias, block, load-block, lora-tile, weight-block
struct Rows { a: Block, b: Block, c: Block, d: Block, e: Block, f: Block, g: Block, h: Block }

// Sums of a tile's eight tokens, eight rows each.
struct Tile { a: mat2x4f, b: mat2x4f, c: mat2x4f, d: mat2x4f, e: mat2x4f, f: mat2x4f, g: mat2x4f, h: mat2x4f }

fn input(i: u32) -> vec4f { return x[i]; }

fn rows_dot(w: Rows, v: Block) -> mat2x4f {
  return mat2x4f(
    block_dot(w.a, v), block_dot(w.b, v), block_dot(w.c, v), block_dot(w.d, v),
    block_dot(w.e, v), block_dot(w.f, v), block_dot(w.g, v), block_dot(w.h, v));
}

fn store(first: u32, token: u32, values: mat2x4f) {
  for (var i = 0u; i < 8u && first + i < params.rows; i++) {
    let column = params.rowStart + first + i;
    let at = token * params.outputWidth + column;
    var value = values[i / 4u][i & 3u] * params.scale + bias(column);
    if (ACCUMULATE) { value += y[at]; }
    y[at] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let tile = group.x * WORKGROUP * 8u;
  let first = tile + local * 8u;
  let token = group.y * 8u;
  let last_row = vec4u(params.rows - 1u);
  let rows = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), last_row);
  let more = min(vec4u(first) + vec4u(4u, 5u, 6u, 7u), last_row);
  var sums = Tile();
  for (var block = 0u; block < BLOCKS; block++) {
    let w = Rows(
      weight_block(rows.x, block), weight_block(rows.y, block), weight_block(rows.z, block),
      weight_block(rows.w, block),
      weight_block(more.x, block), weight_block(more.y, block), weight_block(more.z, block),
      weight_block(more.w, block));
    let i = (token * BLOCKS + block) * 8u;
    sums.a += rows_dot(w, load_block(i, local));
    sums.b += rows_dot(w, load_block(i + BLOCKS * 8u, local));
    sums.c += rows_dot(w, load_block(i + BLOCKS * 16u, local));
    sums.d += rows_dot(w, load_block(i + BLOCKS * 24u, local));
    sums.e += rows_dot(w, load_block(i + BLOCKS * 32u, local));
    sums.f += rows_dot(w, load_block(i + BLOCKS * 40u, local));
    sums.g += rows_dot(w, load_block(i + BLOCKS * 48u, local));
    sums.h += rows_dot(w, load_block(i + BLOCKS * 56u, local));
  }
  let last = (params.rows - 1u) / 8u * 8u;
  let ends = params.rowStart + min(vec2u(tile, tile + 8u * (WORKGROUP - 1u)), vec2u(last));
  let added = lora_tile(token, params.rowStart + min(first, last), ends, local);
  store(first, token, sums.a + added.a);
  store(first, token + 1u, sums.b + added.b);
  store(first, token + 2u, sums.c + added.c);
  store(first, token + 3u, sums.d + added.d);
  store(first, token + 4u, sums.e + added.e);
  store(first, token + 5u, sums.f + added.f);
  store(first, token + 6u, sums.g + added.g);
  store(first, token + 7u, sums.h + added.h);
}
