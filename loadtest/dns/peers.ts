/** gdnsd, Knot and the C echo: the world written in their own formats, one process and one UDP thread each. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatAddress } from '@ufes/core/ip.ts';
import { freePort, pinned, serverCore } from './machine.ts';
import type { Server } from './server.ts';
import { ttlSeconds, vip4, vip6, type World, zoneName } from './world.ts';

/** Every override with its PoP. */
function* overrides(world: World): Generator<{ readonly prefix: string; readonly pop: number }> {
  const lo = 0;
  for (const [i, hi] of world.v4.entries()) {
    yield { prefix: `${formatAddress({ family: 4, hi, lo })}/24`, pop: world.v4Pop[i]! };
  }
  for (const [i, hi] of world.v6hi.entries()) {
    yield { prefix: `${formatAddress({ family: 6, hi, lo: world.v6lo[i]! })}/48`, pop: world.v6Pop[i]! };
  }
}

const zoneHead = [`$TTL ${ttlSeconds}`, '@ SOA ns1 host 1 7200 900 1209600 60', '@ NS ns1', 'ns1 A 127.0.0.1'];

/** plugin_geoip with a `nets` file and no GeoIP database. */
export async function startGdnsd(world: World, folder: string): Promise<Server> {
  const port = await freePort();
  for (const sub of ['', 'geoip', 'zones', 'run', 'state']) mkdirSync(join(folder, sub), { recursive: true });
  const pops = Array.from({ length: world.pops }, (_, pop) => pop);
  const centres = pops.map((pop) => `dc${pop}`).join(', ');
  const addresses = pops.map((pop) => `dc${pop} => { addrs_v4 => ${vip4(pop)}, addrs_v6 => ${vip6(pop)} }`).join(', ');
  writeFileSync(
    join(folder, 'config'),
    `options => { listen => [127.0.0.1], dns_port => ${port}, udp_threads => 1, tcp_threads => 1, edns_client_subnet => true,
  run_dir => ${join(folder, 'run')}, state_dir => ${join(folder, 'state')} }
plugins => { geoip => { undefined_datacenters_ok => true,
  maps => { m => { datacenters => [${centres}], nets => nets } },
  resources => { www => { map => m, service_types => up, dcmap => { ${addresses} } } } } }
`,
  );
  const nets = [...overrides(world)].map(({ prefix, pop }) => `${prefix} => [dc${pop}]\n`);
  writeFileSync(join(folder, 'geoip/nets'), nets.join(''));
  const zone = [...zoneHead, ...world.names.map((name) => `${name} ${ttlSeconds} DYNA geoip!www`)];
  writeFileSync(join(folder, 'zones', zoneName), `${zone.join('\n')}\n`);
  const child = pinned(serverCore, 'gdnsd', ['-c', folder, 'start']);
  return { name: 'gdnsd', port, child, pid: child.pid! };
}

/** mod-geoip in subnet mode. It lists subnets name by name, so it is given the first name alone. */
export async function startKnot(world: World, folder: string): Promise<Server> {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const [name] = world.names;
  writeFileSync(
    join(folder, 'knot.conf'),
    `server:
    rundir: "${folder}"
    listen: 127.0.0.1@${port}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: "${folder}"
log:
  - target: stderr
    any: warning
mod-geoip:
  - id: world
    config-file: "${join(folder, 'subnets.conf')}"
    ttl: ${ttlSeconds}
    mode: subnet
zone:
  - domain: ${zoneName}
    file: "${join(folder, 'zone')}"
    module: mod-geoip/world
`,
  );
  const records = (pop: number) => `    A: ${vip4(pop)}\n    AAAA: ${vip6(pop)}\n`;
  const subnets = [...overrides(world)].map(({ prefix, pop }) => `  - net: ${prefix}\n${records(pop)}`);
  writeFileSync(join(folder, 'subnets.conf'), `${name}.${zoneName}:\n${subnets.join('')}`);
  const zone = [...zoneHead, `${name} A ${vip4(0)}`, `${name} AAAA ${vip6(0)}`];
  writeFileSync(join(folder, 'zone'), `${zone.join('\n')}\n`);
  const child = pinned(serverCore, 'knotd', ['-c', join(folder, 'knot.conf')]);
  return { name: 'knot', port, child, pid: child.pid! };
}

/** The same system calls without DNS (echo.c): what the kernel alone costs for answers of this many bytes. */
export async function startEcho(folder: string, answerBytes: number): Promise<Server> {
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const program = join(folder, 'echo');
  execFileSync('gcc', ['-O2', '-o', program, join(import.meta.dirname, 'echo.c')]);
  const child = pinned(serverCore, program, [String(port), String(answerBytes)]);
  return { name: 'echo', port, child, pid: child.pid! };
}
