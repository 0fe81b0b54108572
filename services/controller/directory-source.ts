/**
 * Objects from the files of a watched folder. A file is read again when it changed. While a document is wrong, or a file
 * cannot be read, the last good version of its objects stays; an object is gone when its file is good and lacks it.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ObjectKind } from '@ufes/core/config/objects.ts';
import { limits } from '@ufes/core/limits.ts';
import type { Clock, Log } from '@ufes/core/ports.ts';
import { readBoundedFile } from '@ufes/io/bounded-file.ts';
import { type Documents, type Found, parseDocuments } from './documents.ts';
import { noObjects, type ObjectProblem, type ObjectSet, type ObjectSource, type Sourced } from './objects.ts';
import { createWatch, fileSignature } from './watch.ts';

export interface DirectorySourceInit {
  /** Absolute. */
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly onChange: () => void;
}

interface File {
  readonly signature: string;
  readonly documents: Documents;
}

export function createDirectorySource(init: DirectorySourceInit): ObjectSource {
  const { folder, clock, log, onChange } = init;
  let files = new Map<string, File>();
  let objects: ObjectSet = noObjects;
  let folderProblem: string | undefined;
  const said = new Set<string>();

  const look = async () => {
    const next = new Map<string, File>();
    let isChanged = false;
    const names = await fileNames(folder);
    const problem = typeof names === 'string' ? names : undefined;
    if (problem !== undefined && problem !== folderProblem) log.warn({ folder }, problem);
    if (problem === undefined && folderProblem !== undefined) log.info({ folder }, 'objects are read');
    folderProblem = problem;
    // A folder that cannot be read says nothing about its objects: they stay.
    if (typeof names === 'string') return;
    isChanged ||= !objects.isComplete;
    for (const name of names) {
      const path = join(folder, name);
      const signature = await fileSignature(path);
      const before = files.get(name);
      if (before?.signature === signature) {
        next.set(name, before);
        continue;
      }
      isChanged = true;
      next.set(name, { signature, documents: await readDocuments(path, name) });
    }
    isChanged ||= next.size !== files.size;
    files = next;
    if (!isChanged) return;
    objects = collect(files, objects);
    tell(objects.problems);
    onChange();
  };

  /** Each problem once, as long as it lasts. */
  const tell = (problems: readonly ObjectProblem[]) => {
    const now = new Set(problems.map((one) => `${one.source}:${one.line}: ${one.message}`));
    for (const one of problems) {
      const text = `${one.source}:${one.line}: ${one.message}`;
      if (!said.has(text)) log.warn({ kind: one.kind, object: one.key, code: 'OBJECT_INVALID' }, text);
    }
    said.clear();
    for (const text of now) said.add(text);
  };

  const watch = createWatch({
    clock,
    pollMs: limits.controller.pollMs,
    debounceMs: limits.controller.debounceMs,
    folders: () => [folder],
    concerns: isObjectFile,
    look,
  });
  return { start: watch.start, stop: watch.stop, current: () => objects };
}

/** Editors and writers-aside use a leading dot or another ending. */
function isObjectFile(path: string): boolean {
  return /(^|\/)[^./][^/]*\.(ya?ml|json)$/.test(path);
}

/** In order, or why the folder cannot be read. One that is not there tells nothing either: a mount may be late. */
async function fileNames(folder: string): Promise<string[] | string> {
  try {
    const names = await readdir(folder);
    return names.filter(isObjectFile).sort();
  } catch (thrown) {
    return `the folder of objects cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`;
  }
}

async function readDocuments(path: string, name: string): Promise<Documents> {
  const broken = (message: string): Documents => ({
    found: [],
    problems: [{ source: name, line: 1, message }],
    isBroken: true,
  });
  try {
    const bytes = await readBoundedFile(path, limits.controller.objectBytes);
    return parseDocuments(new TextDecoder().decode(bytes), name);
  } catch (thrown) {
    return broken(`cannot be read: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  }
}

/** All files as one set. `before` fills in for documents that are wrong just now. */
function collect(files: ReadonlyMap<string, File>, before: ObjectSet): ObjectSet {
  const maps = emptyMaps();
  const problems: ObjectProblem[] = [];
  const unreadable = new Set<string>();
  let count = 0;
  for (const [source, { documents }] of files) {
    problems.push(...documents.problems);
    if (documents.isBroken) unreadable.add(source);
    for (const found of documents.found) {
      const other = maps[found.kind].get(found.key);
      if (other !== undefined) {
        const message = `${found.kind} ${found.key} stands in ${other.source} already; that one counts`;
        problems.push({ source, line: 1, kind: found.kind, key: found.key, message });
      } else if (++count > limits.controller.objects) {
        problems.push({
          source,
          line: 1,
          message: `more than ${limits.controller.objects} objects; the rest is left out`,
        });
        break;
      } else put(maps, found, source);
    }
  }
  const wrong = new Set(problems.map(({ kind, key, source }) => `${source}|${kind}|${key}`));
  for (const kind of Object.keys(maps) as ObjectKind[]) {
    for (const [key, old] of before[kind]) {
      if (maps[kind].has(key)) continue;
      const mayExist = unreadable.has(old.source) || wrong.has(`${old.source}|${kind}|${key}`);
      if (mayExist) put(maps, { kind, key, object: old.object } as Found, old.source);
    }
  }
  return { ...maps, problems, unreadable, isComplete: true };
}

type Maps = { [K in ObjectKind]: Map<string, Sourced<Extract<Found, { kind: K }>['object']>> };

function emptyMaps(): Maps {
  return {
    Ingress: new Map(),
    IngressClass: new Map(),
    Service: new Map(),
    EndpointSlice: new Map(),
    Secret: new Map(),
  };
}

function put(maps: Maps, found: Found, source: string): void {
  (maps[found.kind] as Map<string, Sourced<Found['object']>>).set(found.key, { object: found.object, source });
}
