import { expect, test } from 'vitest';
import { withDefaults } from './defaults.ts';
import { mend } from './mend.ts';
import { type Config, configSchema } from './schema.ts';
import { schemaProblems } from './validate.ts';

const right = () => ({
  pops: {
    lon: { location: [51, 0], vips: { v4: '192.0.2.1' } },
    iad: { location: [39, -77], vips: { v4: '192.0.2.2' } },
  },
  origins: { eu: { location: [50, 8], endpoints: ['http://198.51.100.1:80'] } },
  services: { shop: { name: 'www.shop.example', pops: ['lon', 'iad'], origin: 'eu' } } as Record<string, object>,
});

test('a misspelt key is read as the one it is near to', () => {
  const value = right();
  value.services['shop'] = { name: 'www.shop.example', pops: ['lon'], orgin: 'eu' };
  const mended = mend(configSchema, withDefaults(configSchema, value))!;
  expect((mended.value as Config).services['shop']!.origin).toBe('eu');
  expect(schemaProblems(configSchema, mended.value)).toEqual([]);
});

test('a wrong value gives way to its default, and what cannot be without it goes whole', () => {
  const value = right();
  value.services['shop'] = { name: 'www.shop.example', pops: ['lon', 'iad'], origin: 'eu', ttl: { min: '5s' } };
  (value.pops as Record<string, object>)['iad'] = { location: 'Virginia', vips: { v4: '192.0.2.2' } };
  const { value: mended, isGenuine } = mend(configSchema, withDefaults(configSchema, value))!;
  const config = mended as Config;
  expect(config.services['shop']!.ttl.min).toBe(5);
  expect(Object.keys(config.pops)).toEqual(['lon']);
  // That iad is not there is the mending's doing.
  expect(isGenuine({ path: ['services', 'shop', 'pops', 1], message: 'no PoP "iad"' })).toBe(false);
  expect(isGenuine({ path: ['services', 'shop', 'pops', 0], message: 'x' })).toBe(true);
  expect(isGenuine({ path: ['pops', 'lon', 'backboneRttMs', 'iad'], atKey: true, message: 'x' })).toBe(false);
  expect(isGenuine({ path: ['pops', 'lon', 'backboneRttMs', 'us'], atKey: true, message: 'x' })).toBe(true);
});

test('nothing is guessed where nothing is left to guess by', () => {
  expect(mend(configSchema, withDefaults(configSchema, { pops: 3 }))).toBeUndefined();
  expect(mend(configSchema, withDefaults(configSchema, []))).toBeUndefined();
});
