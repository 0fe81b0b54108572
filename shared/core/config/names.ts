/** Domain names as configuration writes them: case and final dot do not matter there. */

const label = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/;

/** Lower case with the final dot, or undefined when it is no name of host-like labels (RFC 1035 §2.3.4 lengths). `*.` may lead. */
export function absoluteName(text: string): string | undefined {
  const name = (text.endsWith('.') ? text.slice(0, -1) : text).toLowerCase();
  if (name.length > 253) return undefined;
  const labels = name.split('.');
  return labels.every((part, i) => label.test(part) || (i === 0 && part === '*')) ? `${name}.` : undefined;
}

/** Whether `name` is `zone` or below it; both absolute and in lower case. */
export function isWithin(name: string, zone: string): boolean {
  return name === zone || name.endsWith(`.${zone}`) || zone === '.';
}

/** The longest of `zones` that holds the name. */
export function zoneOf(name: string, zones: Iterable<string>): string | undefined {
  let best: string | undefined;
  for (const zone of zones) if (isWithin(name, zone) && zone.length > (best?.length ?? -1)) best = zone;
  return best;
}
