// The largest of a workgroup's values and the lowest token that has it, for every invocation.
// needs: sampling
struct Best { value: f32, token: u32 }

var<workgroup> best_key: atomic<u32>;
// Complements, since what is new in a workgroup is 0.
var<workgroup> best_complement: atomic<u32>;

fn best_of(value: f32, token: u32) -> Best {
  let key = order_key(value);
  atomicMax(&best_key, key);
  workgroupBarrier();
  let largest = atomicLoad(&best_key);
  if (key == largest) { atomicMax(&best_complement, ~token); }
  workgroupBarrier();
  return Best(value_of(largest), ~atomicLoad(&best_complement));
}
