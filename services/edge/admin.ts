/** The edge's routes on its local socket: state for `ufes status`, drain and undo, probe names seen of late. */
import type { ToldByEdge } from '@ufes/core/seen.ts';
import { formatVersion } from '@ufes/core/version.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { CertificateKeeper } from './certificates.ts';
import type { DataPlane } from './data-plane.ts';
import type { Program } from './program.ts';

export interface AdminParts {
  readonly pop: string;
  /** Undefined before the start. */
  readonly plane: () => DataPlane | undefined;
  readonly keeper: CertificateKeeper;
  readonly program: () => Program | undefined;
  readonly draining: () => boolean;
  /** Probe ID → prefix, and round trip of its handshake. */
  readonly seen: () => ReadonlyMap<string, ToldByEdge>;
  readonly setDraining: (draining: boolean) => void;
}

export function addAdminRoutes({ admin, clock }: Pick<ServiceContext, 'admin' | 'clock'>, parts: AdminParts): void {
  const { pop, keeper } = parts;
  admin.get('/state', () => {
    const program = parts.program();
    const plane = parts.plane();
    const version = program?.table.version;
    const nowMs = clock.nowMs();
    return {
      pop,
      plane: plane?.name ?? null,
      draining: parts.draining(),
      versions: { desired: version === undefined ? null : formatVersion(version) },
      hosts:
        program === undefined
          ? []
          : [...program.table.hosts.values(), ...program.table.wildcards.values()].map(({ host }) => host),
      ...plane?.stats(),
      certificates: [...keeper.pairs()].map(([name, { expiresAtMs }]) => ({
        name,
        expiresAtMs,
        expiresInDays: Math.floor((expiresAtMs - nowMs) / 86_400_000),
      })),
      certificateProblems: Object.fromEntries(keeper.problems()),
    };
  });
  const setDraining = (draining: boolean) => {
    parts.setDraining(draining);
    return { pop, draining };
  };
  admin.post('/drain', () => setDraining(true));
  admin.post('/undrain', () => setDraining(false));
  admin.get('/probe-names', () => ({ pop, seen: Object.fromEntries(parts.seen()) }));
}
