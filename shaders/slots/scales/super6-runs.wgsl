// As super6, of blocks of a run.
// needs: five-word-runs, unpack-bytes
const MINIMA = 0u;

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let quad = vec4f(unpack_bytes(run.bytes));
  return vec4f(select(quad.xy, quad.zw, (i & 4u) != 0u) * bitcast<f32>(run.first), 0.0, 0.0);
}
