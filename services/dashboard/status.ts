/** The processes: as the supervisor sees them, or, when there is none, as each says of itself. */
import type { NodeStatus } from '@ufes/core/dashboard.ts';

/** What the supervisor says, in whatever order of keys and with whatever more. */
export function nodesOfSupervisor(answer: unknown): NodeStatus[] {
  const list = Array.isArray(answer) ? answer : field(answer, 'processes');
  if (!Array.isArray(list)) throw new Error('/status of ufes: a list of processes was expected');
  return list.map((one) => {
    const node = field(one, 'node');
    const state = field(one, 'state');
    if (typeof node !== 'string' || typeof state !== 'string') {
      throw new Error('/status of ufes: a process without node or state');
    }
    const why = field(one, 'why');
    const upMs = number(one, 'upMs');
    const pid = number(one, 'pid');
    const rssBytes = number(one, 'rssBytes');
    const restarts = number(one, 'restarts');
    return {
      node,
      state,
      ...(typeof why === 'string' && why !== '' ? { why } : {}),
      ...(pid === undefined ? {} : { pid }),
      ...(upMs === undefined ? {} : { uptimeSeconds: Math.floor(upMs / 1000) }),
      ...(rssBytes === undefined ? {} : { rssBytes }),
      ...(restarts === undefined ? {} : { restarts }),
    };
  });
}

/** The nodes of this configuration, for when there is no supervisor to ask. */
export function nodesOfPops(pops: readonly string[]): string[] {
  return ['dns', 'probe', 'mapper', 'controller', ...pops.map((id) => `edge-${id}`), 'dashboard'];
}

/** What GET /readyz of a node came to. */
export function nodeOfReadiness(node: string, answer: { status: number; text: string } | undefined): NodeStatus {
  if (answer === undefined) return { node, state: 'not running' };
  if (answer.status === 200) return { node, state: 'ready' };
  let why: unknown;
  try {
    why = field(JSON.parse(answer.text), 'message');
  } catch {}
  return { node, state: 'not ready', ...(typeof why === 'string' ? { why } : {}) };
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[key] : undefined;
}

function number(value: unknown, key: string): number | undefined {
  const found = field(value, key);
  return typeof found === 'number' && Number.isFinite(found) ? found : undefined;
}
