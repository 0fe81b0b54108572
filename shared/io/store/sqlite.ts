/**
 * The embedded store: the tables of one SQLite file (database.ts, schema.ts), shared by all processes of the tree.
 * What each part promises is said in ports.ts and held to it by test/conformance.
 */
import { OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type {
  ArtefactStore,
  AuditLog,
  Clock,
  EvidenceStore,
  Fold,
  HistoryRow,
  HistoryStore,
  LeaseStore,
  LiveStore,
  Log,
  SecretStore,
  Store,
} from '@ufes/core/ports.ts';
import { compareVersions, formatVersion, type Version } from '@ufes/core/version.ts';
import { type Database, openDatabase, type Row, type Statements } from './database.ts';
import { openSecret, sealSecret, secretKey } from './seal.ts';

export interface StoreOptions {
  /** STATE/store.sqlite. Its folder must exist. */
  readonly path: string;
  /** STATE/keys, for the key that secrets are encrypted with. */
  readonly keysFolder: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Never throws: the file is opened, made and reopened by the calls. */
export function openStore({ path, keysFolder, clock, log }: StoreOptions): Store {
  const database = openDatabase({ path, log });
  return {
    artefacts: artefactStore(database),
    live: liveStore(database, clock),
    evidence: evidenceStore(database),
    leases: leaseStore(database, clock),
    secrets: secretStore(database, keysFolder),
    audit: auditLog(database),
    history: historyStore(database),
    close: async () => database.close(),
  };
}

// --- Artefacts -----------------------------------------------------------------------------------------------------

function artefactStore(database: Database): ArtefactStore {
  const newest = (statements: Statements, kind: string): Version | undefined =>
    versionOf(
      statements.get('SELECT ms, writer FROM artefact WHERE kind = ? ORDER BY ms DESC, writer DESC LIMIT 1', kind),
    );
  return {
    put: (kind, version, sealed) =>
      database.write((statements) => {
        const last = newest(statements, kind);
        if (last !== undefined && compareVersions(version, last) <= 0) {
          throw new OperatingError(
            'ARTEFACT_STALE',
            `${kind} ${formatVersion(version)} is not newer than ${formatVersion(last)}, which is published`,
          );
        }
        statements.run(
          'INSERT INTO artefact (kind, ms, writer, sealed) VALUES (?, ?, ?, ?)',
          kind,
          version.ms,
          version.writer,
          sealed.subarray(0, pieceBytes),
        );
        const sql = 'INSERT INTO artefact_piece (kind, ms, writer, at, bytes) VALUES (?, ?, ?, ?, ?)';
        for (let at = pieceBytes; at < sealed.length; at += pieceBytes) {
          statements.run(sql, kind, version.ms, version.writer, at, sealed.subarray(at, at + pieceBytes));
        }
      }),
    newestVersion: (kind) => database.read((statements) => newest(statements, kind)),
    get: (kind, version) =>
      database.read((statements) => {
        const pieces: Uint8Array[] = [];
        let length = 0;
        for (;;) {
          const piece = pieceAt(statements, kind, version, length);
          if (piece === undefined) return pieces.length < 2 ? pieces[0] : Buffer.concat(pieces);
          pieces.push(piece);
          length += piece.length;
        }
      }),
    read: (kind, version, offset) => database.read((statements) => pieceAt(statements, kind, version, offset)),
    list: (kind, limit) =>
      database.read((statements) => {
        const sql = 'SELECT ms, writer FROM artefact WHERE kind = ? ORDER BY ms DESC, writer DESC LIMIT ?';
        return statements.all(sql, kind, limit).map((row) => versionOf(row)!);
      }),
    prune: (kind, keep) =>
      database.write((statements) => {
        const sql = `DELETE FROM artefact WHERE rowid IN (
          SELECT rowid FROM artefact WHERE kind = ? ORDER BY ms DESC, writer DESC LIMIT -1 OFFSET ?)`;
        statements.run(sql, kind, keep);
        const orphans = `DELETE FROM artefact_piece AS piece WHERE kind = ? AND NOT EXISTS (SELECT 1 FROM artefact
          WHERE artefact.kind = piece.kind AND artefact.ms = piece.ms AND artefact.writer = piece.writer)`;
        statements.run(orphans, kind);
      }),
  };
}

/** Large artefacts are kept in pieces, so that nobody needs all of one in memory to read it. */
const pieceBytes = 4 << 20;

function pieceAt(statements: Statements, kind: string, { ms, writer }: Version, at: number): Uint8Array | undefined {
  const first = 'SELECT sealed AS bytes FROM artefact WHERE kind = ? AND ms = ? AND writer = ?';
  const later = 'SELECT bytes FROM artefact_piece WHERE kind = ? AND ms = ? AND writer = ? AND at = ?';
  const row = at === 0 ? statements.get(first, kind, ms, writer) : statements.get(later, kind, ms, writer, at);
  return bytesOf(row?.['bytes']);
}

function versionOf(row: Row | undefined): Version | undefined {
  return row && { ms: Number(row['ms']), writer: String(row['writer']) };
}

function bytesOf(value: Row[string] | undefined): Uint8Array | undefined {
  return value instanceof Uint8Array ? value : undefined;
}

// --- Live state ----------------------------------------------------------------------------------------------------

/** Rows whose key begins with a prefix: keys are ASCII paths, so nothing of theirs sorts after the highest code point. */
const afterPrefix = '\u{10ffff}';

function liveStore(database: Database, clock: Clock): LiveStore {
  return {
    put: (entries) =>
      database.write((statements) => {
        const nowMs = Math.floor(clock.nowMs());
        statements.run('DELETE FROM live WHERE expires_ms <= ?', nowMs);
        const sql = 'INSERT OR REPLACE INTO live (key, value, written_ms, expires_ms) VALUES (?, ?, ?, ?)';
        for (const { key, value, ttlMs } of entries) {
          statements.run(sql, key, JSON.stringify(value), nowMs, nowMs + Math.ceil(ttlMs));
        }
      }),
    list: (prefix) =>
      database.read((statements) => {
        const sql = 'SELECT * FROM live WHERE key >= ? AND key < ? AND expires_ms > ? ORDER BY key';
        return statements.all(sql, prefix, prefix + afterPrefix, Math.floor(clock.nowMs())).map((row) => ({
          key: String(row['key']),
          value: JSON.parse(String(row['value'])) as unknown,
          writtenAtMs: Number(row['written_ms']),
          expiresAtMs: Number(row['expires_ms']),
        }));
      }),
    remove: (keys) =>
      database.write((statements) => {
        for (const key of keys) statements.run('DELETE FROM live WHERE key = ?', key);
      }),
  };
}

// --- Leases --------------------------------------------------------------------------------------------------------

function leaseStore(database: Database, clock: Clock): LeaseStore {
  return {
    acquire: (name, owner, ttlMs) =>
      database.write((statements) => {
        const nowMs = Math.floor(clock.nowMs());
        const row = statements.get('SELECT fence, owner, expires_ms FROM lease WHERE name = ?', name);
        const isOurs = row?.['owner'] === owner;
        if (row !== undefined && !isOurs && Number(row['expires_ms']) > nowMs) return undefined;
        const fence = row === undefined ? 1 : Number(row['fence']) + (isOurs ? 0 : 1);
        const sql = 'INSERT OR REPLACE INTO lease (name, fence, owner, expires_ms) VALUES (?, ?, ?, ?)';
        statements.run(sql, name, fence, owner, nowMs + Math.ceil(ttlMs));
        return { name, fence, owner };
      }),
    release: (lease) =>
      database.write((statements) => {
        const sql = "UPDATE lease SET owner = '', expires_ms = 0 WHERE name = ? AND owner = ? AND fence = ?";
        statements.run(sql, lease.name, lease.owner, lease.fence);
      }),
  };
}

// --- Evidence ------------------------------------------------------------------------------------------------------

function evidenceStore(database: Database): EvidenceStore {
  return {
    offsets: (shard) => database.read((statements) => readOffsets(statements, shard)),
    rows: (shard) =>
      database.read((statements) =>
        statements.all('SELECT key, bytes FROM evidence WHERE shard = ?', shard).map((row) => ({
          key: String(row['key']),
          bytes: bytesOf(row['bytes'])!,
        })),
      ),
    usedTokens: (shard, ids) =>
      database.read((statements) => {
        const sql = 'SELECT 1 FROM used_token WHERE shard = ? AND id = ?';
        return new Set(ids.filter((id) => statements.get(sql, shard, id) !== undefined));
      }),
    fold: (fold, nowMs) => database.write((statements) => writeFold(statements, fold, Math.floor(nowMs))),
  };
}

function readOffsets(statements: Statements, shard: number): Record<string, number> {
  const rows = statements.all('SELECT collector, seq FROM fold_offset WHERE shard = ?', shard);
  return Object.fromEntries(rows.map((row) => [String(row['collector']), Number(row['seq'])]));
}

function writeFold(statements: Statements, fold: Fold, nowMs: number): 'ok' | 'fenced' | 'moved' {
  const { shard, lease, from, to } = fold;
  const held = statements.get('SELECT fence, owner FROM lease WHERE name = ?', lease.name);
  if (held?.['fence'] !== lease.fence || held['owner'] !== lease.owner) return 'fenced';
  const offsets = readOffsets(statements, shard);
  for (const collector of new Set([...Object.keys(offsets), ...Object.keys(from)])) {
    if ((offsets[collector] ?? 0) !== (from[collector] ?? 0)) return 'moved';
  }
  const offsetSql = 'INSERT OR REPLACE INTO fold_offset (shard, collector, seq) VALUES (?, ?, ?)';
  for (const [collector, seq] of Object.entries(to)) statements.run(offsetSql, shard, collector, seq);
  const rowSql = 'INSERT OR REPLACE INTO evidence (shard, key, bytes) VALUES (?, ?, ?)';
  for (const { key, bytes } of fold.rows) statements.run(rowSql, shard, key, bytes);
  statements.run('DELETE FROM used_token WHERE shard = ? AND expires_ms <= ?', shard, nowMs);
  const tokenSql = 'INSERT OR IGNORE INTO used_token (shard, id, expires_ms) VALUES (?, ?, ?)';
  for (const { id, expiresAtMs } of fold.tokens) statements.run(tokenSql, shard, id, Math.ceil(expiresAtMs));
  return 'ok';
}

// --- Secrets and audit: on disk before they are acknowledged ---------------------------------------------------------

function secretStore(database: Database, keysFolder: string): SecretStore {
  return {
    put: async (name, plain) => {
      if (plain.length > limits.store.secretBytes) {
        throw new OperatingError('BODY_TOO_LARGE', `secret ${name} has more than ${limits.store.secretBytes} bytes`);
      }
      const sealed = sealSecret(secretKey(keysFolder), name, plain);
      await database.write(
        (statements) => statements.run('INSERT OR REPLACE INTO secret (name, sealed) VALUES (?, ?)', name, sealed),
        { durable: true },
      );
    },
    get: async (name) => {
      const sealed = await database.read((statements) =>
        bytesOf(statements.get('SELECT sealed FROM secret WHERE name = ?', name)?.['sealed']),
      );
      return sealed && openSecret(secretKey(keysFolder), name, sealed);
    },
    list: (prefix) =>
      database.read((statements) =>
        statements
          .all('SELECT name FROM secret WHERE name >= ? AND name < ? ORDER BY name', prefix, prefix + afterPrefix)
          .map((row) => String(row['name'])),
      ),
    remove: async (name) => {
      await database.write((statements) => statements.run('DELETE FROM secret WHERE name = ?', name), {
        durable: true,
      });
    },
  };
}

function auditLog(database: Database): AuditLog {
  return {
    append: async ({ atMs, actor, action, subject, detail }) => {
      const sql = 'INSERT INTO audit (at_ms, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)';
      await database.write(
        (statements) => {
          statements.run(sql, Math.floor(atMs), actor, action, subject, JSON.stringify(detail ?? null));
          const oldest = 'DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?';
          statements.run(oldest, limits.store.auditEntries);
        },
        { durable: true },
      );
    },
    list: (limit) =>
      database.read((statements) =>
        statements.all('SELECT * FROM audit ORDER BY id DESC LIMIT ?', limit).map((row) => ({
          atMs: Number(row['at_ms']),
          actor: String(row['actor']),
          action: String(row['action']),
          subject: String(row['subject']),
          detail: JSON.parse(String(row['detail'])) as unknown,
        })),
      ),
  };
}

// --- The past --------------------------------------------------------------------------------------------------------

function historyStore(database: Database): HistoryStore {
  return {
    append: (stream, { atMs, key, bytes }, keep) =>
      database.write((statements) => {
        const held = statements.get(
          'SELECT length(bytes) AS size FROM history WHERE stream = ? AND key = ?',
          stream,
          key,
        );
        const sql = 'INSERT OR REPLACE INTO history (stream, at_ms, key, bytes) VALUES (?, ?, ?, ?)';
        statements.run(sql, stream, Math.floor(atMs), key, bytes);
        const grown = bytes.length - Number(held?.['size'] ?? 0);
        statements.run(
          `INSERT INTO history_size (stream, bytes) VALUES (?, ?)
           ON CONFLICT (stream) DO UPDATE SET bytes = bytes + excluded.bytes`,
          stream,
          grown,
        );
        dropOldest(statements, stream, keep);
      }),
    get: (stream, key) =>
      database.read((statements) => {
        const row = statements.get('SELECT at_ms, key, bytes FROM history WHERE stream = ? AND key = ?', stream, key);
        return row && historyRow(row);
      }),
    list: (stream, { fromMs = 0, toMs = Number.MAX_SAFE_INTEGER, limit }) =>
      database.read((statements) => {
        const sql = `SELECT at_ms, key, bytes FROM history WHERE stream = ? AND at_ms BETWEEN ? AND ?
          ORDER BY at_ms DESC, key DESC LIMIT ?`;
        return statements.all(sql, stream, Math.ceil(fromMs), Math.floor(toMs), limit).map(historyRow);
      }),
    streams: (prefix) =>
      database.read((statements) =>
        statements
          .all(
            'SELECT stream FROM history_size WHERE stream >= ? AND stream < ? ORDER BY stream',
            prefix,
            prefix + afterPrefix,
          )
          .map((row) => String(row['stream'])),
      ),
  };
}

function historyRow(row: Row): HistoryRow {
  return { atMs: Number(row['at_ms']), key: String(row['key']), bytes: bytesOf(row['bytes'])! };
}

function dropOldest(statements: Statements, stream: string, keep: { fromMs: number; bytes: number }): void {
  let size = Number(statements.get('SELECT bytes FROM history_size WHERE stream = ?', stream)?.['bytes'] ?? 0);
  const oldest = `SELECT rowid AS id, at_ms, length(bytes) AS size FROM history WHERE stream = ?
    ORDER BY at_ms, key LIMIT 1`;
  for (;;) {
    const row = statements.get(oldest, stream);
    if (row === undefined || (Number(row['at_ms']) >= keep.fromMs && size <= keep.bytes)) break;
    statements.run('DELETE FROM history WHERE rowid = ?', row['id']!);
    size -= Number(row['size']);
  }
  statements.run('UPDATE history_size SET bytes = ? WHERE stream = ?', size, stream);
}
