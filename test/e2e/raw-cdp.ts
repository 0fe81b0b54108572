/**
 * Chromium by the bare DevTools protocol. Playwright watches the network of its pages, and that watching is main-thread
 * time of the page's renderer: where such time is measured, only what is measured is switched on.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface RawBrowser {
  /** A new page, visible unless `background`; `sessionId` is for `send`. */
  open(background?: boolean): Promise<RawPage>;
  stop(): Promise<void>;
}

export interface RawPage {
  send<T = Record<string, unknown>>(method: string, params?: object): Promise<T>;
  /** JSON of what an expression comes to. */
  evaluate<T>(expression: string): Promise<T>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly result?: unknown;
  readonly error?: { readonly message: string };
}

/** `prepare` may put a profile into the folder. */
export async function launchRaw(
  executable: string,
  args: readonly string[],
  prepare: (profile: string) => void = () => {},
): Promise<RawBrowser> {
  const profile = mkdtempSync(join(tmpdir(), 'ufes-chromium-'));
  prepare(profile);
  const child: ChildProcess = spawn(
    executable,
    [...args, '--remote-debugging-port=0', `--user-data-dir=${profile}`, 'about:blank'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const url = await new Promise<string>((resolve, reject) => {
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk;
      const found = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (found !== undefined) resolve(found);
    });
    child.once('exit', () => reject(new Error(`chromium ended\n${said}`)));
  });
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  let next = 1;
  const waiting = new Map<number, (message: Message) => void>();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id === undefined) return;
    waiting.get(message.id)?.(message);
    waiting.delete(message.id);
  };
  const send = <T>(method: string, params: object = {}, sessionId?: string): Promise<T> =>
    new Promise((resolve, reject) => {
      const id = next++;
      waiting.set(id, ({ result, error }) =>
        error === undefined ? resolve(result as T) : reject(new Error(`${method}: ${error.message}`)),
      );
      socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    });

  return {
    async open(background = false) {
      const { targetId } = await send<{ targetId: string }>('Target.createTarget', { url: 'about:blank', background });
      const { sessionId } = await send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
      return {
        send: (method, params) => send(method, params, sessionId),
        async evaluate<T>(expression: string) {
          const params = { expression: `JSON.stringify(${expression})`, awaitPromise: true, returnByValue: true };
          const { result } = await send<{ result: { value?: string } }>('Runtime.evaluate', params, sessionId);
          return JSON.parse(result.value ?? 'null') as T;
        },
        async close() {
          await send('Target.closeTarget', { targetId });
        },
      };
    },
    async stop() {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      socket.close();
      child.kill('SIGTERM');
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
