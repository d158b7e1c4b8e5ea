// Writes f16 pages again as q8 or q4, elsewhere in the same buffer. One invocation for sixteen channels of a head's keys
// (eight and those they rotate with), or for a token's value of a head. A code is (x − minimum) / scale to the nearest,
// with scale and minimum as they are kept, in f16.
const HALF4 = HEAD_DIM4 / 2u;
const KEY_UNITS = HALF4 / 2u;
const HALF_PART = NUM_KV_HEADS * PAGE_TOKENS * HEAD_DIM4;

// Where codes lie, and how large they may be.
struct Form { row: u32, head: u32, largest: f32 }

fn packed_bytes(codes: vec4f) -> u32 {
  let c = vec4u(codes) << vec4u(0u, 8u, 16u, 24u);
  return c.x | c.y | c.z | c.w;
}

// Eight codes of four bits: the first four in the low halves of the bytes.
fn packed_nibbles(low: vec4f, high: vec4f) -> u32 { return packed_bytes(low) | (packed_bytes(high) << 4u); }

// Rounded as it will be kept.
fn kept(v: vec4f) -> vec4f { return half4(pack_half4(v)); }

fn codes(x: vec4f, scale: vec4f, minimum: vec4f, largest: f32) -> vec4f {
  let inverse = select(vec4f(), 1.0 / scale, scale > vec4f());
  return clamp(round((x - minimum) * inverse), vec4f(), vec4f(largest));
}

// Which of the sixteen channels' four vectors stands where in a head.
fn part(i: u32, v: u32) -> u32 { return (v / 2u) * HALF4 + i + (v & 1u); }

fn quantize_keys(source: u32, head_base: u32, form: Form, i: u32) {
  var scale: array<vec4f, 4>;
  var minimum: array<vec4f, 4>;
  for (var v = 0u; v < 4u; v++) {
    var low = vec4f(1e30);
    var high = vec4f(-1e30);
    for (var j = 0u; j < PAGE_TOKENS; j++) {
      let x = half4(kv[source + j * HEAD_DIM4 + part(i, v)]);
      low = min(low, x);
      high = max(high, x);
    }
    minimum[v] = kept(low);
    scale[v] = kept((high - minimum[v]) / form.largest);
    kv[head_base + i * 4u + v] = pack_half4(scale[v]);
    kv[head_base + i * 4u + 4u + v] = pack_half4(minimum[v]);
  }
  for (var j = 0u; j < PAGE_TOKENS; j++) {
    var c: array<vec4f, 4>;
    for (var v = 0u; v < 4u; v++) {
      c[v] = codes(half4(kv[source + j * HEAD_DIM4 + part(i, v)]), scale[v], minimum[v], form.largest);
    }
    let row = head_base + 2u * HEAD_DIM4 + j * form.row;
    if (form.largest > 15.0) {
      kv[row + i] = vec2u(packed_bytes(c[0]), packed_bytes(c[1]));
      kv[row + i + 1u] = vec2u(packed_bytes(c[2]), packed_bytes(c[3]));
    } else {
      kv[row + i / 2u] = vec2u(packed_nibbles(c[0], c[1]), packed_nibbles(c[2], c[3]));
    }
  }
}

// Ranges of two tokens share a unit, so an invocation does two.
fn quantize_values(source: u32, ranges: u32, form: Form, first: u32) {
  var words = vec2u();
  for (var t = 0u; t < 2u; t++) {
    let token = source + (first + t) * HEAD_DIM4;
    var low = vec4f(1e30);
    var high = vec4f(-1e30);
    for (var i = 0u; i < HEAD_DIM4; i++) {
      low = min(low, half4(kv[token + i]));
      high = max(high, half4(kv[token + i]));
    }
    let minimum = min(min(low.x, low.y), min(low.z, low.w));
    let maximum = max(max(high.x, high.y), max(high.z, high.w));
    let lowest = kept(vec4f(minimum));
    let scale = kept(vec4f((maximum - lowest.x) / form.largest));
    words[t] = pack2x16float(vec2f(scale.x, lowest.x));
    let row = ranges + PAGE_TOKENS / 2u + (first + t) * form.row;
    for (var i = 0u; i < HEAD_DIM4; i += 2u) {
      let a = codes(half4(kv[token + i]), scale, lowest, form.largest);
      let b = codes(half4(kv[token + i + 1u]), scale, lowest, form.largest);
      if (form.largest > 15.0) {
        kv[row + i / 2u] = vec2u(packed_bytes(a), packed_bytes(b));
      } else {
        kv[row + i / 4u][(i / 2u) & 1u] = packed_nibbles(a, b);
      }
    }
  }
  kv[ranges + first / 2u] = words;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let head = id.x / (KEY_UNITS + PAGE_TOKENS / 2u);
  let i = id.x % (KEY_UNITS + PAGE_TOKENS / 2u);
  if (head >= NUM_KV_HEADS) { return; }
  let task = 2u * (params.first + id.y);
  let source = tasks[task].x + head * PAGE_TOKENS * HEAD_DIM4;
  var form = Form(HEAD_DIM4 / 4u, 0u, 15.0);
  if ((tasks[task + 1u].y & 255u) == FORM_Q8) { form = Form(HALF4, 0u, 255.0); }
  form.head = 2u * HEAD_DIM4 + PAGE_TOKENS / 2u + 2u * PAGE_TOKENS * form.row;
  let head_base = tasks[task + 1u].x + head * form.head;
  if (i < KEY_UNITS) {
    quantize_keys(source, head_base, form, 2u * i);
  } else {
    quantize_values(source + HALF_PART, head_base + 2u * HEAD_DIM4 + PAGE_TOKENS * form.row, form, 2u * (i - KEY_UNITS));
  }
}
