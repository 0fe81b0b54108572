/** What a mode hands back: text to read, figures to keep, plots. */
import type { Verdict } from './report.ts';

export interface ModeResult {
  readonly mode: string;
  /** Tables, one after another. */
  readonly text: string;
  readonly verdicts: readonly Verdict[];
  /** Figures for the JSON. */
  readonly figures: unknown;
  /** SVG by the end of its file name. */
  readonly plots: Readonly<Record<string, string>>;
}
