/** Tables of the embedded store and queue: one file. A change raises `schemaVersion` and adds the step from the one before. */

export const schemaVersion = 4;

export const schema = `
CREATE TABLE IF NOT EXISTS artefact (
  kind TEXT NOT NULL, ms INTEGER NOT NULL, writer TEXT NOT NULL, sealed BLOB NOT NULL,
  UNIQUE (kind, ms, writer)
);
-- Of what is longer than one piece all but the first, which is "sealed". at: where it begins.
CREATE TABLE IF NOT EXISTS artefact_piece (
  kind TEXT NOT NULL, ms INTEGER NOT NULL, writer TEXT NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL,
  UNIQUE (kind, ms, writer, at)
);
CREATE TABLE IF NOT EXISTS live (
  key TEXT PRIMARY KEY, value TEXT NOT NULL, written_ms INTEGER NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
-- A released or expired lease stays: its fence must rise.
CREATE TABLE IF NOT EXISTS lease (
  name TEXT PRIMARY KEY, fence INTEGER NOT NULL, owner TEXT NOT NULL, expires_ms INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evidence (
  shard INTEGER NOT NULL, key TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (shard, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fold_offset (
  shard INTEGER NOT NULL, collector TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (shard, collector)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used_token (
  shard INTEGER NOT NULL, id TEXT NOT NULL, expires_ms INTEGER NOT NULL, PRIMARY KEY (shard, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS used_token_expiry ON used_token (shard, expires_ms);
CREATE TABLE IF NOT EXISTS secret (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
  subject TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS history (
  stream TEXT NOT NULL, at_ms INTEGER NOT NULL, key TEXT NOT NULL, bytes BLOB NOT NULL, UNIQUE (stream, key)
);
CREATE INDEX IF NOT EXISTS history_time ON history (stream, at_ms, key);
CREATE TABLE IF NOT EXISTS history_size (stream TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sample (
  shard INTEGER NOT NULL, collector TEXT NOT NULL, seq INTEGER NOT NULL, bytes BLOB NOT NULL,
  PRIMARY KEY (shard, collector, seq)
) WITHOUT ROWID;
-- Records (trimmed, last] of a stream are in sample.
CREATE TABLE IF NOT EXISTS sample_stream (
  shard INTEGER NOT NULL, collector TEXT NOT NULL, last INTEGER NOT NULL, trimmed INTEGER NOT NULL,
  PRIMARY KEY (shard, collector)
) WITHOUT ROWID;
-- due_ms: when it may run; of a running job, when its worker counts as dead.
CREATE TABLE IF NOT EXISTS job (
  name TEXT NOT NULL, id TEXT NOT NULL, data TEXT NOT NULL, state TEXT NOT NULL, attempt INTEGER NOT NULL,
  due_ms INTEGER NOT NULL, worker TEXT NOT NULL, PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS job_due ON job (name, state, due_ms);
-- Why the last attempt of a job failed.
CREATE TABLE IF NOT EXISTS job_failure (
  name TEXT NOT NULL, id TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (name, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS job_schedule (
  name TEXT NOT NULL, id TEXT NOT NULL, every_ms INTEGER NOT NULL, next_ms INTEGER NOT NULL, data TEXT NOT NULL,
  PRIMARY KEY (name, id)
) WITHOUT ROWID;
-- The last job of a name that ended well.
CREATE TABLE IF NOT EXISTS job_done (
  name TEXT PRIMARY KEY, id TEXT NOT NULL, at_ms INTEGER NOT NULL, took_ms INTEGER NOT NULL
) WITHOUT ROWID;
`;
