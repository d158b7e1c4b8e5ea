import { createEngine } from 'chunkwise';

/** Lets a model answer and puts what came of it into the page's title. `?model=`: its URL. */
export async function showAnswer() {
  try {
    const engine = await createEngine({ model: new URLSearchParams(location.search).get('model') });
    const { usage } = await engine.completions.create({ prompt: 'One, two, three.', max_tokens: 10, temperature: 0 });
    await engine.dispose();
    document.title = `${usage.completion_tokens} tokens`;
  } catch (error) {
    document.title = `failed: ${error}`;
  }
}
