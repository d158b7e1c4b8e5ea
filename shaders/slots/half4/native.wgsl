// f16 with shader-f16, which rounds to the nearest; pack2x16float alone may cut off. naga takes no bitcast of f16.
fn half4(packed: vec2u) -> vec4f { return vec4f(unpack2x16float(packed.x), unpack2x16float(packed.y)); }

fn pack_half4(v: vec4f) -> vec2u {
  let rounded = vec4f(vec4<f16>(v));
  return vec2u(pack2x16float(rounded.xy), pack2x16float(rounded.zw));
}
