/** Unbound as a resolver of its own address, which asks our dns for the demo's zones and nobody for anything else. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onPath } from '@ufes/io/testing.ts';

export const unbound = ['unbound', '/usr/sbin/unbound'].find((path) => onPath(path) || existsSync(path));

export interface Unbound {
  /** It listens at this and asks from it. */
  readonly address: string;
  said(): string;
  stop(): Promise<void>;
}

/** At port 53 of `address`, if that may be bound, else at `port`. */
export function startUnbound(address: string, port: number, dns: { address: string; port: number }): Unbound {
  const folder = mkdtempSync(join(tmpdir(), 'ufes-unbound-'));
  const config = join(folder, 'unbound.conf');
  const stub = (zone: string) =>
    `stub-zone:\n  name: "${zone}"\n  stub-addr: ${dns.address}@${dns.port}\n  stub-prime: no\n`;
  writeFileSync(
    config,
    `server:
  directory: "${folder}"
  chroot: ""
  username: ""
  pidfile: ""
  use-syslog: no
  verbosity: 1
  do-daemonize: no
  num-threads: 1
  interface: ${address}@${port}
  outgoing-interface: ${address}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-ip6: no
  module-config: "iterator"
  qname-minimisation: no
${stub('shop.example')}${stub('probe.example')}remote-control:
  control-enable: no
`,
  );
  const child: ChildProcess = spawn(unbound!, ['-d', '-c', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const keep = (chunk: Buffer): void => {
    said += chunk;
  };
  child.stdout!.on('data', keep);
  child.stderr!.on('data', keep);
  return {
    address,
    said: () => said,
    async stop() {
      if (child.exitCode === null) {
        const ended = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGTERM');
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
