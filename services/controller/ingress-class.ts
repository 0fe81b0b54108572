/** Which Ingresses are ours, by class. Pure. */
import type { Ingress } from '@ufes/core/config/objects.ts';
import { suggestion } from '@ufes/core/config/suggest.ts';
import type { ObjectSet } from './objects.ts';

/** `spec.controller` of an IngressClass that is ours. */
export const controllerName = 'ufes.dev/ingress-controller';
const defaultClass = 'ingressclass.kubernetes.io/is-default-class';
const legacyClass = 'kubernetes.io/ingress.class';

export type ClassVerdict =
  | { readonly kind: 'ours'; readonly name: string }
  /** Somebody else's: nothing is said about it. */
  | { readonly kind: 'other' }
  /** Nobody's, as far as one can see: that is said on the object. */
  | { readonly kind: 'unknown'; readonly reason: string; readonly message: string };

export function classOf(ingress: Ingress, objects: ObjectSet, ourClass: string): ClassVerdict {
  const name = ingress.spec.ingressClassName ?? ingress.metadata.annotations?.[legacyClass];
  if (name !== undefined) return namedClass(name, objects, ourClass);
  const defaults = [...objects.IngressClass].filter(
    ([, { object }]) => object.metadata.annotations?.[defaultClass] === 'true',
  );
  const own = defaults.find(([, { object }]) => object.spec.controller === controllerName);
  if (own !== undefined) return { kind: 'ours', name: own[0] };
  if (defaults.length > 0) return { kind: 'other' };
  const message = `spec.ingressClassName: missing, and no IngressClass is the default; write "${ourClass}"`;
  return { kind: 'unknown', reason: 'ClassMissing', message };
}

function namedClass(name: string, objects: ObjectSet, ourClass: string): ClassVerdict {
  if (name === ourClass) return { kind: 'ours', name };
  const controller = objects.IngressClass.get(name)?.object.spec.controller;
  if (controller === controllerName) return { kind: 'ours', name };
  if (controller !== undefined) return { kind: 'other' };
  const known = [ourClass, ...objects.IngressClass.keys()];
  const message = `spec.ingressClassName: there is no class "${name}"${suggestion(name, known)}`;
  return { kind: 'unknown', reason: 'ClassUnknown', message };
}
