/** Times an answer from the call: `begin` yields the texts of its tokens as they arrive. */
export async function timed(begin) {
  const start = performance.now();
  const at = [];
  let text = '';
  for await (const part of await begin()) {
    at.push(performance.now() - start);
    text += part;
  }
  return { text, at };
}
