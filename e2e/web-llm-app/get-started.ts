// An app of web-llm's, in the form of its examples get-started and streaming. But for the import it is as it was:
// import * as webllm from '@mlc-ai/web-llm';
import * as webllm from '../../src/web-llm/index.ts';

function setLabel(id: string, text: string): void {
  const label = document.getElementById(id);
  if (label === null) throw new Error(`no label ${id}`);
  label.innerText = text;
}

/** Requests a whole answer, then a stream. */
export async function getStarted(selectedModel: string): Promise<webllm.ChatCompletion> {
  const initProgressCallback = (report: webllm.InitProgressReport): void => setLabel('init-label', report.text);
  const engine: webllm.MLCEngineInterface = await webllm.CreateMLCEngine(
    selectedModel,
    { initProgressCallback, logLevel: 'INFO' },
    { context_window_size: 1024 },
  );
  const reply = await engine.chat.completions.create({
    messages: [{ role: 'user', content: 'List three US states.' }],
    temperature: 1.5,
    max_tokens: 16,
    logit_bias: { '65': -100 },
    seed: 1,
  });

  const request: webllm.ChatCompletionRequest = {
    stream: true,
    stream_options: { include_usage: true },
    messages: [
      { role: 'system', content: 'You are a pirate chatbot who always answers in pirate speak.' },
      { role: 'user', content: 'Provide me three US states.' },
    ],
    max_tokens: 12,
  };
  let message = '';
  for await (const chunk of await engine.chat.completions.create(request)) {
    message += chunk.choices[0]?.delta.content ?? '';
    setLabel('generate-label', message);
    if (chunk.usage) setLabel('stats-label', `${chunk.usage.completion_tokens} tokens`);
  }
  if (message !== (await engine.getMessage())) throw new Error('the message is another one');
  await engine.unload();
  return reply;
}
