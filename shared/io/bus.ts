/**
 * Wake-ups over the IPC channel of the process tree. A child sends `{ufes: 'wake', topic}` to its parent, the parent
 * passes it on to every other child; listeners in the same process are called at once.
 *
 *     child A ──wake──▶ parent (WakeRelay) ──wake──▶ child B, child C
 *
 * A wake-up is a hint (ports.ts, Bus): one that is lost with a closed channel costs a poll interval, so nothing here
 * throws or waits. At most one message a topic is on its way per channel; what comes meanwhile is sent once, after it.
 */
import type { ChildProcess } from 'node:child_process';
import type { Bus } from '@ufes/core/ports.ts';

/** What `process` and a ChildProcess have in common when there is an IPC channel. */
export interface IpcPeer {
  readonly connected?: boolean;
  send?(message: object, handle: undefined, options: undefined, done: (error: Error | null) => void): boolean;
  on(event: 'message', fn: (message: unknown) => void): unknown;
}

/** Wake-ups inside this process alone. */
export function localBus(): Bus {
  const listeners = new Map<string, Set<() => void>>();
  return {
    wake: (topic) => {
      for (const fn of [...(listeners.get(topic) ?? [])]) fn();
    },
    on: (topic, fn) => {
      const own = () => fn();
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(own));
      return () => {
        set.delete(own);
        if (set.size === 0 && listeners.get(topic) === set) listeners.delete(topic);
      };
    },
  };
}

/** The bus of a child; `peer` is `process`. Without a channel to a parent it is a local bus. */
export function ipcBus(peer: IpcPeer & { readonly channel?: { unref(): void } | null | undefined }): Bus {
  const local = localBus();
  const send = wakeSender(peer);
  peer.on('message', (message) => {
    const topic = wakeTopic(message);
    if (topic !== undefined) local.wake(topic);
  });
  // Listening alone must not keep a process alive that has nothing left to do.
  peer.channel?.unref();
  return {
    wake: (topic) => {
      local.wake(topic);
      send(topic);
    },
    on: local.on,
  };
}

/** The parent's end: a bus of its own, and every attached child hears what the others and the parent say. */
export interface WakeRelay extends Bus {
  /** From now until it exits or disconnects. */
  attach(child: ChildProcess): void;
}

export function wakeRelay(): WakeRelay {
  const local = localBus();
  const senders = new Map<ChildProcess, (topic: string) => void>();
  const pass = (topic: string, from?: ChildProcess): void => {
    local.wake(topic);
    for (const [child, send] of senders) if (child !== from) send(topic);
  };
  return {
    wake: (topic) => pass(topic),
    on: local.on,
    attach: (child) => {
      senders.set(child, wakeSender(child));
      child.on('message', (message) => {
        const topic = wakeTopic(message);
        if (topic !== undefined) pass(topic, child);
      });
      child.once('disconnect', () => senders.delete(child));
      child.once('exit', () => senders.delete(child));
    },
  };
}

/** The topic of a wake-up; undefined for any other message on the channel. */
function wakeTopic(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null || !('ufes' in message) || message.ufes !== 'wake') return;
  return 'topic' in message && typeof message.topic === 'string' ? message.topic : undefined;
}

function wakeSender(peer: IpcPeer): (topic: string) => void {
  /** Topics on their way; true: woken again meanwhile. */
  const sending = new Map<string, boolean>();
  return function send(topic: string): void {
    if (peer.send === undefined || peer.connected !== true) return;
    if (sending.has(topic)) {
      sending.set(topic, true);
      return;
    }
    sending.set(topic, false);
    const done = (error: Error | null): void => {
      const again = sending.get(topic);
      sending.delete(topic);
      if (again === true && error === null) send(topic);
    };
    try {
      peer.send({ ufes: 'wake', topic }, undefined, undefined, done);
    } catch {
      sending.delete(topic);
    }
  };
}
