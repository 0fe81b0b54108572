/** How an agent says who it is: a signature over each request. Both ends use this file. */

export const agentScheme = 'ufes-agent';

export function signedText(method: string, path: string, atMs: string, body: string): string {
  return `${method} ${path}\n${atMs}\n${body}`;
}
