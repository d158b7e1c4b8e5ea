import { expect, it } from 'vitest';
import { parseRerankRequest } from '../../src/api/rerank.ts';
import { expectError } from '../support/expect-error.ts';

it('returns all documents by default', () => {
  const taken = { query: 'q', documents: ['a', 'b'], mostResults: 2, returnsDocuments: false };
  expect(parseRerankRequest({ query: 'q', documents: ['a', 'b'], model: 'm' })).toEqual(taken);
  expect(parseRerankRequest({ query: 'q', documents: ['a', 'b'], top_n: 1, return_documents: true })).toEqual({
    ...taken,
    mostResults: 1,
    returnsDocuments: true,
  });
});

it.each([
  [{ documents: ['a'] }, 'query'],
  [{ query: '', documents: ['a'] }, 'query'],
  [{ query: ['q'], documents: ['a'] }, 'query'],
  [{ query: 'q' }, 'documents'],
  [{ query: 'q', documents: 'a' }, 'documents'],
  [{ query: 'q', documents: [] }, 'documents'],
  [{ query: 'q', documents: ['a', ''] }, 'documents[1]'],
  [{ query: 'q', documents: ['a', { text: 'b' }] }, 'documents[1]'],
  [{ query: 'q', documents: new Array(2) }, 'documents[0]'],
  [{ query: 'q', documents: ['a'], top_n: 0 }, 'top_n'],
  [{ query: 'q', documents: ['a'], top_n: 1.5 }, 'top_n'],
  [{ query: 'q', documents: ['a'], return_documents: 'yes' }, 'return_documents'],
  [{ query: 'q', documents: ['a'], adapter: 'x' }, 'adapter'],
  [{ query: 'q', documents: ['a'], max_chunks_per_doc: 2 }, 'max_chunks_per_doc'],
])('refuses %j for %s', async (request, field) => {
  await expectError(() => parseRerankRequest(request), 'bad_request', { field });
});
