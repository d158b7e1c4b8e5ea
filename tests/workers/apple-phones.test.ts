import { expect, test } from 'vitest';
import { APPLE_PHONE_GIB, isApplePhone, modelBudget } from '../../workers/browser-device.ts';

const OF_MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0';

test.each([
  ['an iPhone', 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15', 5, true],
  ['Chrome on an iPad', 'Mozilla/5.0 (iPad; CPU OS 18_6 like Mac OS X) AppleWebKit/605.1.15 CriOS/141.0', 5, true],
  ['an iPad that asks for pages of a Mac', `${OF_MAC} Safari/605.1.15`, 5, true],
  ['a Mac', `${OF_MAC} Safari/605.1.15`, 0, false],
  ['Android', 'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/141.0 Mobile Safari/537.36', 5, false],
  [
    'a laptop with a touch screen',
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/141.0',
    10,
    false,
  ],
])('%s', (_, userAgent, maxTouchPoints, isPhone) => expect(isApplePhone({ userAgent, maxTouchPoints })).toBe(isPhone));

test('a model chosen on an Apple phone leaves room for the rest of the page', () => {
  expect(modelBudget(APPLE_PHONE_GIB)).toBeLessThan(0.4e9);
  expect(modelBudget(undefined)).toBeGreaterThan(1e9);
});
