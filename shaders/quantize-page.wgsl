// Writes pages of any form again in codes, elsewhere in the same buffer. One workgroup for the keys or the values of a head.
// Keys: ranges are codes of steps that the whole head shares: minima are rounded down and scales up, so that every range
// holds what it is of. A code is (x − minimum) / scale to the nearest, with scale and minimum as they are kept.
// Values: codes count from their middle, by the step that errs least on numbers from a bell curve, as rotated ones are. What
// lies beyond is cut; the scale that is kept makes up for that: the value's own direction is kept whole, since what all
// values lose alike would add up in a mean of them.
// needs: half4, page-layout, page-units

// Of what one invocation saw: the widest range, the lowest and the highest minimum.
var<workgroup> seen: array<vec3f, WORKGROUP>;
// Of keys, by slots: the channels' scales and minima, in quads; which pair of vectors is in a slot, and what a pair varies.
var<workgroup> scales: array<vec4f, HEAD_DIM4>;
var<workgroup> minima: array<vec4f, HEAD_DIM4>;
var<workgroup> order: array<u32, HALF4>;
var<workgroup> spread: array<f32, HALF4>;
// Of each token's value what its codes count, and what they stand for.
var<workgroup> value_steps: array<vec2f, PAGE_TOKENS>;
// Of each invocation the codes of a token, a byte each.
var<workgroup> row_codes: array<u32, WORKGROUP * HEAD_DIM4>;

fn packed_bytes(codes: vec4f) -> u32 {
  let c = vec4u(codes) << vec4u(0u, 8u, 16u, 24u);
  return c.x | c.y | c.z | c.w;
}

fn codes(x: vec4f, scale: vec4f, minimum: vec4f, largest: vec4f) -> vec4f {
  let inverse = select(vec4f(), 1.0 / scale, scale > vec4f());
  return clamp(round((x - minimum) * inverse), vec4f(), largest);
}

// Both words of a vector of `kv` are always written by one invocation: a device may write the whole vector for either.
fn put_word(row: u32, w: u32, word: u32) { kv[row + w / 2u][w & 1u] = word; }

// Writes a row of an invocation's codes; layout in page-layout.wgsl.
fn write_row(row: u32, bits: u32, wider: u32, own: u32) {
  let nibbles = nibble_quads(bits, wider);
  for (var n = 0u; n < QUADS; n++) {
    let c = vec4u(row_codes[own + 4u * n], row_codes[own + 4u * n + 1u], row_codes[own + 4u * n + 2u], row_codes[own + 4u * n + 3u]);
    if (bits == 8u) {
      kv[row + 2u * n] = c.xy;
      kv[row + 2u * n + 1u] = c.zw;
    } else if (n < nibbles) {
      let lower = (c & vec4u(NIBBLES)) << vec4u(0u, 4u, 0u, 4u);
      kv[row + n] = vec2u(lower.x | lower.y, lower.z | lower.w);
    } else {
      let lower = (c & vec4u(CRUMBS)) << vec4u(0u, 2u, 4u, 6u);
      put_word(row, n + nibbles, lower.x | lower.y | lower.z | lower.w);
    }
  }
  let odd = odd_quads(bits, wider);
  for (var first = 0u; first < odd; first += 2u) {
    var word = 0u;
    for (var i = 0u; i < 8u && first + i / 4u < odd; i++) {
      let n = odd_quad(bits, wider, first + i / 4u);
      word |= ((row_codes[own + 4u * n + (i & 3u)] >> (bits_of(bits, wider, n) - 1u)) & LOWEST_BITS) << i;
    }
    put_word(row, nibbles + QUADS + first / 2u, word);
  }
}

// Codes of the minima and scales of four ranges, from their ends.
struct Ranges { scales: vec4f, minima: vec4f }

fn ranges_of(low: vec4f, high: vec4f, steps: Steps, largest: vec4f) -> Ranges {
  var lowest = vec4f();
  if (steps.minimum > 0.0) { lowest = clamp(floor((low - steps.lowest) / steps.minimum), vec4f(), vec4f(255.0)); }
  var widths = vec4f();
  if (steps.scale > 0.0) {
    let from_minimum = high - (lowest * steps.minimum + steps.lowest);
    widths = clamp(ceil(from_minimum / largest / steps.scale), vec4f(), vec4f(255.0));
  }
  return Ranges(widths, lowest);
}

// The codes of the scales and minima of four channels whose ends `scales` and `minima` hold, where what they stand for is left.
fn kept_ranges(i: u32, steps: Steps, largest: vec4f) -> vec2u {
  let ranges = ranges_of(scales[i], minima[i], steps, largest);
  scales[i] = ranges.scales * steps.scale;
  minima[i] = ranges.minima * steps.minimum + steps.lowest;
  return vec2u(packed_bytes(ranges.scales), packed_bytes(ranges.minima));
}

// The next number of at most eleven significant bits, which f16 keeps as it is.
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

// Of four channels of the keys.
fn key_ends(page: vec4u, kv_head: u32, channels: u32) -> Ends {
  var ends = Ends(vec4f(1e30), vec4f(-1e30));
  for (var j = 0u; j < PAGE_TOKENS; j++) {
    let x = key_vector(page, kv_head, j, channels % HALF4, channels / HALF4);
    ends = Ends(min(ends.low, x), max(ends.high, x));
  }
  return ends;
}

fn squared_width(ends: Ends) -> f32 { return dot(ends.high - ends.low, ends.high - ends.low); }

// The largest code of a quad of keys.
fn largest_key(bits: u32, n: u32) -> f32 { return f32((1u << bits_of(bits, wider_of(bits), n)) - 1u); }

// Puts the pairs of vectors that vary most first where keys are ordered, and keeps the order at `at`.
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

// The pair in a slot, and the slot of a pair; of two of them.
fn order_entry(i: u32) -> u32 {
  if (i >= HALF4) { return 0u; }
  return order[i] | (rank_of(i) << 8u);
}

fn order_word(w: u32) -> u32 { return order_entry(2u * w) | (order_entry(2u * w + 1u) << 16u); }

// The vector v of a quad of slots: two, then the two that they rotate with.
fn vector_of(n: u32, v: u32) -> u32 { return (v / 2u) * HALF4 + order[2u * n + (v & 1u)]; }

fn quantize_keys(page: vec4u, kv_head: u32, head: u32, bits: u32, id: u32) {
  order_pairs(page, kv_head, is_ordered(bits), head + KEY_ORDER, id);
  var own = vec3f(0.0, 1e30, -1e30);
  for (var i = id; i < HEAD_DIM4; i += WORKGROUP) {
    let ends = key_ends(page, kv_head, vector_of(i / 4u, i & 3u));
    scales[i] = ends.low; // until the steps are known
    minima[i] = ends.high;
    for (var c = 0u; c < 4u; c++) {
      own = vec3f(max(own.x, (ends.high[c] - ends.low[c]) / largest_key(bits, i / 4u)), min(own.y, ends.low[c]), max(own.z, ends.low[c]));
    }
  }
  let all = seen_by_all(own, id);
  let span = rounded_up(all.z - all.y);
  // A range may begin as far below what it is of as the minima's step. The smallest code counts least.
  let scale = rounded_up(all.x + span / 255.0 / largest_key(bits, QUADS - 1u));
  if (id == 0u) { kv[head] = pack_half4(vec4f(scale, span, all.y, 0.0)); }
  let steps = Steps(scale / 255.0, span / 255.0, all.y);
  for (var i = 2u * id; i < HEAD_DIM4; i += 2u * WORKGROUP) {
    let largest = vec4f(largest_key(bits, i / 4u));
    let even = kept_ranges(i, steps, largest);
    let odd = kept_ranges(i + 1u, steps, largest);
    let unit = head + KEY_RANGES + 4u * (i / 4u) + ((i & 3u) / 2u);
    kv[unit] = vec2u(even.x, odd.x);
    kv[unit + 2u] = vec2u(even.y, odd.y);
  }
  workgroupBarrier();
  let own_codes = id * HEAD_DIM4;
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    for (var i = 0u; i < HEAD_DIM4; i++) {
      let v = vector_of(i / 4u, i & 3u);
      let x = key_vector(page, kv_head, j, v % HALF4, v / HALF4);
      row_codes[own_codes + i] = packed_bytes(codes(x, scales[i], minima[i], vec4f(largest_key(bits, i / 4u))));
    }
    write_row(head + key_codes_of(bits) + j * row_of(bits), bits, wider_of(bits), own_codes);
  }
}

// The step of so many codes that errs least on numbers of a bell curve with standard deviation 1 (Max 1960).
fn bell_step(bits: u32) -> f32 { return select(select(0.3352, 0.586, bits == 3u), 0.9957, bits == 2u); }

// Of a token's value: what its codes count, and what they stand for.
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

// Codes of the scales of four tokens' values.
fn value_scales(token: u32, scale: f32) -> u32 {
  let kept = vec4f(value_steps[token].y, value_steps[token + 1u].y, value_steps[token + 2u].y, value_steps[token + 3u].y);
  return packed_bytes(select(vec4f(), round(kept * 255.0 / scale), vec4<bool>(scale > 0.0)));
}

// `at`: of their scales.
fn quantize_values(page: vec4u, kv_head: u32, head: u32, at: u32, bits: u32, id: u32) {
  var own = vec3f();
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    value_steps[j] = steps_of_value(page, kv_head, j, bits);
    own.x = max(own.x, value_steps[j].y);
  }
  let scale = rounded_up(seen_by_all(own, id).x);
  if (id == 0u) { kv[head + 1u] = pack_half4(vec4f(scale, 0.0, 0.0, 0.0)); }
  for (var u = id; u < PAGE_TOKENS / 8u; u += WORKGROUP) { kv[at + u] = vec2u(value_scales(8u * u, scale), value_scales(8u * u + 4u, scale)); }
  let own_codes = id * HEAD_DIM4;
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    for (var i = 0u; i < HEAD_DIM4; i++) {
      row_codes[own_codes + i] = packed_bytes(value_codes(value_vector(page, kv_head, j, i), value_steps[j].x, f32((1u << bits) - 1u)));
    }
    write_row(at + VALUE_SCALES + j * row_of(bits), bits, 0u, own_codes);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let task = 2u * (params.first + group.y);
  let kv_head = group.x / 2u;
  let page = tasks[task];
  let copy_form = tasks[task + 1u].y & 255u;
  let key_bits = key_bits_of(copy_form);
  let value_bits = value_bits_of(copy_form);
  let head = tasks[task + 1u].x + kv_head * head_units(key_bits, value_bits);
  if ((group.x & 1u) == 0u) {
    quantize_keys(page, kv_head, head, key_bits, id);
  } else {
    quantize_values(page, kv_head, head, head + value_scales_of(key_bits), value_bits, id);
  }
}
