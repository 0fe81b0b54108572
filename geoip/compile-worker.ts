/** Thread that compiles: source files in, the kept file out. Its memory goes when it ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { describeError, type ErrorCode, OperatingError } from '@ufes/core/errors.ts';
import { compile } from './compile.ts';
import { writeKept } from './file.ts';
import type { Sources } from './sources.ts';

export interface CompileTask {
  readonly sources: Sources;
  readonly file: string;
}

export type CompileMessage =
  | { readonly kind: 'progress'; readonly fraction: number; readonly what: string }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly code: ErrorCode | undefined; readonly message: string };

const port = parentPort!;
const { sources, file }: CompileTask = workerData;
const say = (message: CompileMessage) => port.postMessage(message);
try {
  const compiled = await compile(sources, (fraction, what) =>
    say({ kind: 'progress', fraction: fraction * 0.97, what }),
  );
  say({ kind: 'progress', fraction: 0.97, what: 'writing the compiled ranges' });
  await writeKept(file, compiled);
  say({ kind: 'done' });
} catch (thrown) {
  const code = thrown instanceof OperatingError ? thrown.code : undefined;
  say({ kind: 'failed', code, message: describeError(thrown) });
}
