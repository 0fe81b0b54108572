/** What Redis answers, as what we know it is. Texts come as Buffers. */

/** A copy of its own: a reply's Buffer may be a slice of a large read, which it would keep in memory. */
export function bytesIn(reply: unknown): Uint8Array | undefined {
  return Buffer.isBuffer(reply) ? new Uint8Array(reply) : undefined;
}

export function textsIn(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map(String) : [];
}

export function jsonIn(reply: unknown): unknown {
  return JSON.parse(String(reply)) as unknown;
}

/** Of HGETALL, which ioredis makes an object of. */
export function mapIn(reply: unknown): [key: string, value: string][] {
  return Object.entries(reply as Record<string, Buffer>).map(([key, value]) => [key, String(value)]);
}
