/**
 * GET /api/events: server-sent events to a bounded number of pages. Each event is the whole of its kind, so a page that
 * connects (again) is sent the newest of each kind and has everything; there is no log to replay.
 */
import type { ServerResponse } from 'node:http';
import type { LiveEvent } from '@ufes/core/dashboard.ts';
import { limits } from '@ufes/core/limits.ts';

export interface EventHub {
  /** Takes over the response. False: there are too many already, and nothing was written. */
  join(response: ServerResponse, headers: Readonly<Record<string, string>>): boolean;
  /** Sends to all, and keeps as the newest of its kind. With `onlyIfChanged`: not when it is as it was. */
  send(event: LiveEvent, onlyIfChanged?: boolean): void;
  clients(): number;
  close(): void;
}

export function createEventHub(): EventHub {
  const clients = new Set<ServerResponse>();
  const newest = new Map<LiveEvent['type'], { id: number; json: string }>();
  let lastId = 0;

  const write = (response: ServerResponse, text: string): void => {
    response.write(text);
    // A page that does not read: cut it rather than keep its share of memory.
    if (response.writableLength > limits.dashboard.eventBacklogBytes) response.destroy();
  };

  return {
    join(response, headers) {
      if (clients.size >= limits.dashboard.eventClients) return false;
      response.writeHead(200, {
        ...headers,
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        connection: 'keep-alive',
        'x-accel-buffering': 'no',
      });
      clients.add(response);
      response.on('close', () => clients.delete(response));
      response.on('error', () => clients.delete(response));
      let text = 'retry: 2000\n\n';
      for (const [type, { id, json }] of newest) text += eventText(type, id, json);
      write(response, text);
      return true;
    },
    send(event, onlyIfChanged = false) {
      const json = JSON.stringify(event.data);
      if (onlyIfChanged && newest.get(event.type)?.json === json) return;
      const id = ++lastId;
      newest.set(event.type, { id, json });
      const text = eventText(event.type, id, json);
      for (const client of clients) write(client, text);
    },
    clients: () => clients.size,
    close() {
      for (const client of clients) client.end();
      clients.clear();
    },
  };
}

/** JSON has no line breaks of its own, so one `data:` line holds it. */
function eventText(type: string, id: number, json: string): string {
  return `event: ${type}\nid: ${id}\ndata: ${json}\n\n`;
}
