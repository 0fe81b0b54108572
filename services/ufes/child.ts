/**
 * One service as a process: under the supervisor (init over IPC), or alone (`ufes dns --config …`).
 * Ctrl-C reaches a whole process group; under the supervisor it is the supervisor that says when to stop, and a lost
 * channel means it is gone: then stop too, so that nothing is left behind.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { listenAdmin, takeOverAdmin } from '@ufes/io/admin.ts';
import { adminPost } from '@ufes/io/admin-client.ts';
import { ipcBus } from '@ufes/io/bus.ts';
import { type ContextInit, closeContext, createContext } from '@ufes/io/context.ts';
import type { ServiceContext } from '@ufes/io/service.ts';
import type { FromChild, Init, ToChild } from './messages.ts';
import { loadProgram } from './programs.ts';

/** Stops a node. `isReplaced`: another process has its admin socket. */
export type StopNode = (isReplaced?: boolean) => Promise<void>;

/**
 * Builds a node from its configuration and starts it; the result stops it all. With `replaces`, the process in whose
 * place it comes is then told to leave; whatever fails before that leaves the other in service.
 */
export async function startNode(options: ContextInit, onReady: (ok: boolean, why: string) => void): Promise<StopNode> {
  const context = createContext(options);
  const main = await loadProgram(options.node);
  const service = main({
    ...context,
    ready: (ok, why = '') => {
      context.ready(ok, why);
      onReady(ok, why);
    },
  });
  await listenAdmin(context);
  const stop: StopNode = async (isReplaced = false) => {
    await service.stop();
    await closeContext(context, { isReplaced });
  };
  try {
    await service.start();
    if (options.replaces) await takePlace(context);
  } catch (thrown) {
    await stop().catch(() => {});
    throw thrown;
  }
  return stop;
}

async function takePlace(context: ServiceContext): Promise<void> {
  const { before, forget } = takeOverAdmin(context);
  try {
    await adminPost(context.state, before, '/replace/leave', {});
  } finally {
    forget();
  }
}

function send(message: FromChild): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function runAsChild(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  let stop: StopNode | undefined;
  let stopping = false;
  const end = async (isReplaced = false) => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), limits.supervisor.stopMs).unref();
    await stop?.(isReplaced).catch((thrown) => process.stderr.write(`ufes: ${describeError(thrown)}\n`));
    process.exit(0);
  };
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => void end());
  process.on('disconnect', () => void end());
  process.on('message', (message: ToChild) => {
    if (message.ufes === 'ping') send({ ufes: 'pong', rssBytes: process.memoryUsage.rss() });
    if (message.ufes === 'stop') void end();
    if (message.ufes === 'init') void init(message);
  });
  const init = async ({ ufes: _, ...options }: Init) => {
    try {
      const leave = () => void end(true);
      stop = await startNode({ ...options, bus: ipcBus(process), leave }, (ok, why) =>
        send({ ufes: 'ready', ok, why }),
      );
      if (options.replaces) send({ ufes: 'in place' });
    } catch (thrown) {
      const known = thrown instanceof OperatingError ? thrown : undefined;
      if (known === undefined && thrown instanceof Error) process.stderr.write(`${thrown.stack}\n`);
      send({
        ufes: 'fatal',
        code: known?.code ?? 'CRASH',
        message: describeError(thrown),
        retry: known?.retry ?? true,
      });
      setTimeout(() => process.exit(1), 50);
    }
  };
}

if (process.argv[1] === import.meta.filename && process.send !== undefined) runAsChild();
