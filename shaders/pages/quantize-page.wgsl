// Quantizes pages of any form, elsewhere in the same buffer. One workgroup for the keys or the values of a head.
// Keys: ranges are quantized with steps that the whole head shares. Minima are rounded down and scales up, so that every range
// covers its channel. A quant is (x − minimum) / scale, rounded to nearest, with the quantized scale and minimum.
// Values: quants are centred, with the step of the least error for a normal distribution, which rotated values have. Larger
// numbers are clamped. The stored scale compensates for that along the value's own direction: an error that all values share
// would add up in their mean.
// needs: half4, page-layout, page-units

// For each invocation: the widest range, the lowest and the highest minimum that it saw.
var<workgroup> seen: array<vec3f, WORKGROUP>;
// For keys, by place: quants of the channels' scales and minima, a byte each; the pair of vectors at a place, and how much a
// pair varies.
var<workgroup> ranges: array<vec2u, HEAD_DIM4>;
var<workgroup> order: array<u32, HALF4>;
var<workgroup> spread: array<f32, HALF4>;
// For each token's value: the step that quantizes it, and the scale that is stored.
var<workgroup> value_steps: array<vec2f, PAGE_TOKENS>;

fn packed_bytes(codes: vec4f) -> u32 {
  let c = vec4u(codes) << vec4u(0u, 8u, 16u, 24u);
  return c.x | c.y | c.z | c.w;
}

fn codes(x: vec4f, scale: vec4f, minimum: vec4f, largest: vec4f) -> vec4f {
  let inverse = select(vec4f(), 1.0 / scale, scale > vec4f());
  return clamp(round((x - minimum) * inverse), vec4f(), largest);
}

// One invocation always writes both words of a vector of `kv`: a device may write the whole vector for one word.
fn put_word(row: u32, w: u32, word: u32) { kv[row + w / 2u][w & 1u] = word; }

// Writes the quants of the quad n of a row, a byte each; page-layout.wgsl has the layout. Two quads share a word of upper bits:
// `earlier` is what an invocation's last call for this row returned, at first 0.
fn write_quad(row: u32, bits: u32, wider: u32, n: u32, c: vec4u, earlier: u32) -> u32 {
  if (bits == 8u) {
    kv[row + 2u * n] = c.xy;
    kv[row + 2u * n + 1u] = c.zw;
    return 0u;
  }
  let nibbles = nibble_quads(bits, wider);
  if (n < nibbles) {
    let lower = (c & vec4u(NIBBLES)) << vec4u(0u, 4u, 0u, 4u);
    kv[row + n] = vec2u(lower.x | lower.y, lower.z | lower.w);
  } else {
    let lower = (c & vec4u(CRUMBS)) << vec4u(0u, 2u, 4u, 6u);
    put_word(row, n + nibbles, lower.x | lower.y | lower.z | lower.w);
  }
  let own = bits_of(bits, wider, n);
  if ((own & 1u) == 0u) { return earlier; }
  let place = odd_place(bits, wider, n);
  let upper = ((c >> vec4u(own - 1u)) & vec4u(LOWEST_BITS)) << vec4u(0u, 1u, 2u, 3u);
  let word = earlier | ((upper.x | upper.y | upper.z | upper.w) << (4u * (place & 1u)));
  put_word(row, nibbles + QUADS + place / 2u, word);
  return select(word, 0u, (place & 1u) == 1u);
}

// Quants of the scales and of the minima of four ranges, a byte each.
fn ranges_of(ends: Ends, steps: Steps, largest: vec4f) -> vec2u {
  var lowest = vec4f();
  if (steps.minimum > 0.0) { lowest = clamp(floor((ends.low - steps.lowest) / steps.minimum), vec4f(), vec4f(255.0)); }
  var widths = vec4f();
  if (steps.scale > 0.0) {
    let from_minimum = ends.high - (lowest * steps.minimum + steps.lowest);
    widths = clamp(ceil(from_minimum / largest / steps.scale), vec4f(), vec4f(255.0));
  }
  return vec2u(packed_bytes(widths), packed_bytes(lowest));
}

// The next number of at most eleven significant bits, which f16 represents exactly.
fn rounded_up(x: f32) -> f32 {
  let bits = bitcast<f32>((bitcast<u32>(x) + 0x1fffu) & 0xffffe000u);
  return select(max(bits, 0.00006103515625), 0.0, x == 0.0);
}

fn seen_by_all(own: vec3f, id: u32) -> vec3f {
  seen[id] = own;
  workgroupBarrier();
  var all = seen[0];
  for (var i = 1u; i < WORKGROUP; i++) { all = vec3f(max(all.x, seen[i].x), min(all.y, seen[i].y), max(all.z, seen[i].z)); }
  return all;
}

struct Ends { low: vec4f, high: vec4f }

// Lowest and highest numbers of four channels of the keys.
fn key_ends(page: vec4u, kv_head: u32, channels: u32) -> Ends {
  var ends = Ends(vec4f(1e30), vec4f(-1e30));
  for (var j = 0u; j < PAGE_TOKENS; j++) {
    let x = key_vector(page, kv_head, j, channels % HALF4, channels / HALF4);
    ends = Ends(min(ends.low, x), max(ends.high, x));
  }
  return ends;
}

fn squared_width(ends: Ends) -> f32 { return dot(ends.high - ends.low, ends.high - ends.low); }

// The largest quant of a quad of keys.
fn largest_key(bits: u32, n: u32) -> f32 { return f32((1u << bits_of(bits, wider_of(bits), n)) - 1u); }

// With `in_order`, sorts the pairs of vectors by how much they vary, the most first, and stores the order at `at`.
fn order_pairs(page: vec4u, kv_head: u32, in_order: bool, at: u32, id: u32) {
  for (var i = id; in_order && i < HALF4; i += WORKGROUP) {
    spread[i] = squared_width(key_ends(page, kv_head, i)) + squared_width(key_ends(page, kv_head, HALF4 + i));
  }
  workgroupBarrier();
  for (var i = id; i < HALF4; i += WORKGROUP) { order[select(i, rank_of(i), in_order)] = i; }
  workgroupBarrier();
  if (!in_order) { return; }
  for (var u = id; u < ORDER_UNITS; u += WORKGROUP) { kv[at + u] = vec2u(order_word(2u * u), order_word(2u * u + 1u)); }
}

fn rank_of(pair: u32) -> u32 {
  var slot = 0u;
  for (var i = 0u; i < HALF4; i++) { slot += select(0u, 1u, spread[i] > spread[pair] || (spread[i] == spread[pair] && i < pair)); }
  return slot;
}

// The pair at the place i, and the place of the pair i, a byte each; `order_word` has two such entries.
fn order_entry(i: u32) -> u32 {
  if (i >= HALF4) { return 0u; }
  return order[i] | (rank_of(i) << 8u);
}

fn order_word(w: u32) -> u32 { return order_entry(2u * w) | (order_entry(2u * w + 1u) << 16u); }

// The vector v of a quad of places: two vectors, then the two that they rotate with.
fn vector_of(n: u32, v: u32) -> u32 { return (v / 2u) * HALF4 + order[2u * n + (v & 1u)]; }

fn quantize_keys(page: vec4u, kv_head: u32, head: u32, bits: u32, id: u32) {
  order_pairs(page, kv_head, is_ordered(bits), head + KEY_ORDER, id);
  var own = vec3f(0.0, 1e30, -1e30);
  for (var i = id; i < HEAD_DIM4; i += WORKGROUP) {
    let ends = key_ends(page, kv_head, vector_of(i / 4u, i & 3u));
    for (var c = 0u; c < 4u; c++) {
      own = vec3f(max(own.x, (ends.high[c] - ends.low[c]) / largest_key(bits, i / 4u)), min(own.y, ends.low[c]), max(own.z, ends.low[c]));
    }
  }
  let all = seen_by_all(own, id);
  let span = rounded_up(all.z - all.y);
  // A range may begin one step of the minima below its channel. The narrowest quants, the last quad's, need the largest scale.
  let scale = rounded_up(all.x + span / 255.0 / largest_key(bits, QUADS - 1u));
  if (id == 0u) { kv[head] = pack_half4(vec4f(scale, span, all.y, 0.0)); }
  let steps = Steps(scale / 255.0, span / 255.0, all.y);
  // Finds the ends again: kept for a whole head, they would fill the workgroup's memory.
  for (var i = 2u * id; i < HEAD_DIM4; i += 2u * WORKGROUP) {
    let largest = vec4f(largest_key(bits, i / 4u));
    let even = ranges_of(key_ends(page, kv_head, vector_of(i / 4u, i & 3u)), steps, largest);
    let odd = ranges_of(key_ends(page, kv_head, vector_of(i / 4u, (i & 3u) + 1u)), steps, largest);
    let unit = head + KEY_RANGES + 4u * (i / 4u) + ((i & 3u) / 2u);
    kv[unit] = vec2u(even.x, odd.x);
    kv[unit + 2u] = vec2u(even.y, odd.y);
    ranges[i] = even;
    ranges[i + 1u] = odd;
  }
  workgroupBarrier();
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    let row = head + key_codes_of(bits) + j * row_of(bits);
    var upper = 0u;
    for (var n = 0u; n < QUADS; n++) {
      var quad: vec4u;
      for (var c = 0u; c < 4u; c++) {
        let v = vector_of(n, c);
        let x = key_vector(page, kv_head, j, v % HALF4, v / HALF4);
        let range = ranges[4u * n + c];
        let minimum = bytes_of(range.y) * steps.minimum + steps.lowest;
        quad[c] = packed_bytes(codes(x, bytes_of(range.x) * steps.scale, minimum, vec4f(largest_key(bits, n))));
      }
      upper = write_quad(row, bits, wider_of(bits), n, quad, upper);
    }
  }
}

// The step of 2^bits quants with the least error for a normal distribution with standard deviation 1 (Max 1960).
fn bell_step(bits: u32) -> f32 { return select(select(0.3352, 0.586, bits == 3u), 0.9957, bits == 2u); }

// The step that quantizes a token's value, and the scale that is stored.
fn steps_of_value(page: vec4u, kv_head: u32, token: u32, bits: u32) -> vec2f {
  let largest = f32((1u << bits) - 1u);
  var squares = 0.0;
  var most = 0.0;
  for (var i = 0u; i < HEAD_DIM4; i++) {
    let x = value_vector(page, kv_head, token, i);
    squares += dot(x, x);
    most = max(most, max(max(abs(x.x), abs(x.y)), max(abs(x.z), abs(x.w))));
  }
  if (most == 0.0) { return vec2f(); }
  let counted = select(bell_step(bits) * sqrt(squares / f32(4u * HEAD_DIM4)), 2.0 * most / largest, bits == 8u);
  var along = 0.0;
  for (var i = 0u; i < HEAD_DIM4; i++) {
    let x = value_vector(page, kv_head, token, i);
    along += dot(x, value_codes(x, counted, largest) - 0.5 * largest);
  }
  return vec2f(counted, squares / along);
}

fn value_codes(x: vec4f, step: f32, largest: f32) -> vec4f { return codes(x, vec4f(step), vec4f(-0.5 * largest * step), vec4f(largest)); }

// Quants of the scales of four tokens' values.
fn value_scales(token: u32, scale: f32) -> u32 {
  let kept = vec4f(value_steps[token].y, value_steps[token + 1u].y, value_steps[token + 2u].y, value_steps[token + 3u].y);
  return packed_bytes(select(vec4f(), round(kept * 255.0 / scale), vec4<bool>(scale > 0.0)));
}

// `at`: unit at which the values' scales begin.
fn quantize_values(page: vec4u, kv_head: u32, head: u32, at: u32, bits: u32, id: u32) {
  var own = vec3f();
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    value_steps[j] = steps_of_value(page, kv_head, j, bits);
    own.x = max(own.x, value_steps[j].y);
  }
  let scale = rounded_up(seen_by_all(own, id).x);
  if (id == 0u) { kv[head + 1u] = pack_half4(vec4f(scale, 0.0, 0.0, 0.0)); }
  for (var u = id; u < PAGE_TOKENS / 8u; u += WORKGROUP) { kv[at + u] = vec2u(value_scales(8u * u, scale), value_scales(8u * u + 4u, scale)); }
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    let row = at + VALUE_SCALES + j * row_of(bits);
    var upper = 0u;
    for (var n = 0u; n < QUADS; n++) {
      var quad: vec4u;
      for (var c = 0u; c < 4u; c++) {
        let x = value_vector(page, kv_head, j, 4u * n + c);
        quad[c] = packed_bytes(value_codes(x, value_steps[j].x, f32((1u << bits) - 1u)));
      }
      upper = write_quad(row, bits, 0u, n, quad, upper);
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let task = 2u * (params.first + group.y);
  let kv_head = group.x / 2u;
  let page = tasks[task];
  let is_sparse = (tasks[task + 1u].y & 255u) == FORM_SPARSE;
  let copy_form = select(tasks[task + 1u].y & 255u, FORM_K3V2, is_sparse);
  let copy = page_of_head(tasks[task + 1u], kv_head);
  let key_bits = key_bits_of(copy_form);
  let value_bits = value_bits_of(copy_form);
  // A sparse page without entries of this head has no room: they go where nothing reads them.
  let is_absent = is_sparse && copy.y >> 8u == 0u;
  let head = select(copy.x + kv_head * head_units(key_bits, value_bits), half_key_at(page, kv_head, 0u), is_absent);
  if ((group.x & 1u) == 0u) {
    quantize_keys(page, kv_head, head, key_bits, id);
  } else {
    quantize_values(page, kv_head, head, head + value_scales_of(key_bits), value_bits, id);
  }
}
