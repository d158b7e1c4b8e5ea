#variant tile-weight/whole
// Two columns of a row of the tile.
alias TileWeight = vec2f;

fn tile_weight(columns: vec2f) -> TileWeight { return columns; }

fn both_columns(weight: TileWeight) -> vec2f { return weight; }

#variant tile-weight/halves
// Two columns of a row of the tile as halves in one word.
alias TileWeight = u32;

fn tile_weight(columns: vec2f) -> TileWeight { return pack2x16float(columns); }

fn both_columns(weight: TileWeight) -> vec2f { return unpack2x16float(weight); }

#part tile-product
// Products of a tile of rows with a tile of tokens, 32 columns at a time, which the workgroup first copies to its memory.
// An invocation keeps the sums of ROWS_EACH rows, 16 apart, with four consecutive tokens: it uses a weight for four tokens
// and an input for ROWS_EACH rows.
// needs: tile-weight
const TILE_ROWS = 16u * ROWS_EACH;
const TOKEN_GROUPS = WORKGROUP / 16u;
const TILE_TOKENS = 4u * TOKEN_GROUPS;

// [columns / 2][rows]; and [columns][tokens / 4], in which groups of tokens are permuted so that stores hit every bank.
var<workgroup> tile_weights: array<TileWeight, 16u * TILE_ROWS>;
var<workgroup> tile_inputs: array<vec4f, 32u * TOKEN_GROUPS>;

// Sums of a row and four tokens.
var<private> sums: array<vec4f, ROWS_EACH>;

// Four columns of a row.
fn put_weights(row: u32, column4: u32, values: vec4f) {
  let at = 2u * column4 * TILE_ROWS + row;
  tile_weights[at] = tile_weight(values.xy);
  tile_weights[at + TILE_ROWS] = tile_weight(values.zw);
}

// Index of the first of four columns of a group of tokens.
fn inputs_at(token4: u32, column4: u32) -> u32 {
  return column4 * 4u * TOKEN_GROUPS + (token4 ^ (column4 % TOKEN_GROUPS));
}

// Four columns of each of four tokens.
fn put_inputs(token4: u32, column4: u32, values: mat4x4f) {
  let at = inputs_at(token4, column4);
  let columns = transpose(values);
  tile_inputs[at] = columns[0];
  tile_inputs[at + TOKEN_GROUPS] = columns[1];
  tile_inputs[at + 2u * TOKEN_GROUPS] = columns[2];
  tile_inputs[at + 3u * TOKEN_GROUPS] = columns[3];
}

// Does nothing after the last token: in a short prompt, for most invocations.
fn add_products(first_token: u32, local: u32) {
  if (first_token + local / 16u * 4u >= params.tokens) { return; }
  // A separate sum of these columns: a long f32 sum of small terms would round each time.
  #for r in ROWS_EACH
  var part#r = vec4f();
  #end
  for (var column4 = 0u; column4 < 8u; column4++) {
    let at = inputs_at(local / 16u, column4);
    let row = 2u * column4 * TILE_ROWS + local % 16u;
    // Two columns at a time, so that few registers are used.
    let a = tile_inputs[at];
    let b = tile_inputs[at + TOKEN_GROUPS];
    #for r in ROWS_EACH
    let v#r = both_columns(tile_weights[row + 16u * #ru]);
    part#r = v#r.y * b + (v#r.x * a + part#r);
    #end
    let c = tile_inputs[at + 2u * TOKEN_GROUPS];
    let d = tile_inputs[at + 3u * TOKEN_GROUPS];
    #for r in ROWS_EACH
    let w#r = both_columns(tile_weights[row + TILE_ROWS + 16u * #ru]);
    part#r = w#r.y * d + (w#r.x * c + part#r);
    #end
  }
  #for r in ROWS_EACH
  sums[#r] += part#r;
  #end
}

#part tile-inputs
// Inputs of a tile of tokens: 32 columns of x `[tokens, BLOCKS * 32]`. The kernel's `tile_vector` gives the vec4f that is the
// `column4`th of a step. After the last token its inputs are used again.
// needs: tile-product, tile-vector
const TOKEN_VECTORS = BLOCKS * 8u;

fn fill_inputs(first_token: u32, step: u32, worker: u32) {
  for (var i = worker; i < 8u * TOKEN_GROUPS; i += WORKGROUP) {
    // Compares indices, not tokens: each token would need a register.
    let column = tile_vector(step, i % 8u);
    let last = (params.tokens - 1u) * TOKEN_VECTORS + column;
    let at = (first_token + i / 8u * 4u) * TOKEN_VECTORS + column;
    put_inputs(i / 8u, i % 8u, mat4x4f(
      x[min(at, last)], x[min(at + TOKEN_VECTORS, last)], x[min(at + 2u * TOKEN_VECTORS, last)], x[min(at + 3u * TOKEN_VECTORS, last)]));
  }
}
