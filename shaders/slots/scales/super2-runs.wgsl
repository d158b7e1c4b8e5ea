// As super2, of blocks of a run.
// needs: five-word-runs
const MINIMA = 2u;

fn scales_of(run: RunScales, i: u32) -> vec4f {
  let numbers = vec4f(vec4i((vec4u(run.bytes >> (4u * (i & 4u))) >> vec4u(0u, 8u, 4u, 12u)) & vec4u(15u)));
  let d = unpack2x16float(run.first);
  return numbers * vec4f(d.xx, -d.yy);
}
