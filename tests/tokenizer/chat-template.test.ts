import { openAsBlob } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TokenizerMetadata } from '../../src/config/tokenizer-metadata.ts';
import { renderChat } from '../../src/tokenizer/chat-template.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { readGguf } from '../../src/weights/gguf/gguf-reader.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { expectError } from '../support/expect-error.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';

const SYSTEM = '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n';
const user = { role: 'user', content: 'Hi {{ there }}' };

let smolLm: TokenizerMetadata;
const withTemplate = (chatTemplate: string | undefined): TokenizerMetadata => ({ ...smolLm, chatTemplate });

beforeAll(async () => {
  smolLm = readTokenizerMetadata(await readGguf(new BlobSource('SmolLM2.gguf', await openAsBlob(REAL_MODEL))));
});

describe("SmolLM2's template", () => {
  it('adds its own system message and opens the answer', () => {
    expect(renderChat(smolLm, [user])).toBe(
      `${SYSTEM}<|im_start|>user\nHi {{ there }}<|im_end|>\n<|im_start|>assistant\n`,
    );
  });

  it('keeps a given system message, and closes without a generation prompt', () => {
    const messages = [{ role: 'system', content: 'Be brief.' }, user, { role: 'assistant', content: 'Hello.' }];
    expect(renderChat(smolLm, messages, { addGenerationPrompt: false })).toBe(
      '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi {{ there }}<|im_end|>\n' +
        '<|im_start|>assistant\nHello.<|im_end|>\n',
    );
  });
});

describe('a template', () => {
  it('sees BOS, EOS and the date', () => {
    const template = '{{ bos_token }}|{{ eos_token }}|{{ strftime_now("%Y") }}';
    expect(renderChat(withTemplate(template), [user])).toBe(`<|im_start|>|<|im_end|>|${new Date().getFullYear()}`);
  });

  it('defaults to ChatML without a system message', () => {
    expect(renderChat(withTemplate(undefined), [user])).toBe(
      '<|im_start|>user\nHi {{ there }}<|im_end|>\n<|im_start|>assistant\n',
    );
  });

  it.each([
    ['cannot be parsed', '{% for x in %}'],
    ['calls what does not exist', '{{ no_such_function(1) }}'],
  ])('that %s is a bad file', async (_, template) => {
    await expectError(() => renderChat(withTemplate(template), [user]), 'bad_file', {
      file: 'SmolLM2.gguf',
      field: 'tokenizer.chat_template',
    });
  });

  it('may refuse the messages', async () => {
    const template = "{{ raise_exception('roles must alternate') }}";
    await expectError(() => renderChat(withTemplate(template), [user]), 'bad_request', {
      reason: /roles must alternate/,
    });
  });
});
