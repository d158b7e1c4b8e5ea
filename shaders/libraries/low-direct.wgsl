// Component k of h for a tile of eight tokens, `next` units apart.
struct Column { first: vec4f, second: vec4f }

fn low_column(at: u32, next: u32, k: u32, local: u32) -> Column {
  return Column(
    vec4f(
      low_component(at, k), low_component(at + next, k),
      low_component(at + 2u * next, k), low_component(at + 3u * next, k)),
    vec4f(
      low_component(at + 4u * next, k), low_component(at + 5u * next, k),
      low_component(at + 6u * next, k), low_component(at + 7u * next, k)));
}
