/** What `ufes up` says once it serves: where everything is, and what to try. */
import { join } from 'node:path';
import type { Config } from '@ufes/core/config/schema.ts';
import { parseStoreUrl, storeName } from '@ufes/core/config/store-url.ts';
import { bold, dim, stateFolder, table } from './command.ts';

export function welcome(config: Config, state: string, demo: boolean, ms: number): string {
  const rows: string[][] = [['dns', config.listeners.dns.join(' '), 'UDP and TCP']];
  for (const [id, pop] of Object.entries(config.pops)) {
    const vips = [pop.vips.v4, pop.vips.v6 && `[${pop.vips.v6}]`].filter(Boolean);
    rows.push([`edge ${id}`, vips.map((vip) => `https://${vip}:${pop.ports.https}`).join(' '), pop.title ?? id]);
  }
  for (const { address, tls, proxy, source } of config.listeners.probe) {
    const note = proxy === undefined ? `source ${source}` : `PROXY ${proxy}, source ${source}`;
    rows.push(['probe', `${tls ? 'https' : 'http'}://${address}`, note]);
  }
  const { dashboard } = config.listeners;
  if (dashboard !== undefined) rows.push(['dashboard', `http://${dashboard}`, 'open this in a browser']);
  const store = config.store === 'embedded' ? undefined : parseStoreUrl(config.store);
  if (typeof store === 'object') rows.push(['store', storeName(store), '']);
  rows.push(['state', state, 'CA certificate: tls/ca.crt']);
  const head = `\n${bold('ufes')} is up ${dim(`after ${(ms / 1000).toFixed(1)} s`)}\n\n`;
  const addresses = table(rows.map(([what = '', where = '', note = '']) => [`  ${what}`, bold(where), dim(note)]));
  return `${head}${addresses}${demo ? tryThis(config, state) : ''}`;
}

function tryThis(config: Config, state: string): string {
  const [service] = Object.values(config.services);
  const [pop] = Object.entries(config.pops);
  const option = stateFolder(undefined) === state ? '' : ` --state ${state}`;
  const commands = [`npx ufes status${option}`, `npx ufes geoip lookup${option} 81.2.69.160`];
  if (service !== undefined) {
    commands.unshift(
      `npx ufes dig${option} ${service.name} --subnet 81.2.69.0/24`,
      `npx ufes explain${option} ${service.name} 81.2.69.160`,
    );
  }
  if (pop !== undefined) commands.push(`npx ufes fail${option} ${pop[0]} --for 20s`);
  if (service !== undefined && pop?.[1].vips.v4 !== undefined) {
    const to = `${service.name}:443:${pop[1].vips.v4}:${pop[1].ports.https}`;
    commands.push(
      `curl --cacert ${join(state, 'tls', 'ca.crt')} --connect-to ${to} https://${service.name}/api/orders`,
    );
  }
  const lines = commands.map((command) => `  ${command}\n`).join('');
  return `\nTry, in another terminal:\n${lines}\nCtrl-C drains and ends it. GeoIP: IP Geolocation by DB-IP (https://db-ip.com)\n`;
}
