#variant half4/native
// f16 with shader-f16, which rounds to nearest; pack2x16float alone may truncate. naga does not support a bitcast of f16.
fn half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }

fn pack_half4(v: vec4f) -> vec2u {
  let rounded = vec4f(vec4<f16>(v));
  return vec2u(pack2x16float(rounded.xy), pack2x16float(rounded.zw));
}

#variant half4/packed
// f16 without shader-f16.
fn half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }

fn pack_half4(v: vec4f) -> vec2u { return vec2u(pack2x16float(v.xy), pack2x16float(v.zw)); }

#variant half4/bfloat
// bfloat16 instead of f16: the upper half of an f32.
fn half4(packed: vec2u) -> vec4f {
  let low = packed << vec2u(16u);
  let high = packed & vec2u(0xffff0000u);
  return bitcast<vec4f>(vec4u(low.x, high.x, low.y, high.y));
}

#part stored-half
// Keys and values as f16, clamped to its largest number.
// needs: half4
fn stored_half(v: vec4f) -> vec2u { return pack_half4(clamp(v, vec4f(-65504.0), vec4f(65504.0))); }

#variant unpack-bytes/native
// Four signed bytes of a word, with packed_4x8_integer_dot_product.
fn unpack_bytes(word: u32) -> vec4i { return unpack4xI8(word); }

#variant unpack-bytes/shifted
// Four signed bytes of a word, in any WGSL.
fn unpack_bytes(word: u32) -> vec4i { return bitcast<vec4i>(vec4u(word) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u); }

#variant reduce-sum/single
// One invocation computes a whole row. For adapters on which a barrier costs more than it saves.
fn reduce_sum(value: vec4f, local: u32) -> vec4f { return value; }

// Index of this invocation among the LANES of a row.
fn lane_of(local: u32) -> u32 { return 0u; }

#variant reduce-sum/workgroup
// Sum over the LANES invocations of a workgroup through its memory; every invocation gets the result. Subgroup sums would
// depend on the order of invocations, which WGSL does not define. Between sums the kernel may use the memory, KEPT vectors of
// it.
const REDUCE_COLUMNS = select(8u, 16u, LANES > 64u);
var<workgroup> shared_vectors: array<vec4f, max(LANES, KEPT)>;

fn reduce_sum(value: vec4f, local: u32) -> vec4f {
  workgroupBarrier(); // other invocations may still read an earlier sum
  shared_vectors[local] = value;
  workgroupBarrier();
  if (local < REDUCE_COLUMNS) {
    var column = value;
    for (var i = local + REDUCE_COLUMNS; i < LANES; i += REDUCE_COLUMNS) { column += shared_vectors[i]; }
    shared_vectors[local] = column;
  }
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i < REDUCE_COLUMNS; i++) { total += shared_vectors[i]; }
  return total;
}

// Index of this invocation among the LANES of a row.
fn lane_of(local: u32) -> u32 { return local; }

#variant number4/f32
alias number4 = vec4f;

#variant number4/f16
alias number4 = vec4<f16>;

#variant multiply-add/fused
fn multiply_add(a: number4, b: number4, c: number4) -> number4 { return fma(a, b, c); }

#variant multiply-add/plain
fn multiply_add(a: number4, b: number4, c: number4) -> number4 { return a * b + c; }
