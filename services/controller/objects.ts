/**
 * Where objects come from: a port, so that files and later a cluster are the same to the plan. A source holds the newest
 * good version of every object and says when something changed; it never lets one bad object hide another.
 */
import type { ObjectKind, ObjectOfKind } from '@ufes/core/config/objects.ts';
import type { Component } from '@ufes/core/ports.ts';

/** A problem with a document: on the object if one can tell which, else on the file alone. */
export interface ObjectProblem {
  readonly source: string;
  readonly line: number;
  readonly kind?: ObjectKind;
  /** NAMESPACE/NAME. */
  readonly key?: string;
  readonly message: string;
}

export type ObjectMaps = { readonly [K in ObjectKind]: ReadonlyMap<string, Sourced<ObjectOfKind[K]>> };

export interface Sourced<T> {
  readonly object: T;
  /** Which file it is from; empty for a cluster. */
  readonly source: string;
}

export interface ObjectSet extends ObjectMaps {
  readonly problems: readonly ObjectProblem[];
  /** Files that cannot be understood just now: an object from one of them may exist all the same. */
  readonly unreadable: ReadonlySet<string>;
  /** False until everything has been read once: then absence says nothing. */
  readonly isComplete: boolean;
}

export interface ObjectSource extends Component {
  /** The newest good version of everything. The same set until something changed. */
  current(): ObjectSet;
}

export const noObjects: ObjectSet = {
  Ingress: new Map(),
  IngressClass: new Map(),
  Service: new Map(),
  EndpointSlice: new Map(),
  Secret: new Map(),
  problems: [],
  unreadable: new Set(),
  isComplete: false,
};
