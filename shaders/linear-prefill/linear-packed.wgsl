// Many tokens, fast: y[t, row] = weight[row] · x[t] with x rounded to 8 bits, with a scale for each block of 32 (as llama.cpp's
// q8_1). A block's products are summed as integers. A workgroup computes a tile of 64 rows and 64 tokens, two blocks at a time:
// half of it rounds the inputs, the other half unpacks the weights. An invocation keeps the sums of four rows, 16 apart, with
// four consecutive tokens.
// needs: bias, packed-words, scales, store-product
const TILE = 64u;

// [two blocks][words of a block][rows or tokens]; a word is four columns.
var<workgroup> tile_weights: array<u32, 16u * TILE>;
var<workgroup> tile_inputs: array<u32, 16u * TILE>;
// [two blocks][rows]: a scale and a minimum. [two blocks][tokens]: a scale and the sum of the rounded inputs.
var<workgroup> weight_factors: array<vec2f, 2u * TILE>;
var<workgroup> input_factors: array<vec2f, 2u * TILE>;

// `at`: the place in the tile.
fn put_inputs(token: u32, block: u32, half: u32, at: u32) {
  let first = (token * BLOCKS + block) * 8u;
  var largest = vec4f();
  #for i in VECTORS
  let v#i = x[first + #iu];
  largest = max(largest, abs(v#i));
  #end
  let most = max(max(largest.x, largest.y), max(largest.z, largest.w));
  let factor = select(127.0 / most, 0.0, most < 1e-30); // smaller ones would overflow it
  var rounded: array<vec4i, VECTORS>;
  var sum = vec4i();
  #for i in VECTORS
  rounded[#i] = vec4i(round(v#i * factor));
  sum += rounded[#i];
  #end
  #for i in PAIRS
  let words#i = packed_inputs(rounded[2 * #i], rounded[2 * #i + 1]);
  tile_inputs[(half * 8u + 2u * #iu) * TILE + at] = words#i.x;
  tile_inputs[(half * 8u + 2u * #iu + 1u) * TILE + at] = words#i.y;
  #end
  let scale = most / 127.0;
  input_factors[half * TILE + at] = vec2f(scale, scale * f32(sum.x + sum.y + sum.z + sum.w));
}

fn put_weights(row: u32, block: u32, half: u32, at: u32, factors: vec2f) {
  #for i in PAIRS
  let words#i = packed_weights(row * BLOCKS + block, #iu);
  tile_weights[(half * 8u + 2u * #iu) * TILE + at] = words#i.x;
  tile_weights[(half * 8u + 2u * #iu + 1u) * TILE + at] = words#i.y;
  #end
  weight_factors[half * TILE + at] = factors;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first_row = group.x * TILE;
  let first_token = group.y * TILE;
  let own_row = local % 16u;
  let own_token = local / 16u * 4u;
  #for r in ROWS
  var sums#r = vec4f();
  #end
  for (var start = 0u; start < BLOCKS; start += 2u) {
    workgroupBarrier(); // other invocations may still read the previous tiles
    let half = local % 2u;
    let at = local / 2u % TILE;
    let block = min(start + half, BLOCKS - 1u);
    if (local < 2u * TILE) {
      put_inputs(min(first_token + at, params.tokens - 1u), block, half, at);
    } else {
      let row = min(first_row + at, params.rows - 1u);
      // The block after an odd last one adds nothing.
      put_weights(row, block, half, at, select(vec2f(), scales(row, block).xz, start + half < BLOCKS));
    }
    workgroupBarrier();
    // Constant bounds show compilers that no index is out of range.
    for (var half = 0u; half < 2u; half++) {
      #for r in ROWS
      var dots#r = vec4i();
      #end
      for (var word = 0u; word < 8u; word++) {
        let i = (half * 8u + word) * TILE;
        #for t in ROWS
        let v#t = tile_inputs[i + own_token + #tu];
        #end
        #for r in ROWS
        let w#r = tile_weights[i + own_row + 16u * #ru];
        dots#r += vec4i(dot4I8Packed(w#r, v0), dot4I8Packed(w#r, v1), dot4I8Packed(w#r, v2), dot4I8Packed(w#r, v3));
        #end
      }
      let i = half * TILE + own_token;
      let tokens = mat4x2f(input_factors[i], input_factors[i + 1u], input_factors[i + 2u], input_factors[i + 3u]);
      let by_scale = vec4f(tokens[0].x, tokens[1].x, tokens[2].x, tokens[3].x);
      let by_sum = vec4f(tokens[0].y, tokens[1].y, tokens[2].y, tokens[3].y);
      #for r in ROWS
      let factor#r = weight_factors[half * TILE + own_row + 16u * #ru];
      sums#r += vec4f(dots#r) * (by_scale * factor#r.x);
      if (MINIMA > 0u) { sums#r += by_sum * factor#r.y; }
      #end
    }
  }
  let token = first_token + own_token;
  #for r in ROWS
  let row#r = first_row + own_row + 16u * #ru;
  if (row#r < params.rows) {
    store(token, row#r, sums#r.x);
    store(token + 1u, row#r, sums#r.y);
    store(token + 2u, row#r, sums#r.z);
    store(token + 3u, row#r, sums#r.w);
  }
  #end
}
