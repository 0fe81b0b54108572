import { expect, test } from 'vitest';
import { creditsOf } from './places.ts';

test('credits become texts with links', () => {
  expect(creditsOf('IP Geolocation by DB-IP (https://db-ip.com), CC BY 4.0; AS data by A (https://a.example)')).toEqual(
    [
      { text: 'IP Geolocation by DB-IP, CC BY 4.0', href: 'https://db-ip.com' },
      { text: 'AS data by A', href: 'https://a.example' },
    ],
  );
  expect(creditsOf('a file of ours')).toEqual([{ text: 'a file of ours' }]);
});
