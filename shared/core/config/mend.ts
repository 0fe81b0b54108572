/**
 * A configuration that breaks the schema, made to fit it as near to what was meant as can be guessed: so that the rules
 * between keys are checked in the same run, and every problem is reported at once. Never put in service.
 */
import type { TSchema } from 'typebox';
import { isPlainObject, withDefaults } from './defaults.ts';
import type { ConfigProblem } from './schema.ts';
import { schemaProblems } from './validate.ts';

/** One problem is mended a round; a file with more is not guessed at. */
const roundsMax = 100;

export interface Mended {
  readonly value: unknown;
  /** Whether a problem found in `value` is one of what was written, not of the mending. */
  readonly isGenuine: (problem: ConfigProblem) => boolean;
}

type Path = ConfigProblem['path'];

/** Undefined when there is nothing left to guess by. */
export function mend(schema: TSchema, broken: unknown): Mended | undefined {
  let value = structuredClone(broken);
  const lost = new Set<string>();
  const shifted: Path[] = [];
  for (let round = 0; round < roundsMax; round++) {
    const [problem] = schemaProblems(schema, value);
    if (problem === undefined) {
      const isGenuine = (one: ConfigProblem) =>
        // What is not there may be named by a value, or by a key.
        !lost.has(String(one.atKey ? one.path.at(-1) : valueAt(value, one.path))) &&
        !shifted.some((path) => path.every((step, i) => one.path[i] === step));
      return { value, isGenuine };
    }
    if (problem.path.length < 2 && !renames(problem)) return undefined;
    if (!rename(value, problem)) remove(value, problem.path, lost, shifted);
    value = withDefaults(schema, value);
  }
  return undefined;
}

function renames(problem: ConfigProblem): string | undefined {
  return /^unknown key; did you mean "(.+)"\?$/.exec(problem.message)?.[1];
}

/** A misspelt key is read as the one it is near to, unless that one is there too. */
function rename(value: unknown, problem: ConfigProblem): boolean {
  const right = renames(problem);
  const parent = valueAt(value, problem.path.slice(0, -1));
  const key = String(problem.path.at(-1));
  if (right === undefined || !isPlainObject(parent)) return false;
  if (!Object.hasOwn(parent, right)) parent[right] = parent[key];
  delete parent[key];
  return true;
}

/** Without it its default stands; what cannot be without it goes as a whole, in the next round. */
function remove(value: unknown, path: Path, lost: Set<string>, shifted: Path[]): void {
  const parent = valueAt(value, path.slice(0, -1));
  const key = path.at(-1)!;
  if (path.length === 2) lost.add(String(key));
  if (Array.isArray(parent)) {
    parent.splice(Number(key), 1);
    shifted.push(path.slice(0, -1));
  } else if (isPlainObject(parent)) delete parent[key];
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>((at, step) => (at as Record<string | number, unknown> | undefined)?.[step], value);
}
