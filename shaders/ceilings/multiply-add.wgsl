// sum = sum · 0.5 + 1, repeatedly, in SUMS independent chains: the ceiling of multiply-adds. The numbers are params, so that
// compilers cannot evaluate the sums, which stay between 1 and about 2.
// needs: number4, multiply-add
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let factor = number4(vec4f(params.factor));
  let addend = number4(vec4f(params.addend));
  #for n in SUMS
  var sum#n = number4(vec4f(1.0 + f32((id.x + #nu) % 8u) / 8.0));
  #end
  for (var i = 0u; i < params.iterations; i++) {
    #for n in SUMS
    sum#n = multiply_add(sum#n, factor, addend);
    #end
  }
  var sum = number4();
  #for n in SUMS
  sum += sum#n;
  #end
  y[id.x] = vec4f(sum);
}
