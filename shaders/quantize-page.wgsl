// Writes f16 pages again as q8, q4 or k4v2, elsewhere in the same buffer. One workgroup for the keys or the values of a head.
// Ranges are codes of steps that the whole head shares: minima are rounded down and scales up, so that every range holds
// what it is of. A code is (x − minimum) / scale to the nearest, with scale and minimum as they are kept.
// needs: half4, page-layout
const HALF_PART = NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

// Of the keys or the values of a copy: the largest code, and the units of a token's codes.
struct Form { largest: f32, row: u32 }

fn form_of(bits: u32) -> Form { return Form(f32((1u << bits) - 1u), row_of(bits)); }

// Of what one invocation saw: the widest range, the lowest and the highest minimum.
var<workgroup> seen: array<vec3f, WORKGROUP>;

fn packed_bytes(codes: vec4f) -> u32 {
  let c = vec4u(codes) << vec4u(0u, 8u, 16u, 24u);
  return c.x | c.y | c.z | c.w;
}

// Eight codes of four bits: the first four in the low halves of the bytes.
fn packed_nibbles(low: vec4f, high: vec4f) -> u32 { return packed_bytes(low) | (packed_bytes(high) << 4u); }

// Sixteen of two bits: each four take two bits of the bytes.
fn packed_crumbs(a: vec4f, b: vec4f, c: vec4f, d: vec4f) -> u32 {
  return packed_bytes(a) | (packed_bytes(b) << 2u) | (packed_bytes(c) << 4u) | (packed_bytes(d) << 6u);
}

fn codes(x: vec4f, scale: vec4f, minimum: vec4f, largest: f32) -> vec4f {
  let inverse = select(vec4f(), 1.0 / scale, scale > vec4f());
  return clamp(round((x - minimum) * inverse), vec4f(), vec4f(largest));
}

// Codes of the minima and scales of four ranges, from their ends.
struct Ranges { scales: vec4f, minima: vec4f }

fn ranges_of(low: vec4f, high: vec4f, steps: Steps, largest: f32) -> Ranges {
  var minima = vec4f();
  if (steps.minimum > 0.0) { minima = clamp(floor((low - steps.lowest) / steps.minimum), vec4f(), vec4f(255.0)); }
  var scales = vec4f();
  if (steps.scale > 0.0) {
    let from_minimum = high - (minima * steps.minimum + steps.lowest);
    scales = clamp(ceil(from_minimum / largest / steps.scale), vec4f(), vec4f(255.0));
  }
  return Ranges(scales, minima);
}

// The next number of at most eleven significant bits, which f16 keeps as it is.
fn rounded_up(x: f32) -> f32 {
  let bits = bitcast<f32>((bitcast<u32>(x) + 0x1fffu) & 0xffffe000u);
  return select(max(bits, 0.00006103515625), 0.0, x == 0.0);
}

// Of the whole head, kept at `unit`. Rounded by hand: lavapipe (Mesa 25.0) takes packing and unpacking for no change.
fn shared_steps(own: vec3f, id: u32, largest: f32, unit: u32) -> Steps {
  seen[id] = own;
  workgroupBarrier();
  var all = seen[0];
  for (var i = 1u; i < WORKGROUP; i++) { all = vec3f(max(all.x, seen[i].x), min(all.y, seen[i].y), max(all.z, seen[i].z)); }
  let span = rounded_up(all.z - all.y);
  let scale = rounded_up((all.x + span / 255.0) / largest);
  if (id == 0u) { kv[unit] = pack_half4(vec4f(scale, span, all.y, 0.0)); }
  return Steps(scale / 255.0, span / 255.0, all.y);
}

const UNSEEN = vec3f(0.0, 1e30, -1e30);

fn with_range(so_far: vec3f, low: f32, high: f32) -> vec3f {
  return vec3f(max(so_far.x, high - low), min(so_far.y, low), max(so_far.z, low));
}

// Which of sixteen channels' four vectors, eight and those they rotate with, stands where in a head.
fn part(i: u32, v: u32) -> u32 { return (v / 2u) * HALF4 + i + (v & 1u); }

struct Ends { low: vec4f, high: vec4f }

// Of four channels of the keys.
fn key_ends(source: u32, channels: u32) -> Ends {
  var ends = Ends(vec4f(1e30), vec4f(-1e30));
  for (var j = 0u; j < PAGE_TOKENS; j++) {
    let x = half4(kv[source + j * HEAD_DIM4 + channels]);
    ends = Ends(min(ends.low, x), max(ends.high, x));
  }
  return ends;
}

// Sixteen channels from i on.
fn quantize_channels(source: u32, head: u32, form: Form, steps: Steps, i: u32) {
  var scale: array<vec4f, 4>;
  var minimum: array<vec4f, 4>;
  for (var v = 0u; v < 4u; v++) {
    let ends = key_ends(source, part(i, v));
    let ranges = ranges_of(ends.low, ends.high, steps, form.largest);
    scale[v] = ranges.scales * steps.scale;
    minimum[v] = ranges.minima * steps.minimum + steps.lowest;
    let unit = head + KEY_RANGES + 2u * i + v / 2u;
    kv[unit][v & 1u] = packed_bytes(ranges.scales);
    kv[unit + 2u][v & 1u] = packed_bytes(ranges.minima);
  }
  for (var j = 0u; j < PAGE_TOKENS; j++) {
    var c: array<vec4f, 4>;
    for (var v = 0u; v < 4u; v++) {
      c[v] = codes(half4(kv[source + j * HEAD_DIM4 + part(i, v)]), scale[v], minimum[v], form.largest);
    }
    let row = head + KEY_CODES + j * form.row;
    if (form.largest > 15.0) {
      kv[row + i] = vec2u(packed_bytes(c[0]), packed_bytes(c[1]));
      kv[row + i + 1u] = vec2u(packed_bytes(c[2]), packed_bytes(c[3]));
    } else {
      kv[row + i / 2u] = vec2u(packed_nibbles(c[0], c[1]), packed_nibbles(c[2], c[3]));
    }
  }
}

fn quantize_keys(source: u32, head: u32, form: Form, id: u32) {
  var own = UNSEEN;
  for (var i = id; i < HEAD_DIM4; i += WORKGROUP) {
    let ends = key_ends(source, i);
    for (var c = 0u; c < 4u; c++) { own = with_range(own, ends.low[c], ends.high[c]); }
  }
  let steps = shared_steps(own, id, form.largest, head);
  for (var i = 2u * id; i < HALF4; i += 2u * WORKGROUP) { quantize_channels(source, head, form, steps, i); }
}

// Lowest and highest of a token's value.
fn value_ends(token: u32) -> vec2f {
  var low = vec4f(1e30);
  var high = vec4f(-1e30);
  for (var i = 0u; i < HEAD_DIM4; i++) {
    low = min(low, half4(kv[token + i]));
    high = max(high, half4(kv[token + i]));
  }
  return vec2f(min(min(low.x, low.y), min(low.z, low.w)), max(max(high.x, high.y), max(high.z, high.w)));
}

// Ranges of four tokens share a unit.
// `unit`: of their ranges.
fn quantize_values(source: u32, head: u32, unit: u32, form: Form, id: u32) {
  var own = UNSEEN;
  for (var j = id; j < PAGE_TOKENS; j += WORKGROUP) {
    let ends = value_ends(source + j * HEAD_DIM4);
    own = with_range(own, ends.x, ends.y);
  }
  let steps = shared_steps(own, id, form.largest, head + 1u);
  for (var first = 4u * id; first < PAGE_TOKENS; first += 4u * WORKGROUP) {
    var low: vec4f;
    var high: vec4f;
    for (var t = 0u; t < 4u; t++) {
      let ends = value_ends(source + (first + t) * HEAD_DIM4);
      low[t] = ends.x;
      high[t] = ends.y;
    }
    let ranges = ranges_of(low, high, steps, form.largest);
    let s = vec4u(ranges.scales);
    let m = vec4u(ranges.minima) << vec4u(8u);
    kv[unit + first / 4u] = vec2u(s.x | m.x | ((s.y | m.y) << 16u), s.z | m.z | ((s.w | m.w) << 16u));
    for (var t = 0u; t < 4u; t++) {
      let scale = vec4f(ranges.scales[t] * steps.scale);
      let minimum = vec4f(ranges.minima[t] * steps.minimum + steps.lowest);
      let token = source + (first + t) * HEAD_DIM4;
      let row = unit + VALUE_RANGES + (first + t) * form.row;
      for (var i = 0u; i < HEAD_DIM4; i += 4u) {
        var c: array<vec4f, 4>;
        for (var v = 0u; v < 4u; v++) { c[v] = codes(half4(kv[token + i + v]), scale, minimum, form.largest); }
        if (form.largest > 15.0) {
          kv[row + i / 2u] = vec2u(packed_bytes(c[0]), packed_bytes(c[1]));
          kv[row + i / 2u + 1u] = vec2u(packed_bytes(c[2]), packed_bytes(c[3]));
        } else if (form.largest > 3.0) {
          kv[row + i / 4u] = vec2u(packed_nibbles(c[0], c[1]), packed_nibbles(c[2], c[3]));
        } else {
          kv[row + i / 8u][(i / 4u) & 1u] = packed_crumbs(c[0], c[1], c[2], c[3]);
        }
      }
    }
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) id: u32) {
  let task = 2u * (params.first + group.y);
  let kv_head = group.x / 2u;
  let source = tasks[task].x + kv_head * PAGE_TOKENS * HEAD_DIM4;
  let copy_form = tasks[task + 1u].y & 255u;
  var keys = form_of(4u);
  var values = form_of(4u);
  if (copy_form == FORM_Q8) {
    keys = form_of(8u);
    values = keys;
  } else if (copy_form == FORM_K4V2) {
    values = form_of(2u);
  }
  let head = tasks[task + 1u].x + kv_head * (KEY_CODES + VALUE_RANGES + PAGE_TOKENS * (keys.row + values.row));
  if ((group.x & 1u) == 0u) {
    quantize_keys(source, head, keys, id);
  } else {
    quantize_values(source + HALF_PART, head, head + KEY_CODES + PAGE_TOKENS * keys.row, values, id);
  }
}
