/**
 * One SQLite file shared by all processes of the tree: a connection that opens itself, waits its turn, and comes back
 * after whatever happened to the file.
 *
 * - WAL: readers never wait. A writer takes the lock at once (BEGIN IMMEDIATE), so that nothing fails half way; it waits
 *   in slices between turns of the event loop, because SQLite's own wait would stop a responder from answering.
 * - A file that was removed or replaced is noticed before each call by its inode. Its WAL belongs to the name, not the
 *   inode, so a missing file is made anew under a lock of its own, left-over WAL files first, and not before those who
 *   remove it had the time to remove all of it.
 * - Every failure is STORE_UNAVAILABLE (retry), and the next call starts from opening. An error thrown by the caller's
 *   function rolls back and passes.
 */
import { existsSync, rmSync, statSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Log } from '@ufes/core/ports.ts';
import { schema, schemaVersion } from './schema.ts';

export type Row = Record<string, null | number | bigint | string | Uint8Array>;

/** Prepared statements by their text. */
export interface Statements {
  get(sql: string, ...values: SQLInputValue[]): Row | undefined;
  all(sql: string, ...values: SQLInputValue[]): Row[];
  /** Rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number;
}

export interface Database {
  /** One statement, or several that need no common moment. */
  read<T>(fn: (statements: Statements) => T): Promise<T>;
  /** A write transaction. `durable`: on disk before it resolves, whatever happens to the power. */
  write<T>(fn: (statements: Statements) => T, options?: { durable?: boolean }): Promise<T>;
  close(): void;
}

interface Connection extends Statements {
  readonly database: DatabaseSync;
  readonly inode: number;
}

export function openDatabase({ path, log }: { path: string; log: Log }): Database {
  let connection: Connection | undefined;
  /** Monotonic time at which the file was seen to be gone. */
  let goneAtMs: number | undefined;
  let isClosed = false;
  let isDown = false;

  function drop(): void {
    try {
      connection?.database.close();
    } catch (error) {
      log.debug({ path }, `store: close: ${describeError(error)}`);
    }
    connection = undefined;
  }

  function connect(): Connection {
    const inode = statSync(path, { throwIfNoEntry: false })?.ino;
    if (connection !== undefined && connection.inode !== inode) {
      drop();
      if (inode === undefined) goneAtMs ??= performance.now();
    }
    if (inode === undefined && goneAtMs !== undefined && performance.now() - goneAtMs < limits.store.recreateMs) {
      throw new OperatingError('STORE_UNAVAILABLE', 'the file was removed; a new one is made in a moment');
    }
    if (connection === undefined) {
      connection = open(path);
      goneAtMs = undefined;
    }
    return connection;
  }

  async function attempt<T>(fn: (connection: Connection) => T): Promise<T> {
    const deadlineMs = performance.now() + limits.store.busyMs;
    for (let pauseMs = 1; ; pauseMs = Math.min(2 * pauseMs, 20)) {
      if (isClosed) throw new OperatingError('STORE_UNAVAILABLE', `the store ${path} is closed here`);
      try {
        const result = fn(connect());
        if (isDown) log.info({ path }, 'the store is back');
        isDown = false;
        return result;
      } catch (error) {
        if (isBusy(error) && performance.now() < deadlineMs) {
          // Uneven, so that two writers do not meet again and again.
          await new Promise((resolve) => setTimeout(resolve, pauseMs * (0.5 + Math.random())));
          continue;
        }
        if (!isStores(error)) throw error;
        drop();
        const what = isDamaged(error)
          ? 'is damaged; remove it: it is made anew, and nodes give back what is in service'
          : 'cannot be used';
        const failure = new OperatingError('STORE_UNAVAILABLE', `the store ${path} ${what}`, { cause: error });
        if (!isDown) log.warn({ path }, describeError(failure));
        isDown = true;
        throw failure;
      }
    }
  }

  return {
    read: (fn) => attempt((statements) => fn(statements)),
    write: (fn, { durable = false } = {}) =>
      attempt((statements) => {
        const { database } = statements;
        database.exec(
          durable ? 'PRAGMA synchronous = FULL; BEGIN IMMEDIATE' : 'PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE',
        );
        try {
          const result = fn(statements);
          database.exec('COMMIT');
          return result;
        } catch (error) {
          if (database.isTransaction) database.exec('ROLLBACK');
          throw error;
        }
      }),
    close: () => {
      isClosed = true;
      drop();
    },
  };
}

function open(path: string): Connection {
  if (!existsSync(path)) create(path);
  const database = new DatabaseSync(path, { timeout: limits.store.busySliceMs });
  try {
    const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
    if (version > schemaVersion) {
      throw new OperatingError(
        'STORE_UNAVAILABLE',
        `it was written by a newer ufes (schema ${version}, this one knows ${schemaVersion}): use that version, or move the file away`,
      );
    }
    if (version < schemaVersion) create(path);
    return { database, inode: statSync(path).ino, ...statementsOf(database) };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Makes the file, or finishes what a killed process began. One process at a time. */
function create(path: string): void {
  const lock = new DatabaseSync(`${path}.lock`, { timeout: limits.store.busySliceMs });
  try {
    // The lock goes with the process that holds it.
    lock.exec('BEGIN EXCLUSIVE');
    if (!existsSync(path)) {
      rmSync(`${path}-wal`, { force: true });
      rmSync(`${path}-shm`, { force: true });
    }
    const database = new DatabaseSync(path, { timeout: limits.store.busySliceMs });
    try {
      database.exec('PRAGMA journal_mode = WAL');
      database.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA user_version = ${schemaVersion}; COMMIT`);
    } finally {
      database.close();
    }
    lock.exec('COMMIT');
  } finally {
    lock.close();
  }
}

function statementsOf(database: DatabaseSync): Statements {
  const prepared = new Map<string, StatementSync>();
  const statement = (sql: string): StatementSync => {
    let found = prepared.get(sql);
    if (found === undefined) {
      found = database.prepare(sql);
      prepared.set(sql, found);
    }
    return found;
  };
  return {
    get: (sql, ...values) => statement(sql).get(...values),
    all: (sql, ...values) => statement(sql).all(...values),
    run: (sql, ...values) => Number(statement(sql).run(...values).changes),
  };
}

const sqliteBusy = 5;
const sqliteLocked = 6;

const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;

function isBusy(error: unknown): boolean {
  return [sqliteBusy, sqliteLocked].includes(primaryCode(error));
}

/** Trying again does not help: someone has to remove the file, and nobody but its owner may decide that. */
function isDamaged(error: unknown): boolean {
  return [sqliteCorrupt, sqliteNotADatabase].includes(primaryCode(error));
}

/** SQLite's result code without its extension; 0 when the error is not SQLite's. */
function primaryCode(error: unknown): number {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number' ? error.errcode & 255 : 0;
}

/** Failures of SQLite and of the file system; all else is the caller's. */
function isStores(error: unknown): boolean {
  if (error instanceof OperatingError) return error.code === 'STORE_UNAVAILABLE';
  return error instanceof Error && ('errcode' in error || 'syscall' in error);
}
