// Products of a tile of rows with a tile of tokens, 32 columns at a time; the workgroup puts both into its memory first.
// An invocation keeps the sums of ROWS_EACH rows, 16 apart, with four tokens one after another: a weight that is read
// serves four tokens, an input ROWS_EACH rows.
// needs: tile-weight
const TILE_ROWS = 16u * ROWS_EACH;
const TOKEN_GROUPS = WORKGROUP / 16u;
const TILE_TOKENS = 4u * TOKEN_GROUPS;

// [columns / 2][rows]; and [columns][tokens / 4], where groups of tokens change places so that writing hits every bank.
var<workgroup> tile_weights: array<TileWeight, 16u * TILE_ROWS>;
var<workgroup> tile_inputs: array<vec4f, 32u * TOKEN_GROUPS>;

// Of a row four tokens' sums.
var<private> sums: array<vec4f, ROWS_EACH>;

// Four columns of a row.
fn put_weights(row: u32, column4: u32, values: vec4f) {
  let at = 2u * column4 * TILE_ROWS + row;
  tile_weights[at] = tile_weight(values.xy);
  tile_weights[at + TILE_ROWS] = tile_weight(values.zw);
}

// Where the first of four columns of a group of tokens is.
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

// Past the last token there is nothing to do: of a short prompt, for most.
fn add_products(first_token: u32, local: u32) {
  if (first_token + local / 16u * 4u >= params.tokens) { return; }
  // Of these columns apart: a long sum of small terms in f32 rounds each time.
  #for r in ROWS_EACH
  var part#r = vec4f();
  #end
  for (var column4 = 0u; column4 < 8u; column4++) {
    let at = inputs_at(local / 16u, column4);
    let row = 2u * column4 * TILE_ROWS + local % 16u;
    // Two columns at a time, that few are in registers.
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
