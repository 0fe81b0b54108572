/** Which program runs under which node name. The demo's own programs are processes like any other. */
import type { ServiceMain } from '@ufes/io/service.ts';

/** The program of a node: `edge-lon` runs the edge's main with that name. */
export async function loadProgram(node: string): Promise<ServiceMain> {
  if (node === 'dns') return (await import('@ufes/dns/main.ts')).main;
  if (node === 'probe') return (await import('@ufes/probe/main.ts')).main;
  if (node === 'mapper') return (await import('@ufes/mapper/main.ts')).main;
  if (node === 'controller') return (await import('@ufes/controller/main.ts')).main;
  if (node === 'dashboard') return (await import('@ufes/dashboard/main.ts')).main;
  if (node.startsWith('edge-')) return (await import('@ufes/edge/main.ts')).main;
  if (node.startsWith('demo-origin-')) return (await import('./demo/origin.ts')).main;
  if (node === 'demo-users') return (await import('./demo/users.ts')).main;
  throw new Error(`no program for node ${node}`);
}
