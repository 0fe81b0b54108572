/**
 * Reads a plain response to a health check: HTTP/1.1, its length by one Content-Length, no interim responses, no
 * transfer coding. That is what ready-made servers send for a short answer, and all that a kept connection needs to know
 * where the next one begins. Whatever is not plainly of this shape is `odd`, and node's own parser has to take it.
 */
import { limits } from '@ufes/core/limits.ts';

export interface PlainResponse {
  readonly status: number;
  /** As far as the bound goes (limits.health.bodyBytes). */
  readonly body: string;
  /** The connection serves another request. */
  readonly kept: boolean;
}

const endOfHead = '\r\n\r\n';
const statusLine = /^HTTP\/1\.1 ([2-5]\d\d)(?: [^\r\n]*)?$/;
const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*$/;

export class PlainReader {
  #text = '';
  #head:
    | { readonly status: number; readonly length: number; readonly kept: boolean; readonly bodyAt: number }
    | undefined;

  /** Nothing has come yet. */
  get isEmpty(): boolean {
    return this.#text === '';
  }

  /** Undefined: more is to come. */
  read(chunk: Buffer): PlainResponse | 'odd' | undefined {
    this.#text += chunk.toString('latin1');
    if (this.#head === undefined) {
      const end = this.#text.indexOf(endOfHead);
      if (end < 0) return this.#text.length > limits.health.headBytes ? 'odd' : undefined;
      const head = readHead(this.#text.slice(0, end));
      if (head === undefined) return 'odd';
      this.#head = { ...head, bodyAt: end + endOfHead.length };
    }
    const { status, length, kept, bodyAt } = this.#head;
    const got = this.#text.length - bodyAt;
    const { bodyBytes } = limits.health;
    if (got < Math.min(length, bodyBytes)) return undefined;
    // More than was announced belongs to no request of ours.
    return {
      status,
      body: this.#text.slice(bodyAt, bodyAt + Math.min(length, bodyBytes)),
      kept: kept && got === length,
    };
  }
}

function readHead(text: string): { status: number; length: number; kept: boolean } | undefined {
  const [first, ...lines] = text.split('\r\n');
  const status = Number(statusLine.exec(first!)?.[1]);
  // Neither has a body, whatever a header says (RFC 9110 §6.4.1).
  if (Number.isNaN(status) || status === 204 || status === 304) return undefined;
  let length: number | undefined;
  let kept = true;
  for (const line of lines) {
    const [, name, value] = header.exec(line) ?? [];
    if (name === undefined || value === undefined) return undefined;
    const key = name.toLowerCase();
    if (key === 'content-length') {
      if (length !== undefined || !/^\d{1,10}$/.test(value)) return undefined;
      length = Number(value);
    } else if (key === 'transfer-encoding' || key === 'upgrade') return undefined;
    else if (key === 'connection') kept = kept && value.toLowerCase() === 'keep-alive';
  }
  return length === undefined ? undefined : { status, length, kept };
}
