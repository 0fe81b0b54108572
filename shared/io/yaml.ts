/**
 * YAML text → documents, in time that grows with the text and no faster. The parser's own ways of looking for duplicate
 * keys, of collecting errors and of resolving aliases are quadratic or unbounded, and whoever can write a file could stop
 * a process by them for minutes. So its stages are driven here, each piece counted, and absurd text is refused early.
 */
import { limits } from '@ufes/core/limits.ts';
import {
  Composer,
  CST,
  type Document,
  isMap,
  isScalar,
  Lexer,
  type LineCounter,
  Parser,
  visit,
  YAMLParseError,
} from 'yaml';

export interface YamlRead {
  /** One at least, unless `refused`. Duplicate keys are among their errors. */
  readonly documents: readonly Document.Parsed[];
  /** The text is not taken up at all. `offset` is where that was seen. */
  readonly refused?: { readonly offset: number; readonly message: string };
}

export interface YamlOptions {
  /** Knows the lines of the text afterwards. */
  readonly lines: LineCounter;
  /** Lexemes: indentations, indicators, scalars, line ends. The work is in proportion to their number. */
  readonly piecesMax: number;
  readonly stringKeys?: boolean;
}

class Refusal extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** Never throws for what the text holds. */
export function readYaml(text: string, { lines, piecesMax, stringKeys = false }: YamlOptions): YamlRead {
  try {
    const tokens = [...boundedTokens(text, lines, piecesMax)];
    const options = { prettyErrors: false, merge: false, uniqueKeys: false, logLevel: 'error', stringKeys } as const;
    const documents = [...boundedComposer(options).compose(tokens, true, text.length)];
    for (const document of documents) findDuplicates(document);
    return { documents };
  } catch (thrown) {
    if (thrown instanceof Refusal)
      return { documents: [], refused: { offset: thrown.offset, message: thrown.message } };
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return { documents: [], refused: { offset: 0, message } };
  }
}

function* boundedTokens(text: string, lines: LineCounter, piecesMax: number): Generator<CST.Token> {
  const { yamlErrors, yamlAliases } = limits.config;
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let pieces = 0;
  let offset = 0;
  let errors = 0;
  let directives = 0;
  let aliases = 0;
  let before = '';
  for (const lexeme of new Lexer().lex(text)) {
    if (++pieces > piecesMax)
      throw new Refusal(offset, `more than ${piecesMax} pieces of YAML; split the file, or write it as JSON`);
    // The text of a scalar may begin in any way.
    if (lexeme.startsWith('*') && before !== CST.SCALAR && ++aliases > yamlAliases) {
      throw new Refusal(offset, `more than ${yamlAliases} aliases`);
    }
    for (const token of parser.next(lexeme)) {
      if (token.type === 'error' && ++errors > yamlErrors) throw new Refusal(token.offset, token.message);
      if (token.type === 'directive' && ++directives > yamlErrors) {
        throw new Refusal(offset, `more than ${yamlErrors} directives`);
      }
      yield token;
    }
    if (parser.stack.length > limits.config.yamlDepth) {
      throw new Refusal(offset, `nested more than ${limits.config.yamlDepth} levels deep`);
    }
    if (!isMark(lexeme)) offset += lexeme.length;
    before = lexeme;
  }
  yield* parser.end();
}

/** Signs from the lexer to the parser, that stand for no text. */
function isMark(lexeme: string): boolean {
  return lexeme === CST.DOCUMENT || lexeme === CST.FLOW_END || lexeme === CST.SCALAR;
}

/** One that gives up after some errors: a file of commas has a million of them. */
function boundedComposer(options: ConstructorParameters<typeof Composer>[0]): Composer {
  const composer = new Composer(options);
  // The parser has no option for it, and no other place to count; the tests hold this to the version we use.
  const report: unknown = Reflect.get(composer, 'onError');
  if (typeof report !== 'function') return composer;
  let errors = 0;
  const bounded = (source: unknown, code: unknown, message: string, isWarning: unknown): void => {
    if (++errors > limits.config.yamlErrors) throw new Refusal(offsetOf(source), message);
    report.call(composer, source, code, message, isWarning);
  };
  Reflect.set(composer, 'onError', bounded);
  return composer;
}

/** A place in the text as the parser hands it over: a number, a range or a token. */
function offsetOf(source: unknown): number {
  if (typeof source === 'number') return source;
  if (Array.isArray(source)) return Number(source[0]);
  const { offset } = source as { offset?: unknown };
  return typeof offset === 'number' ? offset : 0;
}

function findDuplicates(document: Document.Parsed): void {
  visit(document, {
    Map(_, map) {
      if (!isMap(map)) return;
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) {
          if (document.errors.length > limits.config.yamlErrors) return visit.BREAK;
          const at = key.range?.[0] ?? 0;
          document.errors.push(new YAMLParseError([at, at + 1], 'DUPLICATE_KEY', 'Map keys must be unique'));
        }
        seen.add(key.value);
      }
      return undefined;
    },
  });
}
