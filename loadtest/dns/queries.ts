/**
 * Queries from a seed: a random name, and a client subnet of which every other one has a PoP of its own. As a file they
 * are a TCP stream (length, message, …), which `dnsperf -B` reads; the PoPs expected lie beside it, a byte a query.
 */
import { writeFileSync } from 'node:fs';
import { nameToWire } from '@ufes/core/dns/name.ts';
import { seededRng } from '@ufes/core/seeded.ts';
import { popOf, randomV4, randomV6, type World, zoneName } from './world.ts';

export interface QueryMix {
  /** Names drawn from: the first `names` of the world. */
  readonly names: number;
  /** Family of the client subnet; none: a query without EDNS. IPv6 clients ask for AAAA. */
  readonly ecs: 4 | 6 | 'none';
  readonly count: number;
}

export interface QueryFiles {
  readonly stream: string;
  readonly expected: string;
  /** Family of the addresses asked for. */
  readonly family: 4 | 6;
}

export function writeQueries(world: World, mix: QueryMix, path: string): QueryFiles {
  const rng = seededRng(`${world.seed}/queries/${mix.ecs}/${mix.names}`);
  const names = world.names.slice(0, mix.names).map((name) => nameToWire(`${name}.${zoneName}.`) as Uint8Array);
  const family = mix.ecs === 6 ? 6 : 4;
  const expected = new Uint8Array(mix.count);
  const messages: Buffer[] = [];
  const client: [number, number] = [0, 0];
  for (let i = 0; i < mix.count; i++) {
    const name = names[Math.floor(rng.next() * names.length)]!;
    if (mix.ecs !== 'none') {
      drawClient(world, mix.ecs, i % 2 === 0, rng, client);
      expected[i] = popOf(world, mix.ecs, client[0], client[1]);
    }
    messages.push(message(name, family === 4 ? 1 : 28, mix.ecs, client));
  }
  const files = { stream: `${path}.bin`, expected: `${path}.expected`, family } as const;
  writeFileSync(files.stream, Buffer.concat(messages));
  writeFileSync(files.expected, expected);
  return files;
}

function drawClient(
  world: World,
  family: 4 | 6,
  hit: boolean,
  rng: ReturnType<typeof seededRng>,
  out: [number, number],
): void {
  const all = family === 4 ? world.v4 : world.v6hi;
  if (hit && all.length > 0) {
    const at = Math.floor(rng.next() * all.length);
    out[0] = all[at]!;
    out[1] = family === 4 ? 0 : world.v6lo[at]!;
    return;
  }
  do {
    out[1] = 0;
    if (family === 4) out[0] = randomV4(rng);
    else randomV6(rng, world.v6Blocks, out);
  } while (popOf(world, family, out[0], out[1]) !== 0);
}

/** With its length before it (RFC 1035 §4.2.2). EDNS with a client subnet: RFC 6891 §6.1, RFC 7871 §6. */
function message(name: Uint8Array, type: number, ecs: 4 | 6 | 'none', [hi, lo]: readonly [number, number]): Buffer {
  const high = [hi >>> 24, (hi >>> 16) & 255, (hi >>> 8) & 255];
  const subnet =
    ecs === 4
      ? [0, 8, 0, 7, 0, 1, 24, 0, ...high]
      : [0, 8, 0, 10, 0, 2, 48, 0, ...high, hi & 255, lo >>> 24, (lo >>> 16) & 255];
  const opt = ecs === 'none' ? [] : [0, 0, 41, 4, 208, 0, 0, 0, 0, 0, subnet.length, ...subnet];
  const body = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, ecs === 'none' ? 0 : 1, ...name, 0, type, 0, 1, ...opt];
  return Buffer.from([body.length >> 8, body.length & 255, ...body]);
}
