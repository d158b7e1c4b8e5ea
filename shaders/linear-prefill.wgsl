// Many tokens: y[t, row] = weight[row] · x[t]. Each invocation keeps a tile of four rows by eight tokens in registers,
// so that a weight is unpacked once for eight tokens. x and y are padded to whole tiles of tokens.
struct Rows { a: Block, b: Block, c: Block, d: Block }

// The sums of a tile's eight tokens, four rows each.
struct Tile { a: vec4f, b: vec4f, c: vec4f, d: vec4f, e: vec4f, f: vec4f, g: vec4f, h: vec4f }

fn input(i: u32) -> vec4f { return x[i]; }

fn rows_dot(w: Rows, v: Block) -> vec4f {
  let a = block_dots(w.a, v);
  let b = block_dots(w.b, v);
  let c = block_dots(w.c, v);
  let d = block_dots(w.d, v);
  return vec4f(a.x + a.y, b.x + b.y, c.x + c.y, d.x + d.y);
}

fn store(first: u32, token: u32, values: vec4f) {
  for (var i = 0u; i < 4u && first + i < params.rows; i++) {
    let column = params.rowStart + first + i;
    let at = token * params.outputWidth + column;
    var value = values[i] * params.scale + bias(column);
    if (ACCUMULATE) { value += y[at]; }
    y[at] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let first = id.x * 4u;
  let token = id.y * 8u;
  let rows = min(vec4u(first) + vec4u(0u, 1u, 2u, 3u), vec4u(params.rows - 1u));
  var sums = Tile();
  for (var block = 0u; block < BLOCKS; block++) {
    let w = Rows(
      weight_block(rows.x, block), weight_block(rows.y, block), weight_block(rows.z, block),
      weight_block(rows.w, block));
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
  let added = lora_tile(token, params.rowStart + min(first, (params.rows - 1u) / 4u * 4u));
  store(first, token, sums.a + added.a);
  store(first, token + 1u, sums.b + added.b);
  store(first, token + 2u, sums.c + added.c);
  store(first, token + 3u, sums.d + added.d);
  store(first, token + 4u, sums.e + added.e);
  store(first, token + 5u, sums.f + added.f);
  store(first, token + 6u, sums.g + added.g);
  store(first, token + 7u, sums.h + added.h);
}
