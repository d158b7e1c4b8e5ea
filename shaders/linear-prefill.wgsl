// Many tokens: y[t, row] = weight[row] · x[t]. Each invocation keeps a tile of four rows by eight tokens in registers,
// so that a weight is unpacked once for eight tokens. x and y are padded to whole tiles of tokens.
struct Rows { a: Block, b: Block, c: Block, d: Block }

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
    let at = token * OUTPUT_WIDTH + column;
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
  var sums0 = vec4f();
  var sums1 = vec4f();
  var sums2 = vec4f();
  var sums3 = vec4f();
  var sums4 = vec4f();
  var sums5 = vec4f();
  var sums6 = vec4f();
  var sums7 = vec4f();
  for (var block = 0u; block < BLOCKS; block++) {
    let w = Rows(
      weight_block(rows.x, block), weight_block(rows.y, block), weight_block(rows.z, block),
      weight_block(rows.w, block));
    let i = (token * BLOCKS + block) * 8u;
    sums0 += rows_dot(w, load_block(i, local));
    sums1 += rows_dot(w, load_block(i + BLOCKS * 8u, local));
    sums2 += rows_dot(w, load_block(i + BLOCKS * 16u, local));
    sums3 += rows_dot(w, load_block(i + BLOCKS * 24u, local));
    sums4 += rows_dot(w, load_block(i + BLOCKS * 32u, local));
    sums5 += rows_dot(w, load_block(i + BLOCKS * 40u, local));
    sums6 += rows_dot(w, load_block(i + BLOCKS * 48u, local));
    sums7 += rows_dot(w, load_block(i + BLOCKS * 56u, local));
  }
  store(first, token, sums0);
  store(first, token + 1u, sums1);
  store(first, token + 2u, sums2);
  store(first, token + 3u, sums3);
  store(first, token + 4u, sums4);
  store(first, token + 5u, sums5);
  store(first, token + 6u, sums6);
  store(first, token + 7u, sums7);
}
