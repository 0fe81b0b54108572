/**
 * One service as a process: under the supervisor (init over IPC), or alone (`ufes dns --config …`).
 * Ctrl-C reaches a whole process group; under the supervisor it is the supervisor that says when to stop, and a lost
 * channel means it is gone: then stop too, so that nothing is left behind.
 */
import { describeError, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Component } from '@ufes/core/ports.ts';
import { listenAdmin } from '@ufes/io/admin.ts';
import { ipcBus } from '@ufes/io/bus.ts';
import { type ContextInit, closeContext, createContext } from '@ufes/io/context.ts';
import type { FromChild, Init, ToChild } from './messages.ts';
import { loadProgram } from './programs.ts';

/** Builds a node from its configuration and starts it; the result stops it all. */
export async function startNode(
  options: ContextInit,
  onReady: (ok: boolean, why: string) => void,
): Promise<Component['stop']> {
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
  const stop = async () => {
    await service.stop();
    await closeContext(context);
  };
  try {
    await service.start();
  } catch (thrown) {
    await stop().catch(() => {});
    throw thrown;
  }
  return stop;
}

function send(message: FromChild): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function runAsChild(): void {
  let stop: Component['stop'] | undefined;
  let stopping = false;
  const end = async () => {
    if (stopping) return;
    stopping = true;
    setTimeout(() => process.exit(1), limits.supervisor.stopMs).unref();
    await stop?.().catch((thrown) => process.stderr.write(`ufes: ${describeError(thrown)}\n`));
    process.exit(0);
  };
  process.on('SIGINT', () => {});
  process.on('SIGTERM', end);
  process.on('disconnect', end);
  process.on('message', (message: ToChild) => {
    if (message.ufes === 'ping') send({ ufes: 'pong', rssBytes: process.memoryUsage.rss() });
    if (message.ufes === 'stop') void end();
    if (message.ufes === 'init') void init(message);
  });
  const init = async ({ ufes: _, ...options }: Init) => {
    try {
      stop = await startNode({ ...options, bus: ipcBus(process) }, (ok, why) => send({ ufes: 'ready', ok, why }));
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
