// The experts of other slices are computed by other dispatches.
fn rides(group: vec3u, local: u32) -> bool {
  // Below the first one it wraps around.
  return routes[group.y * TOKENS].x - params.firstExpert >= params.experts;
}
