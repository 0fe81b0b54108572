/** Requests to the local socket of a node (admin.ts), as the command line and the dashboard make them. */
import { request } from 'node:http';
import { dirname } from 'node:path';
import { type ErrorCode, errorTable, OperatingError } from '@ufes/core/errors.ts';
import { limits } from '@ufes/core/limits.ts';
import { assertOwned, socketPath } from './admin.ts';

export interface AdminOptions {
  timeoutMs?: number;
}

export interface AdminResponse {
  readonly status: number;
  readonly text: string;
}

/** The JSON answer of GET `path`. Rejects with NOT_RUNNING when nothing listens or answers, else with the node's own error. */
export async function adminGet<T>(state: string, node: string, path: string, options?: AdminOptions): Promise<T> {
  return result<T>(node, path, await adminRequest(state, node, 'GET', path, undefined, options));
}

/** The same for POST with a JSON body. */
export async function adminPost<T>(
  state: string,
  node: string,
  path: string,
  body: unknown,
  options?: AdminOptions,
): Promise<T> {
  return result<T>(node, path, await adminRequest(state, node, 'POST', path, JSON.stringify(body), options));
}

/** Any answer, whatever its status: for /readyz, /metrics. Rejects with NOT_RUNNING as above. */
export function adminRequest(
  state: string,
  node: string,
  method: string,
  path: string,
  body?: string,
  { timeoutMs = limits.admin.timeoutMs }: AdminOptions = {},
): Promise<AdminResponse> {
  const file = socketPath(state, node);
  return new Promise((resolve, reject) => {
    const failed = (cause: unknown): void => reject(notRunning(state, node, cause));
    try {
      assertOwned(dirname(file), state);
    } catch (cause) {
      failed(cause);
      return;
    }
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const sent = request(
      { socketPath: file, method, path, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', failed);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
        );
      },
    );
    sent.on('error', failed);
    sent.end(body);
  });
}

function notRunning(state: string, node: string, cause: unknown): OperatingError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  const isAbsent = code === 'ENOENT' || code === 'ECONNREFUSED';
  // The supervisor's own node is `ufes`.
  const what = node === 'ufes' ? 'ufes up' : `ufes ${node}`;
  const alone = node === 'ufes' ? '' : ` or \`ufes ${node.split('-')[0]}\``;
  const message = isAbsent
    ? `no ${what} runs with the state folder ${state} (--state); start it with \`ufes up\`${alone}`
    : `${what} with the state folder ${state} does not answer`;
  return new OperatingError('NOT_RUNNING', message, isAbsent ? undefined : { cause });
}

function result<T>(node: string, path: string, response: AdminResponse): T {
  const value: unknown = response.text === '' ? undefined : parse(response.text);
  if (response.status >= 200 && response.status < 300) return value as T;
  const { code, message } = errorBody(value);
  const text = message ?? `${path} answered ${response.status}`;
  // What the asker got wrong needs no node to be named.
  throw new OperatingError(
    code,
    errorTable[code][0] === 'client' && message !== undefined ? text : `ufes ${node}: ${text}`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function errorBody(value: unknown): { code: ErrorCode; message?: string } {
  if (typeof value !== 'object' || value === null) return { code: 'NOT_RUNNING' };
  const { code, message } = value as { code?: unknown; message?: unknown };
  const isKnown = typeof code === 'string' && Object.hasOwn(errorTable, code);
  return {
    code: isKnown ? (code as ErrorCode) : 'NOT_RUNNING',
    ...(typeof message === 'string' ? { message } : {}),
  };
}
