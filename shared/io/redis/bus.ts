/**
 * Wake-ups by publish and subscribe, between all processes on one Redis. Hints like those over IPC (io/bus.ts): one that
 * is lost costs a poll. After a connection was lost, everything that is listened to is woken once.
 */
import { randomBytes } from 'node:crypto';
import { limits } from '@ufes/core/limits.ts';
import type { Bus } from '@ufes/core/ports.ts';
import type { RedisLink } from './link.ts';

/** Ends with the link. */
export function redisBus(link: RedisLink): Bus {
  const channel = `${link.target.prefix}:wake`;
  const own = randomBytes(6).toString('hex');
  const listeners = new Map<string, Set<() => void>>();
  const wakeHere = (topic: string): void => {
    for (const fn of [...(listeners.get(topic) ?? [])]) fn();
  };
  const send = publisher(link, channel, own);
  subscribe(
    link,
    channel,
    (message) => {
      const space = message.indexOf(' ');
      if (message.slice(0, space) !== own) wakeHere(message.slice(space + 1));
    },
    () => {
      for (const topic of listeners.keys()) wakeHere(topic);
    },
  );
  return {
    wake: (topic) => {
      wakeHere(topic);
      send(topic);
    },
    on: (topic, fn) => {
      const called = () => fn();
      const set = listeners.get(topic) ?? new Set();
      listeners.set(topic, set.add(called));
      return () => {
        set.delete(called);
        if (set.size === 0 && listeners.get(topic) === set) listeners.delete(topic);
      };
    },
  };
}

/** One message a topic is under way at a time; what comes meanwhile is said once, after it. */
function publisher(link: RedisLink, channel: string, own: string): (topic: string) => void {
  const sending = new Map<string, boolean>();
  return function send(topic) {
    if (sending.has(topic)) {
      sending.set(topic, true);
      return;
    }
    sending.set(topic, false);
    link.command('publish', channel, `${own} ${topic}`).then(
      () => {
        const isAgain = sending.get(topic) === true;
        sending.delete(topic);
        if (isAgain) send(topic);
      },
      () => sending.delete(topic),
    );
  };
}

function subscribe(link: RedisLink, channel: string, heard: (message: string) => void, back: () => void): void {
  const client = link.another({ socketTimeout: limits.redis.callMs, autoResubscribe: false });
  client.on('ready', () => {
    client.subscribe(channel).then(back, () => client.disconnect(true));
  });
  client.on('message', (_, message: string) => heard(message));
  // A connection that leads nowhere shows when it is used: an answer is waited for `socketTimeout`.
  const pinging = setInterval(() => {
    if (client.status === 'ready') client.ping().catch(() => {});
  }, limits.redis.pingMs);
  pinging.unref();
  client.once('end', () => clearInterval(pinging));
}
