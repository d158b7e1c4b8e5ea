// How much other forms of pages change the attention output of the latest queries, whose outputs and softmaxes are known: the
// pages' parts in their old form are subtracted, those in the new form added. One invocation a head of a task, or of several
// tasks together.
// needs: page-attention, page-layout
const PROBE4 = 2u * HEAD_DIM4 + 1u;

fn known_output(probe: u32, i: u32) -> Quad {
  let at = probe + HEAD_DIM4 + i;
  return Quad(qkv[at], qkv[at + 1u], qkv[at + 2u], qkv[at + 3u]);
}

fn lifted(a: Quad, by: f32) -> Quad { return Quad(a.a + by, a.b + by, a.c + by, a.d + by); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = params.first / params.together + id.x / NUM_HEADS;
  let head = id.x % NUM_HEADS;
  if (id.x >= params.count / params.together * NUM_HEADS) { return; }
  let kv_head = head / (NUM_HEADS / NUM_KV_HEADS);
  var change = 0.0;
  var size = 0.0;
  for (var q = 0u; q < params.queries; q++) {
    let probe = ((params.slot * PROBES + (params.position - q) % PROBES) * NUM_HEADS + head) * PROBE4;
    let known = qkv[probe + 2u * HEAD_DIM4];
#for n in QUADS
    let y#n = known_output(probe, 4u * #n);
    var moved#n = y#n;
#end
    var total = 1.0;
    // The old form of each page, then the new one.
    for (var t = 0u; t < 2u * params.together; t++) {
      var part = no_page();
      let page = page_of_head(tasks[2u * group * params.together + t], kv_head);
      attend_page(page, kv_head, probe, params.position - q, &part);
      let weight = select(-1.0, 1.0, (t & 1u) == 1u) * exp(part.maximum0 - known.x) / known.y;
      total += weight * part.sum0;
#for n in QUADS
      moved#n = plus(moved#n, lifted(part.o0_#n, part.lift0), weight);
#end
    }
#for n in QUADS
    let by#n = plus(times(moved#n, 1.0 / total), y#n, -1.0);
    change += inner(by#n, by#n);
    size += inner(y#n, y#n);
#end
  }
  errors[group * NUM_HEADS + head] = vec2f(change, size);
}
